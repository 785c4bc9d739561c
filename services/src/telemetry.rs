//! What the service tells about itself: log lines, whose level changes while it runs; traces and metrics by OTLP; metrics
//! as text for Prometheus.

mod gauges;
mod json_lines;
mod kept;
mod log_filter;
mod logs;
mod page;
mod pools;
mod repeats;
mod streams;
mod untold;

use std::sync::Arc;
use std::time::Duration;

use adapters::nats::Nats;
use adapters::telemetry::{Telemetry, TelemetryOptions};
use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use log_filter::{COMMANDED, CheckedLevel, LOGGED, LogLevel, SERVED, change_level, checked_level, level};
pub use logs::{LogFormat, Logs, start};
pub use pools::Pools;

use crate::config::TelemetrySettings;
use crate::schema::Schema;

/// Starts traces and metrics as they are configured. What it reads of the database waits for the schema; probes are answered before. Its
/// tasks end with `stop`.
pub async fn serve(
    settings: &TelemetrySettings,
    logs: Logs,
    pools: Pools,
    nats: &Nats,
    schema: &Schema,
    tasks: &mut JoinSet<()>,
    stop: &CancellationToken,
) -> anyhow::Result<Arc<Telemetry>> {
    let otlp = settings.otlp();
    let measured = otlp.is_some() || settings.metrics_listen.is_some();
    let options =
        TelemetryOptions { otlp, prometheus: settings.metrics_listen.is_some(), sample_ratio: settings.trace_ratio };
    let mut telemetry = Telemetry::start(&options)?;
    if let Some(kept) = telemetry.kept() {
        tasks.spawn(kept::share(kept, nats.clone(), stop.clone()));
    }
    let telemetry = Arc::new(telemetry);
    tasks.spawn(logs.repeats.clone().watch(stop.clone()));
    let followed = log_filter::follow(logs, pools.work.clone(), stop.clone());
    tasks.spawn(schema.clone().then(stop.clone(), followed));
    if measured {
        let every = Duration::from_secs(settings.metrics_interval_s);
        let watched = gauges::watch(pools, nats.clone(), every, stop.clone());
        tasks.spawn(schema.clone().then(stop.clone(), watched));
    }
    if let Some(address) = settings.metrics_listen {
        let refused = || format!("metrics cannot be shown at {address}: give another --metrics-listen");
        let listener = TcpListener::bind(address).await.with_context(refused)?;
        tasks.spawn(page::serve(listener, telemetry.clone(), schema.clone(), stop.clone()));
    }
    Ok(telemetry)
}

/// Sends the traces of a command where the environment names a receiver, all of them: people ask for few. What is wrong there is
/// said, and stops no command.
pub fn of_command() -> Option<Telemetry> {
    of_environment(|_| 1.0)
}

/// The same of a command that publishes, where thousands begin: the share of them that the environment names.
pub fn of_publisher() -> Option<Telemetry> {
    of_environment(|settings| settings.trace_ratio)
}

fn of_environment(share: fn(&TelemetrySettings) -> f64) -> Option<Telemetry> {
    let started = match TelemetrySettings::of_environment() {
        Ok(settings) => {
            settings.otlp().map(|otlp| Telemetry::of_traces(&otlp, share(&settings)).map_err(|error| error.to_string()))
        }
        Err(error) => Some(Err(error.to_string().lines().next().unwrap_or_default().to_owned())),
    };
    match started? {
        Ok(telemetry) => Some(telemetry),
        Err(error) => {
            tracing::warn!(error, "the trace of this command is not sent");
            None
        }
    }
}
