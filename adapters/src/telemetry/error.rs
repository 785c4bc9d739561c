//! Why telemetry cannot be started or shown.

/// A refusal.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// It runs already in this process.
    #[error("telemetry was started before")]
    StartedBefore,
    /// What sends or shows it cannot be set up.
    #[error("telemetry cannot be sent or shown: {0}")]
    Exporter(String),
}
