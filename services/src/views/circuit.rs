//! A circuit that is open: its target failed again and again, and nothing but checks is sent to it until one is answered.

use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::ids::TargetId;
use serde::Serialize;
use sqlx::{FromRow, PgConnection, PgPool};
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
        let failed = format!("{} attempts and checks of the target failed in a row", self.failures);
        format!("{failed}, and it is left alone until a check is answered{next}")
    }
}

/// What is to be said where somebody has had such a target checked, and it does not answer.
pub const OUT_OF_TURN: &str = "this check, which failed, leaves that time as it was";

const OPEN: &str = "
SELECT c.failures, CASE WHEN isfinite(k.due_at) THEN k.due_at END AS next_check_at
FROM dispatch_circuits AS c LEFT JOIN dispatch_checks AS k ON k.target_id = c.target_id
WHERE c.target_id = $1 AND c.opened > 0";

/// How long it is known when a circuit was open.
pub const KNOWN_FOR: Duration = Duration::from_secs(90 * 24 * 3_600);

/// A time in which a circuit was open.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Opening {
    /// UTC.
    pub opened_at: DateTime<Utc>,
    /// UTC; absent while it is open.
    pub closed_at: Option<DateTime<Utc>>,
}

const OPENINGS: &str = "
SELECT opened_at, closed_at FROM circuit_openings
WHERE target_id = $1 AND opened_at < $3 AND (closed_at IS NULL OR closed_at > $2) ORDER BY opened_at";

/// When the circuit of a target was open between two moments.
pub async fn openings(
    connection: &mut PgConnection,
    target: TargetId,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
) -> Result<Vec<Opening>, sqlx::Error> {
    sqlx::query_as(OPENINGS).bind(target.0).bind(from).bind(to).fetch_all(connection).await
}

/// Openings are written down since the migration that made their table.
const KNOWN_SINCE: &str = "
SELECT greatest(now() - make_interval(secs => $1), min(installed_on)) FROM _sqlx_migrations WHERE version = 18";

/// Since when all openings are known.
pub async fn known_since(pool: &PgPool) -> Result<DateTime<Utc>, sqlx::Error> {
    sqlx::query_scalar(KNOWN_SINCE).bind(KNOWN_FOR.as_secs_f64()).fetch_one(pool).await
}

/// The circuit of a target, if it is open. Whoever asks has to see the target: no reader sees the checks that are due.
pub async fn open(pool: &PgPool, target: TargetId) -> Result<Option<OpenCircuit>, sqlx::Error> {
    sqlx::query_as(OPEN).bind(target.0).fetch_optional(pool).await
}
