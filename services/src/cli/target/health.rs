//! `target health`: how the channel answers now, and every change before.

use chrono::{DateTime, Utc};
use clap::Args;
use domain::ids::TargetId;
use serde::Serialize;
use serde_json::json;
use sqlx::{FromRow, PgPool};

use crate::cli::output::{Cell, state, text};
use crate::cli::session::{Session, target_settings};
use crate::cli::span::{moment, optional_moment};

#[derive(Debug, Args)]
pub(in crate::cli) struct HealthArgs {
    /// The target
    #[arg(value_name = "TARGET")]
    target_id: TargetId,
    /// How many changes at most, the newest first
    #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..=10_000))]
    limit: i64,
}

/// How a target answers now.
#[derive(Debug, FromRow, Serialize)]
pub(super) struct Health {
    pub(super) health: String,
    pub(super) since: DateTime<Utc>,
    pub(super) reason: Option<String>,
    pub(super) last_success_at: Option<DateTime<Utc>>,
    pub(super) last_failure_at: Option<DateTime<Utc>>,
    pub(super) last_error: Option<String>,
    pub(super) consecutive_failures: i32,
}

#[derive(Debug, FromRow, Serialize)]
struct Change {
    position: i64,
    at: DateTime<Utc>,
    from_health: String,
    to_health: String,
    reason: String,
}

const NOW: &str = "
SELECT health, since, reason, last_success_at, last_failure_at, last_error, consecutive_failures
FROM target_health WHERE target_id = $1";

const CHANGES: &str = "
SELECT position, at, from_health, to_health, reason FROM target_health_changes
WHERE target_id = $1 ORDER BY position DESC LIMIT $2";

/// `None` until a projector has seen the target.
pub(super) async fn health_of(pool: &PgPool, target_id: TargetId) -> Result<Option<Health>, sqlx::Error> {
    sqlx::query_as(NOW).bind(target_id.0).fetch_optional(pool).await
}

impl HealthArgs {
    pub(in crate::cli) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let pool = session.postgres().await?;
        let id = self.target_id;
        let settings = target_settings(session.syncing(&pool).commands(), id).await?;
        let now = health_of(&pool, id).await?;
        let changes: Vec<Change> = sqlx::query_as(CHANGES).bind(id.0).bind(self.limit).fetch_all(&pool).await?;
        if session.out.is_json() {
            let (health, changes) = (settings.health, &changes);
            return session.out.json(&json!({ "target_id": id, "health": health, "now": now, "changes": changes }));
        }
        let mut fields = vec![("target", id.to_string()), ("health", settings.health.as_str().to_owned())];
        if let Some(now) = now {
            fields.extend([
                ("since", moment(now.since)),
                ("reason", now.reason.unwrap_or_default()),
                ("last success", optional_moment(now.last_success_at)),
                ("last failure", optional_moment(now.last_failure_at)),
                ("last error", now.last_error.unwrap_or_default()),
                ("failures in a row", optional_count(now.consecutive_failures)),
            ]);
        }
        session.out.record(&fields)?;
        if changes.is_empty() {
            return Ok(());
        }
        session.out.line("")?;
        let rows = changes.iter().map(Change::cells).collect();
        session.out.table(&["position", "at", "from", "to", "reason"], rows, "")
    }
}

fn optional_count(count: i32) -> String {
    if count > 0 { count.to_string() } else { String::new() }
}

impl Change {
    fn cells(&self) -> Vec<Cell> {
        vec![
            text(self.position),
            text(moment(self.at)),
            state(&self.from_health),
            state(&self.to_health),
            text(&self.reason),
        ]
    }
}
