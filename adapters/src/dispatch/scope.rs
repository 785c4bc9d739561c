//! Scopes and their limits.

use chrono::{DateTime, Utc};
use domain::window::{RateLimit, Scope};

use super::DispatchStore;

/// A scope and what it may do; `None` leaves it unlimited, yet a channel can pause it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeLimit {
    /// The scope.
    pub scope: Scope,
    /// Its limit.
    pub limit: Option<RateLimit>,
}

impl DispatchStore {
    /// The limit of an account at a channel, by its scope: of several targets that name one, the strictest counts.
    pub async fn account_limit(&self, scope: &Scope) -> Result<Option<RateLimit>, sqlx::Error> {
        let limits: Vec<(i32, i32)> = sqlx::query_as(
            "SELECT account_requests, account_window_ms FROM channel_targets
             WHERE 'account:' || channel || '/' || base_url || '/' || channel_account = $1
               AND lifecycle <> 'deleted' AND account_requests IS NOT NULL
             ORDER BY account_requests::float8 / account_window_ms, account_requests LIMIT 1",
        )
        .bind(scope.to_string())
        .fetch_all(&self.pool)
        .await?;
        let limit = limits.first().and_then(|(requests, window_ms)| {
            RateLimit::new(u32::try_from(*requests).ok()?, u32::try_from(*window_ms).ok()?).ok()
        });
        Ok(limit)
    }

    /// Brings scopes to their limits. Idempotent. A lower limit counts the slots that are still taken; a longer window
    /// keeps taken slots for longer.
    pub async fn ensure_scopes(&self, limits: &[ScopeLimit]) -> Result<(), sqlx::Error> {
        let mut sorted: Vec<&ScopeLimit> = limits.iter().collect();
        sorted.sort_by(|a, b| a.scope.cmp(&b.scope));
        sorted.dedup_by(|a, b| a.scope == b.scope);
        let whole = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        let scopes: Vec<String> = sorted.iter().map(|l| l.scope.to_string()).collect();
        let requests: Vec<Option<i32>> = sorted.iter().map(|l| l.limit.map(|l| whole(l.requests()))).collect();
        let windows: Vec<Option<i32>> = sorted.iter().map(|l| l.limit.map(|l| whole(l.window_ms()))).collect();
        let mut transaction = self.pool.begin().await?;
        sqlx::query(
            "UPDATE rate_slots s SET free_at = s.free_at + make_interval(secs => (u.window_ms - r.window_ms) / 1000.0)
             FROM unnest($1::text[], $2::int[]) AS u (scope, window_ms) JOIN rate_scopes r ON r.scope = u.scope
             WHERE s.scope = u.scope AND u.window_ms > r.window_ms AND s.free_at > clock_timestamp()",
        )
        .bind(&scopes)
        .bind(&windows)
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "INSERT INTO rate_scopes (scope, requests, window_ms)
             SELECT * FROM unnest($1::text[], $2::int[], $3::int[])
             ON CONFLICT (scope) DO UPDATE SET requests = excluded.requests, window_ms = excluded.window_ms
             WHERE (rate_scopes.requests, rate_scopes.window_ms)
                   IS DISTINCT FROM (excluded.requests, excluded.window_ms)",
        )
        .bind(&scopes)
        .bind(&requests)
        .bind(&windows)
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "INSERT INTO rate_slots (scope, slot)
             SELECT u.scope, s.slot FROM unnest($1::text[], $2::int[]) AS u (scope, requests)
             CROSS JOIN LATERAL generate_series(1, u.requests) AS s (slot)
             ON CONFLICT DO NOTHING",
        )
        .bind(&scopes)
        .bind(&requests)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await
    }

    /// Pauses a scope until `until`, as a channel asked.
    pub async fn pause_scope(&self, scope: &Scope, until: DateTime<Utc>) -> Result<(), sqlx::Error> {
        sqlx::query(
            "INSERT INTO rate_scopes (scope, paused_until) VALUES ($1, $2)
             ON CONFLICT (scope) DO UPDATE
             SET paused_until = greatest(rate_scopes.paused_until, excluded.paused_until)",
        )
        .bind(scope.to_string())
        .bind(until)
        .execute(&self.pool)
        .await
        .map(|_| ())
    }
}
