//! Logging: to stderr, so that stdout carries answers alone. `RUST_LOG` decides what is logged, a flag in which form.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people
    Pretty,
    /// One JSON object per line
    Json,
}

/// Starts logging. `default` is a filter for when `RUST_LOG` is not set, e.g. `info,sqlx=warn`.
///
/// # Errors
/// `RUST_LOG` is no filter, or logging was started before.
pub fn start(format: LogFormat, default: &str) -> anyhow::Result<()> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(wanted) if !wanted.is_empty() => {
            EnvFilter::try_new(&wanted).map_err(|error| anyhow::anyhow!("RUST_LOG {wanted:?}: {error}"))?
        }
        _ => EnvFilter::try_new(default)?,
    };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Pretty => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("failed to start logging: {error}"))
}
