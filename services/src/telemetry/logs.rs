//! Logging: to stderr, so that stdout carries answers alone. `RUST_LOG` decides what is logged, a flag in which form.

use std::io::IsTerminal;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, reload};

use super::json_lines::OneLevel;
use super::repeats::Repeats;

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people
    Pretty,
    /// One JSON object per line
    Json,
}

/// The running log, whose filter can be changed.
#[derive(Debug, Clone)]
pub struct Logs {
    filter: reload::Handle<EnvFilter, Registry>,
    at_start: String,
    pub(super) repeats: Repeats,
}

impl Logs {
    /// Logs by another filter from now on; by the one of the start with `None`.
    ///
    /// # Errors
    /// It is no filter.
    pub fn change(&self, filter: Option<&str>) -> anyhow::Result<()> {
        let filter = filter.unwrap_or(&self.at_start);
        let wanted = parse(filter)?;
        self.filter.reload(wanted)?;
        tracing::info!(filter, "what is logged was changed");
        Ok(())
    }
}

pub(super) fn parse(filter: &str) -> anyhow::Result<EnvFilter> {
    EnvFilter::try_new(filter).map_err(|error| anyhow::anyhow!("{filter:?} is no filter: {error}"))
}

/// Starts logging. `default` is a filter for when `RUST_LOG` is not set.
///
/// # Errors
/// `RUST_LOG` is no filter, or logging was started before.
pub fn start(format: LogFormat, default: &str) -> anyhow::Result<Logs> {
    let at_start = std::env::var("RUST_LOG").ok().filter(|wanted| !wanted.is_empty());
    let at_start = at_start.unwrap_or_else(|| default.to_owned());
    let wanted = parse(&at_start).map_err(|error| anyhow::anyhow!("RUST_LOG: {error}"))?;
    let (wanted, filter) = reload::Layer::new(wanted);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Pretty => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => {
            let alone = lines.json().flatten_event(true).with_current_span(false).with_span_list(false);
            alone.map_event_format(OneLevel).boxed()
        }
    };
    let repeats = Repeats::default();
    let started = tracing_subscriber::registry().with(wanted).with(repeats.clone()).with(lines).try_init();
    started.map_err(|error| anyhow::anyhow!("failed to start logging: {error}"))?;
    Ok(Logs { filter, at_start, repeats })
}
