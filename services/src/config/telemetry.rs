//! Where telemetry goes.

use std::net::SocketAddr;

use adapters::telemetry::{OtlpOptions, Protocol};
use clap::{Args, Parser};
use url::Url;

/// Where traces and metrics go. Nowhere, unless it is said here.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Telemetry")]
pub struct TelemetrySettings {
    /// Send traces and metrics by OTLP to here, e.g. http://127.0.0.1:4317
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<Url>,

    /// grpc, or http/protobuf
    #[arg(long, env = "OTEL_EXPORTER_OTLP_PROTOCOL", default_value = "grpc", value_name = "PROTOCOL")]
    pub otlp_protocol: Protocol,

    /// The share of traces that is kept of those that begin here, 0 to 1; one with a failure is kept in any case, and what comes
    /// with a traceparent is kept where that says so
    #[arg(long, env = "DISTRIBUTION_TRACE_RATIO", default_value_t = 0.1, value_parser = share, value_name = "SHARE")]
    pub trace_ratio: f64,

    /// Show metrics to Prometheus at /metrics of this address, e.g. 127.0.0.1:9464; they name no organisation. /health/live and
    /// /health/ready are there as well
    #[arg(long, env = "DISTRIBUTION_METRICS_LISTEN", value_name = "ADDRESS")]
    pub metrics_listen: Option<SocketAddr>,

    /// How often figures are read from the tables and from NATS, in seconds: as often as they are scraped
    #[arg(long, env = "DISTRIBUTION_METRICS_INTERVAL_S", default_value_t = 15, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=60))]
    pub metrics_interval_s: u64,
}

/// What the environment says, for commands: they have no flags for it.
#[derive(Debug, Parser)]
struct FromEnvironment {
    #[command(flatten)]
    telemetry: TelemetrySettings,
}

impl TelemetrySettings {
    /// Those of the environment alone.
    pub fn of_environment() -> Result<Self, clap::Error> {
        FromEnvironment::try_parse_from(["distribution"]).map(|settings| settings.telemetry)
    }

    /// Who receives traces and metrics, if anybody does.
    pub fn otlp(&self) -> Option<OtlpOptions> {
        let endpoint = self.otlp_endpoint.as_ref()?.to_string();
        Some(OtlpOptions { endpoint, protocol: self.otlp_protocol })
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "give a share, such as 0.1".to_owned())?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("give a share from 0 to 1, such as 0.1".to_owned()) }
}
