//! The rows of `outbound_attempts`: every HTTP call, written once and never changed.

use domain::call::CallRecord;
use domain::listing::SyncAttempt;
use domain::outcome::OutcomeClass;
use domain::recorded::Recorded;
use sqlx::PgConnection;

use super::activity::NewCalls;
use crate::column::{bigint, column, integer};
use crate::deleted_targets::target_of;
use crate::error::Error;

/// A call, with the attempt and the event that tell of it.
pub(super) struct Call<'a> {
    pub(super) event: &'a Recorded,
    pub(super) attempt: &'a SyncAttempt,
    pub(super) call: &'a CallRecord,
    pub(super) index: i32,
    pub(super) late: bool,
}

// An attempt can be told twice (the dispatcher did not hear that it was recorded): the first telling counts.
const INSERT: &str = "
WITH new AS (
    INSERT INTO outbound_attempts (
        request_id, sync_id, listing_id, org_id, account_id, target_id, attempt, call_index, purpose, method, path,
        status, class, started_at, duration_ms, detail, late, position)
    SELECT * FROM UNNEST(
        $1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::uuid[], $7::int[], $8::int[], $9::text[],
        $10::text[], $11::text[], $12::int[], $13::text[], $14::timestamptz[], $15::bigint[], $16::text[], $17::bool[],
        $18::bigint[])
    ON CONFLICT (request_id) DO NOTHING
    RETURNING org_id, account_id, started_at, status, class
)
SELECT org_id, account_id, date_trunc('minute', started_at, 'UTC') AS minute, count(*) AS calls,
    count(*) FILTER (WHERE status = 429) AS throttled,
    count(*) FILTER (WHERE status IS DISTINCT FROM 429
        AND class = ANY ($19)) AS errors
FROM new GROUP BY 1, 2, 3";

/// Gives what is new of them, by the minute.
pub(super) async fn insert(connection: &mut PgConnection, calls: &[Call<'_>]) -> Result<Vec<NewCalls>, Error> {
    if calls.is_empty() {
        return Ok(Vec::new());
    }
    let new = sqlx::query_as(INSERT)
        .bind(column(calls, |row| row.call.request_id))
        .bind(column(calls, |row| row.attempt.sync_id.0))
        .bind(column(calls, |row| row.event.aggregate_id))
        .bind(column(calls, |row| row.event.metadata.org_id.as_str()))
        .bind(column(calls, |row| row.event.metadata.account_id.as_str()))
        .bind(column(calls, |row| target_of(row.event)))
        .bind(column(calls, |row| integer(row.attempt.attempt)))
        .bind(column(calls, |row| row.index))
        .bind(column(calls, |row| row.call.purpose.as_str()))
        .bind(column(calls, |row| row.call.method.as_str()))
        .bind(column(calls, |row| row.call.path.as_str()))
        .bind(column(calls, |row| row.call.status.map(i32::from)))
        .bind(column(calls, |row| row.call.class.as_str()))
        .bind(column(calls, |row| row.call.started_at))
        .bind(column(calls, |row| bigint(row.call.duration_ms)))
        .bind(column(calls, |row| row.call.detail.as_deref()))
        .bind(column(calls, |row| row.late))
        .bind(column(calls, |row| row.event.position.0))
        .bind(OutcomeClass::failures())
        .fetch_all(connection)
        .await?;
    Ok(new)
}
