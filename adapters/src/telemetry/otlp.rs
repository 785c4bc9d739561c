//! Where telemetry is sent: OTLP over gRPC, or over HTTP with protobuf.

use std::str::FromStr;
use std::time::Duration;

use opentelemetry_otlp::{MetricExporter, SpanExporter, WithExportConfig as _};

use super::TelemetryError;
use super::sending::Told;

/// A receiver that has not answered by then has not got it.
const PATIENCE: Duration = Duration::from_secs(5);

/// How it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC; receivers listen at port 4317.
    Grpc,
    /// Protobuf over HTTP; receivers listen at port 4318.
    Http,
}

/// A text that names no protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no protocol of OTLP: give grpc or http/protobuf")]
pub struct UnknownProtocol(String);

impl FromStr for Protocol {
    type Err = UnknownProtocol;
    fn from_str(text: &str) -> Result<Self, UnknownProtocol> {
        match text {
            "grpc" => Ok(Self::Grpc),
            "http" | "http/protobuf" => Ok(Self::Http),
            other => Err(UnknownProtocol(other.to_owned())),
        }
    }
}

/// Who receives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtlpOptions {
    /// Its root, e.g. `http://127.0.0.1:4317`.
    pub endpoint: String,
    /// What it understands.
    pub protocol: Protocol,
}

impl OtlpOptions {
    /// Of HTTP each signal has a path of its own.
    fn endpoint_of(&self, signal: &str) -> String {
        match self.protocol {
            Protocol::Grpc => self.endpoint.clone(),
            Protocol::Http => format!("{}/v1/{signal}", self.endpoint.trim_end_matches('/')),
        }
    }

    pub(super) fn spans(&self) -> Result<Told<SpanExporter>, TelemetryError> {
        let endpoint = self.endpoint_of("traces");
        let built = match self.protocol {
            Protocol::Grpc => {
                SpanExporter::builder().with_tonic().with_endpoint(endpoint).with_timeout(PATIENCE).build()
            }
            Protocol::Http => {
                SpanExporter::builder().with_http().with_endpoint(endpoint).with_timeout(PATIENCE).build()
            }
        };
        let built = built.map_err(|error| TelemetryError::Exporter(error.to_string()))?;
        Ok(Told::new(built, "traces"))
    }

    pub(super) fn metrics(&self) -> Result<Told<MetricExporter>, TelemetryError> {
        let endpoint = self.endpoint_of("metrics");
        let built = match self.protocol {
            Protocol::Grpc => {
                MetricExporter::builder().with_tonic().with_endpoint(endpoint).with_timeout(PATIENCE).build()
            }
            Protocol::Http => {
                MetricExporter::builder().with_http().with_endpoint(endpoint).with_timeout(PATIENCE).build()
            }
        };
        let built = built.map_err(|error| TelemetryError::Exporter(error.to_string()))?;
        Ok(Told::new(built, "metrics"))
    }
}
