//! How a target's window stood while something waited, as the recorded calls tell, by the limits that were in force then.

use chrono::{DateTime, Utc};
use domain::recorded::ChannelEvent;
use domain::target::{Settings, TargetEvent};
use domain::window::RateLimit;
use sqlx::{FromRow, PgConnection};

use super::waits::Span;
use crate::views::history::{NoHistory, TARGET, of_types};

/// What the calls of a target left of its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Crowd {
    /// The most calls that held slots at one moment, under `limit`.
    pub most: i64,
    /// For how long they held all of them, in milliseconds, under whichever limit.
    pub full_ms: i64,
    /// The limit under which they did for longest, or else the last one of the time.
    pub limit: RateLimit,
}

/// The limits that a target has had, each with when it came into force.
#[derive(Debug, Clone)]
pub(super) struct Limits(Vec<(DateTime<Utc>, RateLimit)>);

const CHANGES: [&str; 2] = ["TargetCreated", "RateLimitChanged"];

impl Limits {
    pub(super) async fn read(connection: &mut PgConnection, target: &Settings) -> Result<Self, NoHistory> {
        let changes = of_types(connection, TARGET, target.target_id.0, &CHANGES).await?;
        let mut limits: Vec<_> = changes
            .iter()
            .filter_map(|recorded| match &recorded.event {
                ChannelEvent::Target(TargetEvent::RateLimitChanged { rate_limit }) => {
                    Some((recorded.recorded_at, *rate_limit))
                }
                // Clocks may differ: nothing was before it.
                ChannelEvent::Target(TargetEvent::TargetCreated { rate_limit, .. }) => {
                    Some((DateTime::UNIX_EPOCH, *rate_limit))
                }
                _ => None,
            })
            .collect();
        if limits.is_empty() {
            limits.push((DateTime::UNIX_EPOCH, target.rate_limit));
        }
        Ok(Self(limits))
    }
}

/// Positions around a wait among which its calls are looked for.
const NEARBY: i64 = 5_000;
/// Of a wait with more positions, the last ones are looked through.
const MOST: i64 = 50_000;

/// A call holds a slot from its start until a window and a margin after its end, by the limit at its end; the slots are full
/// where as many are held as the limit of that moment admits.
const CROWD: &str = "
WITH limits AS (SELECT * FROM unnest($3::timestamptz[], $4::bigint[], $5::float8[]) AS l (since, requests, rest_s)),
calls AS (
    SELECT started_at, started_at + make_interval(secs => duration_ms / 1000.0) AS ended_at FROM outbound_attempts
    WHERE org_id = $1 AND target_id = $2 AND position BETWEEN $8 AND $9 AND started_at < $7),
held AS (
    SELECT greatest(started_at, $6) AS taken_at, least(ended_at + make_interval(secs => l.rest_s), $7) AS free_at
    FROM calls CROSS JOIN LATERAL (SELECT rest_s FROM limits WHERE since <= ended_at ORDER BY since DESC LIMIT 1) AS l
    WHERE ended_at + make_interval(secs => l.rest_s) > $6),
steps AS (
    SELECT taken_at AS at, 1 AS step FROM held UNION ALL SELECT free_at, -1 FROM held
    UNION ALL SELECT greatest(since, $6), 0 FROM limits WHERE since < $7),
counted AS (
    SELECT at, sum(step) OVER (ORDER BY at, step ROWS UNBOUNDED PRECEDING) AS taken,
        lead(at) OVER (ORDER BY at, step) - at AS span
    FROM steps)
SELECT l.since, coalesce(max(taken), 0)::bigint AS most,
    coalesce(1000 * sum(extract(epoch FROM span)) FILTER (WHERE taken >= l.requests), 0)::bigint AS full_ms
FROM counted CROSS JOIN LATERAL (SELECT since, requests FROM limits WHERE since <= at ORDER BY since DESC LIMIT 1) AS l
GROUP BY l.since ORDER BY l.since";

#[derive(FromRow)]
struct UnderLimit {
    since: DateTime<Utc>,
    most: i64,
    full_ms: i64,
}

/// How the calls of a target stood in a time. The positions are those around it in the journal.
pub(super) async fn crowd(
    connection: &mut PgConnection,
    target: &Settings,
    limits: &Limits,
    (from, to): Span,
    (first, last): (i64, i64),
) -> Result<Crowd, sqlx::Error> {
    let of = |number: fn(&RateLimit) -> f64| limits.0.iter().map(|(_, limit)| number(limit)).collect::<Vec<f64>>();
    let requests: Vec<i64> = limits.0.iter().map(|(_, limit)| i64::from(limit.requests())).collect();
    let rows = sqlx::query_as(CROWD).bind(target.org_id.as_str()).bind(target.target_id.0);
    let rows = rows.bind(limits.0.iter().map(|(since, _)| *since).collect::<Vec<_>>()).bind(requests);
    let rows = rows.bind(of(|limit| f64::from(limit.rest_ms()) / 1_000.0)).bind(from).bind(to);
    let rows = rows.bind(first.max(last - MOST) - NEARBY).bind(last + NEARBY);
    let rows: Vec<UnderLimit> = rows.fetch_all(connection).await?;
    // Of several that were full for as long, the last one.
    let told = rows.iter().max_by_key(|row| row.full_ms);
    let limit = |row: &UnderLimit| limits.0.iter().find(|(since, _)| *since == row.since).map(|(_, limit)| *limit);
    Ok(Crowd {
        most: told.map_or(0, |row| row.most),
        full_ms: rows.iter().map(|row| row.full_ms).sum(),
        limit: told.and_then(limit).unwrap_or(target.rate_limit),
    })
}
