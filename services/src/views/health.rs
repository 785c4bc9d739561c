//! How a target answers now, and how that came about.

use chrono::{DateTime, Utc};
use domain::ids::{OrgId, TargetId};
use serde::Serialize;
use sqlx::{FromRow, PgConnection};
use utoipa::ToSchema;

/// How a target answers now.
#[derive(Debug, FromRow, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the columns of the read model")]
pub struct Health {
    pub health: String,
    pub since: DateTime<Utc>,
    pub reason: Option<String>,
    pub last_success_at: Option<DateTime<Utc>>,
    pub last_failure_at: Option<DateTime<Utc>>,
    pub last_error: Option<String>,
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

const NOW: &str = "
SELECT health, since, reason, last_success_at, last_failure_at, last_error, consecutive_failures
FROM target_health WHERE target_id = $1 AND ($2::text IS NULL OR org_id = $2)";

const CHANGES: &str = "
SELECT position, at, from_health, to_health, reason FROM target_health_changes
WHERE target_id = $1 AND ($2::text IS NULL OR org_id = $2) ORDER BY position DESC LIMIT $3";

/// `None` until a projector has seen the target. With an organisation, only where the target is its own.
pub async fn now(
    connection: &mut PgConnection,
    target: TargetId,
    org: Option<&OrgId>,
) -> Result<Option<Health>, sqlx::Error> {
    sqlx::query_as(NOW).bind(target.0).bind(org.map(OrgId::as_str)).fetch_optional(connection).await
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
