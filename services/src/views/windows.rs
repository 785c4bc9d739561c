//! The windows of a target as the limiter sees them: the rows that it works with itself.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, PgConnection, PgPool};

/// The use of a window at this moment.
#[derive(Debug, FromRow, Serialize)]
pub struct Window {
    /// The scope of the limit: `target:…`, `account:…` or `egress:…`.
    pub scope: String,
    /// How many requests it admits; `None` without a limit.
    pub requests: Option<i32>,
    /// How long it is, in milliseconds.
    pub window_ms: Option<i32>,
    /// Slots that are taken, which are more than it admits for a while after it was lowered; without a limit calls take none.
    pub in_use: i64,
    /// When the first of them comes back.
    pub next_free_at: Option<DateTime<Utc>>,
    /// Until when the channel has paused it.
    pub paused_until: Option<DateTime<Utc>>,
}

/// Of some scopes. One that is not limited has its row, too: a channel can pause it.
fn windows(which: &str) -> String {
    format!(
        "SELECT r.scope, r.requests, r.window_ms,
            count(s.slot) FILTER (WHERE s.free_at > now()) AS in_use,
            min(s.free_at) FILTER (WHERE s.free_at > now() AND isfinite(s.free_at)) AS next_free_at,
            CASE WHEN r.paused_until > now() AND isfinite(r.paused_until) THEN r.paused_until END AS paused_until
         FROM rate_scopes AS r LEFT JOIN rate_slots AS s ON s.scope = r.scope
         WHERE {which} GROUP BY r.scope ORDER BY r.scope DESC"
    )
}

/// Those of these scopes in which a call was made before.
pub async fn of(connection: &mut PgConnection, scopes: &[String]) -> Result<Vec<Window>, sqlx::Error> {
    sqlx::query_as(&windows("r.scope = ANY($1)")).bind(scopes).fetch_all(connection).await
}

/// Those of the addresses that calls leave from, where one has a limit or is paused: they are of all organisations.
pub async fn of_egress(pool: &PgPool) -> Result<Vec<Window>, sqlx::Error> {
    let limited =
        "r.scope LIKE 'egress:%' AND (r.requests IS NOT NULL OR r.paused_until > now() AND isfinite(r.paused_until))";
    sqlx::query_as(&windows(limited)).fetch_all(pool).await
}
