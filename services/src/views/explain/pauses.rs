//! Pauses that the channel asked for: it answers a call with 429, and all calls of the account, or of the address that it left from, wait
//! for so long. How long stands in the journal, with the attempt that met it, or in the row of a health check, in its words. Not told: pauses that
//! a call of a look for drift or of somebody else at the account was answered with, and that of an attempt whose sync had lost its place by then.

use chrono::{DateTime, Utc};
use domain::call::pause_of;
use sqlx::PgConnection;
use uuid::Uuid;

use super::crowd::nearby;
use super::waits::Span;

/// An attempt ends with its first call that is answered so, and the next one is due when the pause is over.
const ASKED_FOR: &str = "
SELECT met.at, (e.payload -> 'SyncDeferred' ->> 'due_at')::timestamptz AS until
FROM (
    SELECT DISTINCT position, started_at + make_interval(secs => duration_ms / 1000.0) AS at FROM outbound_attempts
    WHERE org_id = $1 AND target_id = ANY ($2) AND position BETWEEN $3 AND $4
        AND class = 'throttled' AND status = 429 AND started_at < $6) AS met
JOIN events AS e ON e.position = met.position
WHERE e.event_type = 'SyncDeferred' AND e.payload -> 'SyncDeferred' ->> 'class' = 'throttled'
    AND (e.payload -> 'SyncDeferred' ->> 'due_at')::timestamptz > $5
ORDER BY met.at";

/// Nobody is held for longer than ten minutes, and a check is told within two of its first call. One that met a pause with the secret of before is
/// told as refused, and so its words alone tell of that.
const ASKED_CHECKS_FOR: &str = "
SELECT coalesce(calls_started_at[cardinality(calls_started_at)]
        + make_interval(secs => calls_took_ms[cardinality(calls_took_ms)] / 1000.0), at) AS at, detail
FROM health_checks
WHERE org_id = $1 AND target_id = ANY ($2) AND class IN ('throttled', 'unauthorised') AND detail IS NOT NULL
    AND at > $3 - interval '12 minutes' AND at < $4 + interval '2 minutes'";

/// From when to when calls of syncs and of checks of these targets were told to pause, in a time, by their beginning. The positions are those around
/// it in the journal.
pub(super) async fn asked_for(
    connection: &mut PgConnection,
    (org, targets): (&str, &[Uuid]),
    (from, to): Span,
    positions: (i64, i64),
) -> Result<Vec<Span>, sqlx::Error> {
    let (first, last) = nearby(positions);
    let rows = sqlx::query_as(ASKED_FOR).bind(org).bind(targets).bind(first).bind(last).bind(from).bind(to);
    let mut spans: Vec<Span> = rows.fetch_all(&mut *connection).await?;
    let checks = sqlx::query_as(ASKED_CHECKS_FOR).bind(org).bind(targets).bind(from).bind(to);
    let checks: Vec<(DateTime<Utc>, String)> = checks.fetch_all(connection).await?;
    spans.extend(checks.iter().filter_map(|(at, words)| Some((*at, pause_of(words)?))));
    spans.sort_unstable();
    Ok(spans)
}
