//! Scopes that several lanes fall under: an account at a channel, an address that calls leave from.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::FromRow;

use super::Round;

/// A scope that several lanes fall under, as a round sees it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SharedScope {
    /// The channel has it paused for so long from now.
    pub paused_for: Option<Duration>,
    /// Slots that are free now; `None` where there is no limit.
    pub free: Option<Vec<i32>>,
    /// How long until the next taken slot comes back, if its call tells nothing earlier.
    pub next_free: Option<Duration>,
}

#[derive(FromRow)]
struct ScopeRow {
    scope: String,
    requests: Option<i32>,
    paused_s: Option<f64>,
    free: Vec<i32>,
    taken: i64,
    next_free_s: Option<f64>,
}

impl Round<'_> {
    /// The scopes that several lanes share, by their text. Limited ones are locked for the rest of the round.
    pub async fn shared_scopes(&mut self, scopes: &[String]) -> Result<BTreeMap<String, SharedScope>, sqlx::Error> {
        let names =
            "SELECT 1 FROM rate_scopes WHERE scope = ANY($1) AND requests IS NOT NULL ORDER BY scope FOR UPDATE";
        sqlx::query(names).bind(scopes).execute(&mut *self.transaction).await?;
        // The lock may have been waited for: only a statement after it sees what its last holder wrote.
        let rows: Vec<ScopeRow> = sqlx::query_as(
            "SELECT r.scope, r.requests, slot.free, slot.taken,
                    CASE WHEN r.paused_until > clock_timestamp()
                         THEN extract(epoch FROM r.paused_until - clock_timestamp())::float8 END AS paused_s,
                    extract(epoch FROM slot.next_free_at - now())::float8 AS next_free_s
             FROM rate_scopes r
             CROSS JOIN LATERAL (
                 SELECT coalesce(array_agg(slot ORDER BY slot)
                                 FILTER (WHERE free_at <= now() AND slot <= r.requests), '{}') AS free,
                        count(*) FILTER (WHERE free_at > now()) AS taken,
                        min(free_at) FILTER (WHERE free_at > now()) AS next_free_at
                 FROM rate_slots s WHERE s.scope = r.scope) slot
             WHERE r.scope = ANY($1)",
        )
        .bind(scopes)
        .fetch_all(&mut *self.transaction)
        .await?;
        Ok(rows.into_iter().map(|row| (row.scope.clone(), row.into())).collect())
    }
}

impl From<ScopeRow> for SharedScope {
    fn from(row: ScopeRow) -> Self {
        let free = row.requests.map(|requests| {
            let open = usize::try_from(i64::from(requests) - row.taken).unwrap_or(0);
            row.free.into_iter().take(open).collect()
        });
        let length = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or_default();
        Self { paused_for: row.paused_s.map(length), free, next_free: row.next_free_s.map(length) }
    }
}
