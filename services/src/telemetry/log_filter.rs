//! What is logged can be changed while the service runs: the filter stands in Postgres, and every process follows it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::metadata::Actor;
use serde::Serialize;
use sqlx::{FromRow, PgPool};
use tokio_util::sync::CancellationToken;

use super::logs::{Logs, parse};

/// How soon a change is followed.
const LOOK: Duration = Duration::from_secs(2);

/// The filter of all processes.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct LogLevel {
    /// As of `RUST_LOG`.
    pub filter: String,
    /// Who set it.
    pub changed_by: String,
    /// When.
    pub changed_at: DateTime<Utc>,
}

/// The filter that was set; `None` where each process logs by its own start.
pub async fn level(pool: &PgPool) -> Result<Option<LogLevel>, sqlx::Error> {
    sqlx::query_as("SELECT filter, changed_by, changed_at FROM log_filter").fetch_optional(pool).await
}

/// A filter, if it is one.
pub fn checked_level(filter: &str) -> anyhow::Result<String> {
    parse(filter)?;
    // A word alone is taken for a module, and a typo would silence every process.
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    let lone = filter
        .split(',')
        .map(str::trim)
        .find(|part| !part.contains(['=', '[']) && !levels.contains(&part.to_ascii_lowercase().as_str()));
    match lone {
        Some(word) => anyhow::bail!("{word:?} is no level ({}); of a module it is {word}=debug", levels.join(", ")),
        None => Ok(filter.to_owned()),
    }
}

/// Sets the filter of all processes, or takes it back.
pub async fn change_level(pool: &PgPool, filter: Option<&str>, by: &Actor) -> Result<(), sqlx::Error> {
    let Some(filter) = filter else {
        return sqlx::query("DELETE FROM log_filter").execute(pool).await.map(|_| ());
    };
    let set = "INSERT INTO log_filter (filter, changed_by) VALUES ($1, $2)
        ON CONFLICT (one) DO UPDATE SET filter = excluded.filter, changed_by = excluded.changed_by, changed_at = now()";
    sqlx::query(set).bind(filter).bind(&by.name).execute(pool).await.map(|_| ())
}

/// Follows the filter until `stop`. A database that is away changes nothing.
pub(super) async fn follow(logs: Logs, pool: PgPool, stop: CancellationToken) {
    let mut followed: Option<String> = None;
    loop {
        if let Ok(found) = level(&pool).await {
            let wanted = found.map(|level| level.filter);
            if wanted != followed {
                if let Err(error) = logs.change(wanted.as_deref()) {
                    tracing::warn!(error = %error, "what is to be logged cannot be followed");
                }
                followed = wanted;
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}
