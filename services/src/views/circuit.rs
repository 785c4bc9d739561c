//! A circuit that is open: its target failed again and again, and nothing but checks is sent to it until one is answered.

use chrono::{DateTime, Utc};
use domain::ids::TargetId;
use serde::Serialize;
use sqlx::{FromRow, PgPool};
use utoipa::ToSchema;

use super::moment::moment;

/// A circuit that is open.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize, ToSchema)]
pub struct OpenCircuit {
    /// Failures in a row, of pushes and checks.
    pub failures: i32,
    /// When the next check is due; absent while one is under way.
    pub next_check_at: Option<DateTime<Utc>>,
}

impl OpenCircuit {
    /// In plain words.
    pub fn words(&self) -> String {
        let next = self.next_check_at.map(|at| format!("; the next one is due {}", moment(at))).unwrap_or_default();
        format!("the target failed {} times in a row and is left alone until a check is answered{next}", self.failures)
    }
}

const OPEN: &str = "
SELECT c.failures, CASE WHEN isfinite(k.due_at) THEN k.due_at END AS next_check_at
FROM dispatch_circuits AS c LEFT JOIN dispatch_checks AS k ON k.target_id = c.target_id
WHERE c.target_id = $1 AND c.opened > 0";

/// The circuit of a target, if it is open.
pub async fn open(pool: &PgPool, target: TargetId) -> Result<Option<OpenCircuit>, sqlx::Error> {
    sqlx::query_as(OPEN).bind(target.0).fetch_optional(pool).await
}
