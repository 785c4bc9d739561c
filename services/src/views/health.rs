//! How a target answers now, and how that came about.

use std::time::Duration;

use adapters::dispatch::DispatchStore;
use chrono::{DateTime, Utc};
use domain::ids::{OrgId, TargetId};
use domain::metadata::Actor;
use domain::outcome::OutcomeClass;
use serde::Serialize;
use sqlx::{FromRow, PgConnection, PgPool};
use tokio::time::Instant;
use utoipa::ToSchema;
use uuid::Uuid;

/// How long single checks are kept, and the calls of looks for drift.
pub const KEPT_FOR: Duration = Duration::from_secs(3 * 24 * 3_600);

/// How a target answers now.
#[derive(Debug, FromRow, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the columns of the read model")]
pub struct Health {
    pub health: String,
    pub since: DateTime<Utc>,
    pub reason: Option<String>,
    /// Of a sync, or of a check.
    pub last_success_at: Option<DateTime<Utc>>,
    /// `sync` or `check`.
    pub last_success_of: Option<String>,
    /// Of a sync, or of a check; a sync that was refused for what is in it is no failure of its target.
    pub last_failure_at: Option<DateTime<Utc>>,
    /// `sync` or `check`.
    pub last_failure_of: Option<String>,
    /// What was said at the last failure.
    pub last_error: Option<String>,
    /// Attempts at syncs that failed in a row, whether or not their syncs did; checks are not among them, nor is what the channel refused.
    pub consecutive_failures: i32,
}

/// A change of it.
#[derive(Debug, FromRow, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the columns of the read model")]
pub struct HealthChange {
    pub position: i64,
    pub at: DateTime<Utc>,
    pub from_health: String,
    pub to_health: String,
    pub reason: String,
}

/// Syncs are events, and the read model has their last end; checks are rows, and as far as they are kept.
const NOW: &str = "
SELECT h.health, h.since, h.reason, h.consecutive_failures,
    greatest(h.last_success_at, answered.at) AS last_success_at,
    CASE WHEN answered.at > h.last_success_at OR h.last_success_at IS NULL AND answered.at IS NOT NULL THEN 'check'
        WHEN h.last_success_at IS NOT NULL THEN 'sync' END AS last_success_of,
    greatest(h.last_failure_at, failed.at) AS last_failure_at,
    CASE WHEN failed.later THEN 'check' WHEN h.last_failure_at IS NOT NULL THEN 'sync' END AS last_failure_of,
    CASE WHEN failed.later THEN failed.detail ELSE h.last_error END AS last_error
FROM target_health AS h
LEFT JOIN LATERAL (
    SELECT at FROM health_checks AS c WHERE c.target_id = h.target_id AND c.class IN ('accepted', 'accepted_with_rejections')
    ORDER BY at DESC LIMIT 1
) AS answered ON true
LEFT JOIN LATERAL (
    SELECT at, coalesce(detail, class) AS detail, at > h.last_failure_at OR h.last_failure_at IS NULL AS later
    FROM health_checks AS c
    WHERE c.target_id = h.target_id AND c.class = ANY ($3)
    ORDER BY at DESC LIMIT 1
) AS failed ON true
WHERE h.target_id = $1 AND ($2::text IS NULL OR h.org_id = $2)";

const CHANGES: &str = "
SELECT position, at, from_health, to_health, reason FROM target_health_changes
WHERE target_id = $1 AND ($2::text IS NULL OR org_id = $2) ORDER BY position DESC LIMIT $3";

/// `None` until a projector has seen the target. With an organisation, only where the target is its own.
pub async fn now(
    connection: &mut PgConnection,
    target: TargetId,
    org: Option<&OrgId>,
) -> Result<Option<Health>, sqlx::Error> {
    let now = sqlx::query_as(NOW).bind(target.0).bind(org.map(OrgId::as_str)).bind(OutcomeClass::failures());
    now.fetch_optional(connection).await
}

/// The newest changes first. With an organisation, only where the target is its own.
pub async fn changes(
    connection: &mut PgConnection,
    target: TargetId,
    org: Option<&OrgId>,
    limit: i64,
) -> Result<Vec<HealthChange>, sqlx::Error> {
    sqlx::query_as(CHANGES).bind(target.0).bind(org.map(OrgId::as_str)).bind(limit).fetch_all(connection).await
}

/// A single check of a target.
#[derive(Debug, FromRow, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the columns of the table")]
pub struct HealthCheck {
    pub check_id: Uuid,
    pub at: DateTime<Utc>,
    /// `service:health` (its turn had come), `service:dispatcher` (the target had failed), or who wanted to know.
    pub asked_by: String,
    /// The same, as everywhere else. Who else asked for this check is among the target's visits.
    pub created_by: String,
    /// The kind of credential; absent where an older build took the wish.
    pub credential: Option<String>,
    /// Which token or session it was; absent where the kind has none.
    pub credential_id: Option<String>,
    /// Calls that it took: one, or two where a token was needed.
    pub calls: i32,
    /// Of the last call; absent where no slot came free in time.
    pub latency_ms: Option<i64>,
    /// Of the answer that decided; absent where none did.
    pub status: Option<i32>,
    /// `accepted` where the target answers and takes the credentials.
    pub class: String,
    pub detail: Option<String>,
}

/// The last of its name: whoever asked again did so with another credential.
const CHECKS: &str = "
SELECT check_id, at, asked_by, asked_by AS created_by,
    CASE WHEN asker IS NOT NULL THEN asker ->> 'credential'
        WHEN asked_by IN ('service:health', 'service:dispatcher') THEN 'service' END AS credential,
    asker ->> 'credential_id' AS credential_id, calls, latency_ms, status, class, detail
FROM health_checks LEFT JOIN LATERAL (
    SELECT e.asker FROM jsonb_array_elements(askers) WITH ORDINALITY AS e (asker, place)
    WHERE e.asker ->> 'name' = asked_by ORDER BY e.place DESC LIMIT 1) AS own ON true
WHERE target_id = $1 AND ($2::text IS NULL OR org_id = $2) AND ($3::uuid IS NULL OR check_id = $3)
ORDER BY at DESC LIMIT $4";

/// The newest checks first. With an organisation, only where the target is its own.
pub async fn checks(
    connection: &mut PgConnection,
    target: TargetId,
    org: Option<&OrgId>,
    limit: i64,
) -> Result<Vec<HealthCheck>, sqlx::Error> {
    let rows = sqlx::query_as(CHECKS).bind(target.0).bind(org.map(OrgId::as_str)).bind(None::<Uuid>);
    rows.bind(limit).fetch_all(connection).await
}

/// From one look for the end of a check to the next.
const LOOK: Duration = Duration::from_millis(100);
/// Longer than a dispatcher waits for a slot and makes a call that is answered; a request may take 30 s.
const PATIENCE: Duration = Duration::from_secs(27);

/// Has a target checked now and waits for the end; `None` where no dispatcher has told it in time.
pub async fn check_now(pool: &PgPool, target: TargetId, by: &Actor) -> Result<Option<HealthCheck>, sqlx::Error> {
    let store = DispatchStore::new(pool.clone(), Uuid::now_v7());
    let check_id = store.ask_check(target, by).await?;
    let until = Instant::now() + PATIENCE;
    loop {
        let made: Option<HealthCheck> = sqlx::query_as(CHECKS)
            .bind(target.0)
            .bind(None::<&str>)
            .bind(check_id)
            .bind(1_i64)
            .fetch_optional(pool)
            .await?;
        if made.is_some() || Instant::now() >= until {
            return Ok(made);
        }
        tokio::time::sleep(LOOK).await;
    }
}
