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

/// What `serve` logs unless somebody says otherwise. Of a certificate that cannot be verified the call says so that failed for it; a library
/// has a line at ERROR beside it, at each try and without a word of whose call it was.
pub const SERVED: &str = "info,sqlx=warn,rustls_platform_verifier=off";

/// What other commands log.
pub const COMMANDED: &str = "warn,sqlx=error,rustls_platform_verifier=off";

/// Where the lines of the service come from: the modules that log, by crate. A test holds this to the sources.
pub const LOGGED: [&str; 29] = [
    "adapters::dispatch",
    "adapters::event_store",
    "adapters::hostaway",
    "adapters::identity",
    "adapters::leader",
    "adapters::nats",
    "adapters::telemetry",
    "projections::outbound_audit",
    "projections::rebuild",
    "projections::runner",
    "services::api",
    "services::clock",
    "services::credentials",
    "services::dashboard",
    "services::dead_letters",
    "services::descriptors",
    "services::dispatcher",
    "services::drift",
    "services::health",
    "services::holders",
    "services::http",
    "services::intake",
    "services::leading",
    "services::projector",
    "services::relay",
    "services::schema",
    "services::serve",
    "services::stopping",
    "services::telemetry",
];

/// A filter that somebody gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedLevel {
    /// With the level of the rest: that of [`SERVED`], where none is given.
    pub filter: String,
    /// Targets in it of which the service itself logs no line, and that its own filters do not name.
    pub unknown: Vec<String>,
}

/// A filter, if it is one.
pub fn checked_level(filter: &str) -> anyhow::Result<CheckedLevel> {
    let filter = filter.trim();
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    let wanted = format!("give a level ({}), or module=debug for that of a module", levels.join(", "));
    if filter.is_empty() {
        anyhow::bail!("it is empty: {wanted}");
    }
    let mut parts = filter.split(',').map(str::trim);
    if let Some(part) = parts.find(|part| part.is_empty() || part.starts_with('=')) {
        let why = if part.is_empty() { "an empty part".to_owned() } else { format!("{part:?}, which names no module") };
        anyhow::bail!("{filter:?} has {why}: {wanted}");
    }
    parse(filter)?;
    // A word alone is taken for a module, and a typo would silence every process.
    let (rest, named): (Vec<&str>, Vec<&str>) =
        filter.split(',').map(str::trim).partition(|part| !part.contains(['=', '[']));
    if let Some(word) = rest.iter().find(|word| !levels.contains(&word.to_ascii_lowercase().as_str())) {
        anyhow::bail!("{word:?} is no level ({}); of a module it is {word}=debug", levels.join(", "));
    }
    let targets = named.iter().filter_map(|part| part.split(['=', '[']).next()).map(str::trim);
    let unknown = targets.filter(|target| !is_logged(target)).map(str::to_owned).collect();
    // Else all but what is named would be silent, from the errors on.
    let filter = if rest.is_empty() { format!("{SERVED},{filter}") } else { filter.to_owned() };
    Ok(CheckedLevel { filter, unknown })
}

/// Whether a target of a filter is that of a line, or the beginning of one, as filters take it. Of libraries those are known that the
/// service's own filters name.
fn is_logged(target: &str) -> bool {
    let parts = [SERVED, COMMANDED].into_iter().flat_map(|filter| filter.split(','));
    let named = parts.filter_map(|part| Some(part.split_once('=')?.0));
    let within = |module: &str| target.strip_prefix(module).is_some_and(|rest| rest.starts_with("::"));
    LOGGED.into_iter().chain(named).any(|module| module.starts_with(target) || within(module))
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

#[cfg(test)]
mod tests {
    use tracing::Level;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn what_the_services_own_filters_name_is_no_typo() {
        let unknown = |filter: &str| checked_level(filter).unwrap().unknown;
        for filter in [SERVED, COMMANDED, "sqlx::query=debug,rustls_platform_verifier::verification=off"] {
            assert_eq!(unknown(filter), [""; 0], "{filter}");
        }
        assert_eq!(unknown("sqlxx=warn,services::dispatcherr=debug"), ["sqlxx", "services::dispatcherr"]);
    }

    #[test]
    fn an_odd_filter_is_told_what_is_odd_about_it() {
        let wanted = "give a level (off, error, warn, info, debug, trace), or module=debug for that of a module";
        for (filter, what) in [
            ("", "it is empty"),
            ("  ", "it is empty"),
            ("debug,", r#""debug," has an empty part"#),
            ("=debug", r#""=debug" has "=debug", which names no module"#),
        ] {
            assert_eq!(checked_level(filter).unwrap_err().to_string(), format!("{what}: {wanted}"));
        }
        assert_eq!(checked_level("  debug ").unwrap().filter, "debug");
        let told = checked_level("services").unwrap_err().to_string();
        assert!(told.ends_with("of a module it is services=debug"), "{told}");
    }

    #[test]
    fn of_a_certificate_that_cannot_be_verified_the_failed_call_alone_tells() {
        for filter in [SERVED, COMMANDED] {
            let subscriber = tracing_subscriber::registry().with(parse(filter).unwrap());
            tracing::subscriber::with_default(subscriber, || {
                let is_told = tracing::enabled!(target: "rustls_platform_verifier::verification::others", Level::ERROR);
                assert!(!is_told, "{filter}");
                assert!(tracing::enabled!(target: "services::dispatcher::record", Level::WARN), "{filter}");
            });
        }
    }
}
