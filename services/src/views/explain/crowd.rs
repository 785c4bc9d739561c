//! How a window stood while something waited, as the recorded calls tell, by the limits that were in force then: those of syncs, and
//! as far as they are kept those of health checks and of looks for drift.

use chrono::{DateTime, Utc};
use domain::window::RateLimit;
use serde::Serialize;
use sqlx::{FromRow, PgConnection};
use utoipa::ToSchema;

use super::limits::Limits;
use super::waits::Span;
use crate::views::health::KEPT_FOR;

/// Calls of no sync among those that held slots of a window during a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct OtherCalls {
    /// Of health checks.
    pub checks: i64,
    /// Of looks for drift.
    pub drift: i64,
    /// Those of that time are known: they are kept for three days.
    pub known: bool,
}

impl OtherCalls {
    /// None, in a wait that began then.
    pub(super) fn none(from: DateTime<Utc>) -> Self {
        Self { checks: 0, drift: 0, known: !(Utc::now() - from).to_std().is_ok_and(|age| age > KEPT_FOR) }
    }
}

/// What calls left of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Crowd {
    /// The most calls that held slots at one moment, under `limit`.
    pub most: i64,
    /// For how long they held all of them, in milliseconds, under whichever limit.
    pub full_ms: i64,
    /// The limit under which they did for longest, or else the last one of the time.
    pub limit: RateLimit,
    /// Those of them that were no sync's.
    pub others: OtherCalls,
}

/// Positions around a wait among which its calls are looked for.
const NEARBY: i64 = 5_000;
/// Of a wait with more positions, the last ones are looked through.
const MOST: i64 = 50_000;

/// The positions among which the calls of a wait are looked for. Those that are given are the ones around it in the journal.
pub(super) fn nearby((first, last): (i64, i64)) -> (i64, i64) {
    (first.max(last - MOST) - NEARBY, last + NEARBY)
}

/// A call holds a slot from its start until a window and a margin after its end, by the limit at its end; the slots are full
/// where as many are held as the limit of that moment admits. A check is told within two minutes of its first call, and no call of a look
/// takes a minute; of checks from before migration 33 the last call is known. A call holds its slot a little longer than this, from the
/// grant before its start to when its end is written down: neither time is recorded.
const CROWD: &str = "
WITH limits AS (SELECT * FROM unnest($3::timestamptz[], $4::bigint[], $5::float8[]) AS l (since, requests, rest_s)),
known AS (SELECT $6::timestamptz - make_interval(secs => max(rest_s)) AS since FROM limits),
calls AS (
    SELECT 'sync' AS made_for, started_at, started_at + make_interval(secs => duration_ms / 1000.0) AS ended_at
    FROM outbound_attempts WHERE org_id = $1 AND target_id = ANY ($2) AND position BETWEEN $8 AND $9
    UNION ALL
    SELECT 'check', c.started_at, c.started_at + make_interval(secs => c.took_ms / 1000.0)
    FROM health_checks AS h CROSS JOIN LATERAL unnest(
        coalesce(h.calls_started_at, ARRAY[h.at - make_interval(secs => h.latency_ms / 1000.0)]),
        coalesce(h.calls_took_ms, ARRAY[h.latency_ms])) AS c (started_at, took_ms)
    WHERE h.org_id = $1 AND h.target_id = ANY ($2) AND h.latency_ms IS NOT NULL
        AND h.at > (SELECT since FROM known) AND h.at < $7::timestamptz + interval '2 minutes'
    UNION ALL
    SELECT 'drift', started_at, ended_at
    FROM drift_calls WHERE org_id = $1 AND target_id = ANY ($2)
        AND started_at > (SELECT since FROM known) - interval '1 minute' AND started_at < $7),
held AS (
    SELECT made_for, greatest(started_at, $6) AS taken_at, least(ended_at + make_interval(secs => l.rest_s), $7) AS free_at
    FROM calls CROSS JOIN LATERAL (SELECT rest_s FROM limits WHERE since <= ended_at ORDER BY since DESC LIMIT 1) AS l
    WHERE started_at < $7 AND ended_at + make_interval(secs => l.rest_s) > $6),
steps AS (
    SELECT taken_at AS at, 1 AS step FROM held UNION ALL SELECT free_at, -1 FROM held
    UNION ALL SELECT greatest(since, $6), 0 FROM limits WHERE since < $7),
counted AS (
    SELECT at, sum(step) OVER (ORDER BY at, step ROWS UNBOUNDED PRECEDING) AS taken,
        lead(at) OVER (ORDER BY at, step) - at AS span
    FROM steps)
SELECT l.since, coalesce(max(taken), 0)::bigint AS most,
    coalesce(1000 * sum(extract(epoch FROM span)) FILTER (WHERE taken >= l.requests), 0)::bigint AS full_ms,
    (SELECT count(*) FROM held WHERE made_for = 'check') AS checks,
    (SELECT count(*) FROM held WHERE made_for = 'drift') AS drift
FROM counted CROSS JOIN LATERAL (SELECT since, requests FROM limits WHERE since <= at ORDER BY since DESC LIMIT 1) AS l
GROUP BY l.since ORDER BY l.since";

#[derive(FromRow)]
struct UnderLimit {
    since: DateTime<Utc>,
    most: i64,
    full_ms: i64,
    checks: i64,
    drift: i64,
}

/// How the calls under these limits stood in a time; `None` where there was no limit then. The positions are those around it in the
/// journal.
pub(super) async fn crowd(
    connection: &mut PgConnection,
    limits: &Limits,
    (from, to): Span,
    positions: (i64, i64),
) -> Result<Option<Crowd>, sqlx::Error> {
    let (first, last) = nearby(positions);
    let since: Vec<DateTime<Utc>> = limits.changes.iter().map(|(since, _)| *since).collect();
    // Where there is none, no number of calls is too many, and none rests.
    let requests = limits.changes.iter().map(|(_, limit)| limit.map_or(i64::MAX, |limit| limit.requests().into()));
    let rests = limits.changes.iter().map(|(_, limit)| limit.map_or(0.0, |limit| f64::from(limit.rest_ms()) / 1_000.0));
    let rows = sqlx::query_as(CROWD).bind(&limits.org).bind(&limits.targets);
    let rows = rows.bind(since).bind(requests.collect::<Vec<i64>>()).bind(rests.collect::<Vec<f64>>());
    let rows: Vec<UnderLimit> = rows.bind(from).bind(to).bind(first).bind(last).fetch_all(connection).await?;
    // Of several that were full for as long, the last one.
    let Some(told) = rows.iter().max_by_key(|row| row.full_ms) else { return Ok(None) };
    let limit = limits.changes.iter().find(|(since, _)| *since == told.since).and_then(|(_, limit)| *limit);
    let full_ms: i64 = rows.iter().map(|row| row.full_ms).sum();
    let others = OtherCalls { checks: told.checks, drift: told.drift, ..OtherCalls::none(from) };
    Ok(limit.map(|limit| Crowd { most: told.most, full_ms, limit, others }))
}
