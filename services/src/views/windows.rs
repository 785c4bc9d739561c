//! The windows of a target as the limiter sees them: the rows that it works with itself.

use chrono::{DateTime, Utc};
use domain::counted::agreeing;
use serde::Serialize;
use sqlx::{FromRow, PgConnection, PgPool};
use utoipa::ToSchema;

use super::moment::moment;

/// A window, as the limiter sees it.
#[derive(Debug, Clone, FromRow, Serialize, ToSchema)]
pub struct ScopeWindow {
    /// `target`, `account` or `egress`.
    // For whoever runs the service with the key of the scope behind a colon.
    pub scope: String,
    /// Requests that it admits; `null` where there is no limit.
    pub requests: Option<i32>,
    /// Its length in milliseconds.
    pub window_ms: Option<i32>,
    /// Slots that are taken.
    // More than it admits for a while after it was lowered; without a limit calls take none.
    pub in_use: i64,
    /// When the next one comes back, if its call tells nothing earlier.
    pub next_free_at: Option<DateTime<Utc>>,
    /// Until when the channel has it paused.
    pub paused_until: Option<DateTime<Utc>>,
}

impl ScopeWindow {
    /// What kind of scope it is of: `target`, `account` or `egress`.
    pub fn kind(&self) -> &str {
        self.scope.split(':').next().unwrap_or_default()
    }

    /// The same for those to whom the key of its scope is not told.
    #[must_use]
    pub fn without_key(self) -> Self {
        Self { scope: self.kind().to_owned(), ..self }
    }

    /// Every slot is taken.
    pub fn is_full(&self) -> bool {
        self.requests.is_some_and(|requests| self.in_use >= i64::from(requests))
    }

    /// Nothing can start here now.
    pub fn is_closed(&self) -> bool {
        self.paused_until.is_some() || self.is_full()
    }

    /// How it stands, in words.
    pub fn words(&self) -> String {
        let (scope, used) = (self.kind(), self.in_use);
        match (self.paused_until, self.requests) {
            (Some(until), _) => format!("the channel has the {scope} paused until {}", moment(until)),
            (None, Some(of)) if self.is_full() => {
                format!("the window of the {scope} is full: {used} of {of} slots are taken")
            }
            (None, Some(of)) => format!("{used} of {of} slots of the {scope} {} taken", agreeing(used, "is", "are")),
            (None, None) => format!("the {scope} has no limit"),
        }
    }
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
pub async fn of(connection: &mut PgConnection, scopes: &[String]) -> Result<Vec<ScopeWindow>, sqlx::Error> {
    sqlx::query_as(&windows("r.scope = ANY($1)")).bind(scopes).fetch_all(connection).await
}

/// Those of the addresses that calls leave from, where one has a limit or is paused: they are of all organisations.
pub async fn of_egress(pool: &PgPool) -> Result<Vec<ScopeWindow>, sqlx::Error> {
    let limited =
        "r.scope LIKE 'egress:%' AND (r.requests IS NOT NULL OR r.paused_until > now() AND isfinite(r.paused_until))";
    sqlx::query_as(&windows(limited)).fetch_all(pool).await
}
