//! Traces and metrics by OpenTelemetry: sent by OTLP where that is configured, shown to Prometheus where that is. Without
//! either, every call here returns at once.

mod error;
mod metrics;
mod otlp;
mod traces;

use std::sync::OnceLock;

use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use prometheus::{Registry, TextEncoder};

pub use error::TelemetryError;
pub use metrics::{
    ChannelCall, Gauges, MostTargets, ServedRequest, Untaken, call_made, commits_written, intake_done, observe,
    request_served, sync_done, sync_tried,
};
pub use otlp::{OtlpOptions, Protocol};
pub use traces::{Happened, Kind, Stage, happened, is_sampled, is_traced};

/// What the service calls itself.
const SERVICE: &str = "distribution";

static STARTED: OnceLock<()> = OnceLock::new();

/// How telemetry is set up.
#[derive(Debug, Clone, Default)]
pub struct TelemetryOptions {
    /// Where traces and metrics are sent; nowhere by default.
    pub otlp: Option<OtlpOptions>,
    /// Whether metrics can be asked for as text.
    pub prometheus: bool,
    /// The share of traces that is kept of those that begin here, 0 to 1. Failures are always kept.
    pub sample_ratio: f64,
}

/// Running telemetry. Dropping it loses what was not sent yet; [`Telemetry::stop`] sends it.
#[derive(Debug)]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
    metrics: Vec<SdkMeterProvider>,
    registry: Registry,
}

impl Telemetry {
    /// Starts it, once in a process. Sending is done by threads of its own with bounded queues: what they cannot take is
    /// dropped, and the work goes on.
    pub fn start(options: &TelemetryOptions) -> Result<Self, TelemetryError> {
        STARTED.set(()).map_err(|()| TelemetryError::StartedBefore)?;
        // Several processes of one name must not be taken for one.
        let instance = KeyValue::new("service.instance.id", uuid::Uuid::now_v7().to_string());
        let resource = Resource::builder().with_attribute(instance).with_service_name(SERVICE).build();
        let registry = Registry::new();
        let mut metrics = Vec::new();
        if options.prometheus {
            let exporter = opentelemetry_prometheus::exporter().with_registry(registry.clone()).without_target_info();
            let exporter = exporter.build().map_err(|error| TelemetryError::Exporter(error.to_string()))?;
            metrics.push(SdkMeterProvider::builder().with_resource(resource.clone()).with_reader(exporter).build());
        }
        let mut traces = None;
        if let Some(otlp) = &options.otlp {
            let sent = SdkMeterProvider::builder().with_resource(resource.clone());
            metrics.push(sent.with_periodic_exporter(otlp.metrics()?).build());
            let provider = SdkTracerProvider::builder()
                .with_resource(resource)
                // What is not to be kept is never begun: see `traces`.
                .with_sampler(Sampler::AlwaysOn)
                .with_batch_exporter(otlp.spans()?)
                .build();
            traces::start(provider.tracer(SERVICE), options.sample_ratio);
            traces = Some(provider);
        }
        let meters: Vec<_> = metrics.iter().map(|provider| provider.meter(SERVICE)).collect();
        metrics::start(&meters);
        Ok(Self { traces, metrics, registry })
    }

    /// The metrics in Prometheus's text format, version 0.0.4.
    pub fn prometheus_text(&self) -> Result<String, TelemetryError> {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .map_err(|e| TelemetryError::Exporter(e.to_string()))
    }

    /// Sends what is left, and stops. It may take as long as the receiver's time-out: call it where blocking is allowed.
    pub fn stop(self) {
        let traces = self.traces.map(|provider| provider.shutdown());
        let ends = traces.into_iter().chain(self.metrics.into_iter().map(|provider| provider.shutdown()));
        for error in ends.filter_map(Result::err) {
            tracing::warn!(error = %error, "the last of the telemetry was not sent");
        }
    }
}
