//! What went wrong of late at a target: every attempt that failed, by its class, and how the syncs ended.

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::dashboard::pieces::{empty, moment, number, state};
use crate::dashboard::ways::Ways;

/// Attempts that failed, or syncs that ended, in one way.
#[derive(Debug, FromRow)]
struct Tally {
    name: String,
    count: i64,
    syncs: i64,
    last_at: DateTime<Utc>,
    detail: Option<String>,
}

/// The journal knows how each attempt ended; its events are found by the calls that failed. An attempt that came to no call
/// has none, so of syncs without any call those are counted that were used up, and the last one is found by its listing: words and time of
/// its end may be of whoever cancelled it. One that was stopped on our side did not fail.
const ATTEMPTS: &str = "
WITH syncs AS MATERIALIZED (
    SELECT sync_id, listing_id, class, attempts
    FROM outbound_audit WHERE target_id = $1 ORDER BY position DESC LIMIT 200
), failed AS (
    SELECT e.payload #>> ARRAY[e.event_type, 'class'] AS class, p.sync_id, 1::bigint AS attempts, e.recorded_at AS at,
        e.payload #>> ARRAY[e.event_type, 'attempt', 'detail'] AS detail
    FROM (SELECT DISTINCT c.sync_id, c.position FROM syncs JOIN outbound_attempts AS c USING (sync_id)
          WHERE c.class NOT IN ('accepted', 'accepted_with_rejections')) AS p
    JOIN events AS e ON e.position = p.position
    WHERE e.event_type IN ('SyncDeferred', 'SyncFailed', 'SupersededSyncFailed', 'LateAttemptRecorded')
        AND e.payload #>> ARRAY[e.event_type, 'attempt', 'stopped'] IS DISTINCT FROM 'true'
    UNION ALL
    SELECT s.class, s.sync_id, greatest(s.attempts, 1), e.recorded_at, e.payload #>> ARRAY[e.event_type, 'attempt', 'detail']
    FROM syncs AS s CROSS JOIN LATERAL (
        SELECT recorded_at, event_type, payload FROM events
        WHERE aggregate_type = 'ChannelListing' AND aggregate_id = s.listing_id::text
            AND event_type IN ('SyncDeferred', 'SyncFailed', 'SupersededSyncFailed')
            AND payload #>> ARRAY[event_type, 'attempt', 'sync_id'] = s.sync_id::text
        ORDER BY sequence DESC LIMIT 1) AS e
    WHERE s.class NOT IN ('accepted', 'accepted_with_rejections', 'stopped')
        AND NOT EXISTS (SELECT FROM outbound_attempts AS c WHERE c.sync_id = s.sync_id)
)
SELECT class AS name, sum(attempts)::bigint AS count, count(DISTINCT sync_id) AS syncs, max(at) AS last_at,
    (array_agg(detail ORDER BY at DESC) FILTER (WHERE detail IS NOT NULL))[1] AS detail
FROM failed WHERE class NOT IN ('accepted', 'accepted_with_rejections') GROUP BY class ORDER BY count DESC, class";

const ENDS: &str = "
SELECT outcome AS name, count(*) AS count, count(*) AS syncs,
    max(coalesce(finished_at, first_attempt_at, requested_at)) AS last_at,
    (array_agg(detail ORDER BY position DESC) FILTER (WHERE detail IS NOT NULL))[1] AS detail
FROM (SELECT * FROM outbound_audit WHERE target_id = $1 ORDER BY position DESC LIMIT 200) AS a
GROUP BY outcome ORDER BY count(*) DESC, outcome";

/// Both, as tables that lead to the syncs.
pub(super) async fn show(reader: &mut PgConnection, id: Uuid, ways: Ways) -> Result<Markup, sqlx::Error> {
    let ends: Vec<Tally> = sqlx::query_as(ENDS).bind(id).fetch_all(&mut *reader).await?;
    if ends.is_empty() {
        return Ok(empty("No sync yet", "Link a unit, and its first sync is asked for."));
    }
    let attempts: Vec<Tally> = sqlx::query_as(ATTEMPTS).bind(id).fetch_all(reader).await?;
    let target = id.to_string();
    let target = target.as_str();
    let like = |field: &'static str| move |name: &str| ways.audit(&[("target_id", target), (field, name)]);
    Ok(html! {
        @if attempts.is_empty() { p.quiet { "No attempt at them failed." } } @else {
            (table(&attempts, "Failed as", "Attempts", true, like("class")))
        }
        (table(&ends, "Syncs stand as", "Syncs", false, like("outcome")))
    })
}

/// What was said stands below its row where there is no room beside it.
fn table(rows: &[Tally], name: &str, count: &str, of_attempts: bool, way: impl Fn(&str) -> Option<String>) -> Markup {
    html! { div.scroll tabindex="0" role="region" aria-label=(format!("Table: {name}")) { table.tally {
        thead { tr {
            th.name { (name) } th.number { (count) } @if of_attempts { th.number { "Of syncs" } }
            th.at { "Last at" } th.wide { "In its words" }
        } }
        tbody { @for row in rows {
            tr {
                td { @match way(&row.name) { Some(way) => { a href=(way) { (state(&row.name)) } }, None => { (state(&row.name)) } } }
                td.number { (number(row.count)) }
                @if of_attempts { td.number { (number(row.syncs)) } }
                td { (moment(row.last_at)) }
                td.wide { (row.detail.as_deref().unwrap_or_default()) }
            }
            @if let Some(detail) = &row.detail { tr.below { td colspan=(if of_attempts { 4 } else { 3 }) { (detail) } } }
        } }
    } } }
}
