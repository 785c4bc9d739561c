//! Traces and metrics by OpenTelemetry: sent by OTLP where that is configured, shown to Prometheus where that is. Without
//! either, every call here returns at once.

mod about;
mod error;
mod keeper;
mod metrics;
mod otlp;
mod sending;
mod traces;

use std::sync::OnceLock;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::{
    BatchConfig, BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider, SpanProcessor as _,
};
use prometheus::{Registry, TextEncoder};
use tokio::sync::mpsc;

pub use about::{Attributes, about, about_event};
pub use error::TelemetryError;
pub use metrics::{
    ChannelCall, Gauges, MostTargets, ServedRequest, Untaken, call_made, call_starts, commits_written, found_dropped,
    intake_done, observe, request_served, sync_done, sync_tried,
};
pub use otlp::{OtlpOptions, Protocol};
pub use traces::{Happened, Kind, Stage, happened, is_flagged, is_traced, keep, keep_as_told, new_trace};

use keeper::Keeper;

/// What the service calls itself.
const SERVICE: &str = "distribution";
/// Spans that wait to be sent at most; further ones are dropped.
const QUEUED_SPANS: usize = 16_384;

static STARTED: OnceLock<()> = OnceLock::new();

/// How telemetry is set up.
#[derive(Debug, Clone, Default)]
pub struct TelemetryOptions {
    /// Where traces and metrics are sent; nowhere by default.
    pub otlp: Option<OtlpOptions>,
    /// Whether metrics can be asked for as text.
    pub prometheus: bool,
    /// The share of traces that is kept of those that begin here, 0 to 1. One with a failure is always kept, from there on
    /// and as far as what came before is still held.
    pub sample_ratio: f64,
}

/// Running telemetry. Dropping it loses what was not sent yet; [`Telemetry::stop`] sends it.
#[derive(Debug)]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
    metrics: Vec<SdkMeterProvider>,
    registry: Registry,
    kept: Option<mpsc::Receiver<String>>,
}

impl Telemetry {
    /// Starts it, once in a process. Sending is done by threads of its own with bounded queues: what they cannot take is
    /// dropped, and the work goes on.
    pub fn start(options: &TelemetryOptions) -> Result<Self, TelemetryError> {
        STARTED.set(()).map_err(|()| TelemetryError::StartedBefore)?;
        let resource = resource();
        let registry = Registry::new();
        let mut metrics = Vec::new();
        if options.prometheus {
            let exporter = opentelemetry_prometheus::exporter().with_registry(registry.clone()).without_target_info();
            let exporter = exporter.build().map_err(|error| TelemetryError::Exporter(error.to_string()))?;
            let shown = SdkMeterProvider::builder().with_resource(resource.clone()).with_view(metrics::for_prometheus);
            metrics.push(shown.with_reader(exporter).build());
        }
        let (mut traces, mut kept) = (None, None);
        if let Some(otlp) = &options.otlp {
            let sent = SdkMeterProvider::builder().with_resource(resource.clone());
            metrics.push(sent.with_periodic_exporter(otlp.metrics()?).build());
            let (provider, told) = start_traces(otlp, resource, options.sample_ratio)?;
            (traces, kept) = (Some(provider), Some(told));
        }
        let meters: Vec<_> = metrics.iter().map(|provider| provider.meter(SERVICE)).collect();
        metrics::start(&meters);
        Ok(Self { traces, metrics, registry, kept })
    }

    /// Traces alone, this share of them: for a command, which is over before anybody would look at its metrics.
    pub fn of_traces(otlp: &OtlpOptions, sample_ratio: f64) -> Result<Self, TelemetryError> {
        STARTED.set(()).map_err(|()| TelemetryError::StartedBefore)?;
        let (provider, told) = start_traces(otlp, resource(), sample_ratio)?;
        Ok(Self { traces: Some(provider), metrics: Vec::new(), registry: Registry::new(), kept: Some(told) })
    }

    /// The ids of traces that are kept because something of them failed here, for other processes to hear of; once.
    pub fn kept(&mut self) -> Option<mpsc::Receiver<String>> {
        self.kept.take()
    }

    /// The metrics in Prometheus's text format, version 0.0.4.
    pub fn prometheus_text(&self) -> Result<String, TelemetryError> {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .map_err(|e| TelemetryError::Exporter(e.to_string()))
    }

    /// Sends what is left, and stops. It may take so long for traces, and as long as the receiver's time-out for metrics:
    /// call it where blocking is allowed.
    pub fn stop(self, limit: Duration) {
        let traces = self.traces.map(|provider| provider.shutdown_with_timeout(limit));
        let ends = traces.into_iter().chain(self.metrics.into_iter().map(|provider| provider.shutdown()));
        for error in ends.filter_map(Result::err) {
            tracing::warn!(error = %error, "the last of the telemetry was not sent");
        }
    }
}

/// Several processes of one name must not be taken for one.
fn resource() -> Resource {
    let instance = KeyValue::new("service.instance.id", uuid::Uuid::now_v7().to_string());
    Resource::builder().with_attribute(instance).with_service_name(SERVICE).build()
}

/// The environment's `OTEL_BSP_*`, with a queue that has room for the traces of a burst of failures.
fn queue() -> BatchConfig {
    let config = BatchConfigBuilder::default();
    if std::env::var_os("OTEL_BSP_MAX_QUEUE_SIZE").is_some() {
        return config.build();
    }
    config.with_max_queue_size(QUEUED_SPANS).build()
}

fn start_traces(
    otlp: &OtlpOptions,
    resource: Resource,
    ratio: f64,
) -> Result<(SdkTracerProvider, mpsc::Receiver<String>), TelemetryError> {
    let mut sender = BatchSpanProcessor::builder(otlp.spans()?).with_batch_config(queue()).build();
    // The keeper shares it, so nobody can tell it later.
    sender.set_resource(&resource);
    let (keeper, told) = Keeper::new(sender, ratio);
    let provider = SdkTracerProvider::builder()
        .with_resource(resource)
        .with_sampler(keeper.clone())
        .with_span_processor(keeper.clone())
        .build();
    traces::start(provider.tracer(SERVICE), keeper);
    Ok((provider, told))
}
