//! The rows of `outbound_audit`, read and written as sets: what a new job inserts, and what of it may change later.

use std::collections::HashSet;

use domain::listing::{ListingEvent, SyncAttempt};
use domain::recorded::{ChannelEvent, Recorded};
use sqlx::PgConnection;
use uuid::Uuid;

use super::job::{Job, Standing};
use crate::column::{bigint, column, joined};
use crate::deleted_targets::deleted_in;
use crate::error::Error;
use crate::working::Working;

const LOAD: &str = "
SELECT sync_id, target_id, ordinal, cardinality(needs) > 0 AS differs, outcome, class, attempts, rejected::text AS rejected, detail, superseded_by,
    requested_at, behind_since, first_attempt_at, next_attempt_at, finished_at, updated_position
FROM outbound_audit WHERE sync_id = ANY($1)";

// Reads every job that the target ever had (outbound_audit_target): an index of those that wait would change with each sync, and no
// update of the table could be a HOT one. A deletion is rare.
const LOAD_PENDING: &str = "
SELECT sync_id, target_id, ordinal, cardinality(needs) > 0 AS differs, outcome, class, attempts, rejected::text AS rejected, detail, superseded_by,
    requested_at, behind_since, first_attempt_at, next_attempt_at, finished_at, updated_position
FROM outbound_audit WHERE target_id = ANY($1) AND outcome = 'pending'";

// The jobs that took the place of others, one after the other: as many as were asked for while an attempt was under way.
const LOAD_LATER: &str = "
WITH RECURSIVE later (sync_id) AS (
    SELECT UNNEST($1::uuid[])
    UNION
    SELECT job.superseded_by FROM later
    CROSS JOIN LATERAL (SELECT superseded_by FROM outbound_audit WHERE sync_id = later.sync_id OFFSET 0) AS job
    WHERE job.superseded_by IS NOT NULL
)
SELECT job.sync_id, target_id, ordinal, cardinality(needs) > 0 AS differs, outcome, class, attempts, rejected::text AS rejected, detail, superseded_by,
    requested_at, behind_since, first_attempt_at, next_attempt_at, finished_at, updated_position
FROM later CROSS JOIN LATERAL (SELECT * FROM outbound_audit WHERE sync_id = later.sync_id OFFSET 0) AS job";

// A wish made twice under one request id is one job: the later request is the one that counts.
const INSERT: &str = "
INSERT INTO outbound_audit AS job (
    sync_id, listing_id, idempotency_key, org_id, account_id, target_id, unit_id, ordinal, cause, reason, revision,
    snapshot, needs, created_by, credential, correlation_id, traceparent, requested_at, position,
    outcome, class, attempts, rejected, detail, superseded_by, first_attempt_at, next_attempt_at, finished_at,
    updated_position, behind_since)
SELECT sync_id, listing_id, idempotency_key, org_id, account_id, target_id, unit_id, ordinal, cause, reason, revision,
    snapshot, string_to_array(needs, ','), created_by, credential, correlation_id, traceparent, requested_at, position,
    outcome, class, attempts, rejected::jsonb, detail, superseded_by, first_attempt_at, next_attempt_at, finished_at,
    updated_position, behind_since
FROM UNNEST(
    $1::uuid[], $2::uuid[], $3::bytea[], $4::text[], $5::text[], $6::uuid[], $7::text[], $8::bigint[], $9::text[],
    $10::text[], $11::bigint[], $12::bytea[], $13::text[], $14::text[], $15::text[], $16::uuid[], $17::text[],
    $18::timestamptz[], $19::bigint[], $20::text[], $21::text[], $22::int[], $23::text[], $24::text[], $25::uuid[],
    $26::timestamptz[], $27::timestamptz[], $28::timestamptz[], $29::bigint[], $30::timestamptz[])
AS rows (
    sync_id, listing_id, idempotency_key, org_id, account_id, target_id, unit_id, ordinal, cause, reason, revision,
    snapshot, needs, created_by, credential, correlation_id, traceparent, requested_at, position,
    outcome, class, attempts, rejected, detail, superseded_by, first_attempt_at, next_attempt_at, finished_at,
    updated_position, behind_since)
ON CONFLICT (sync_id) DO UPDATE SET
    ordinal = EXCLUDED.ordinal, cause = EXCLUDED.cause, reason = EXCLUDED.reason, revision = EXCLUDED.revision,
    needs = EXCLUDED.needs, created_by = EXCLUDED.created_by, credential = EXCLUDED.credential,
    correlation_id = EXCLUDED.correlation_id, traceparent = EXCLUDED.traceparent,
    requested_at = EXCLUDED.requested_at, position = EXCLUDED.position, outcome = EXCLUDED.outcome,
    class = EXCLUDED.class, attempts = EXCLUDED.attempts, rejected = EXCLUDED.rejected, detail = EXCLUDED.detail,
    superseded_by = EXCLUDED.superseded_by, first_attempt_at = EXCLUDED.first_attempt_at,
    next_attempt_at = EXCLUDED.next_attempt_at, finished_at = EXCLUDED.finished_at,
    updated_position = EXCLUDED.updated_position, behind_since = EXCLUDED.behind_since";

// Not an UPDATE: its join is planned from how many rows the table seems to have, and a plan made while it was small scans
// all of it for every batch. The fence (OFFSET 0) leaves one way: look each key up.
const UPDATE: &str = "
INSERT INTO outbound_audit AS job (
    sync_id, listing_id, idempotency_key, org_id, account_id, target_id, unit_id, ordinal, cause, reason, revision,
    snapshot, needs, created_by, credential, correlation_id, traceparent, requested_at, position,
    outcome, class, attempts, rejected, detail, superseded_by, first_attempt_at, next_attempt_at, finished_at,
    updated_position, behind_since)
SELECT old.sync_id, old.listing_id, old.idempotency_key, old.org_id, old.account_id, old.target_id, old.unit_id,
    old.ordinal, old.cause, old.reason, old.revision, old.snapshot, old.needs, old.created_by, old.credential,
    old.correlation_id, old.traceparent, old.requested_at, old.position,
    new.outcome, new.class, new.attempts, new.rejected::jsonb, new.detail, new.superseded_by, new.first_attempt_at,
    new.next_attempt_at, new.finished_at, new.updated_position, new.behind_since
FROM UNNEST(
    $1::uuid[], $2::text[], $3::text[], $4::int[], $5::text[], $6::text[], $7::uuid[], $8::timestamptz[],
    $9::timestamptz[], $10::timestamptz[], $11::bigint[], $12::timestamptz[])
AS new (
    sync_id, outcome, class, attempts, rejected, detail, superseded_by, first_attempt_at, next_attempt_at, finished_at,
    updated_position, behind_since)
CROSS JOIN LATERAL (SELECT * FROM outbound_audit WHERE sync_id = new.sync_id OFFSET 0) AS old
ON CONFLICT (sync_id) DO UPDATE SET
    outcome = EXCLUDED.outcome, class = EXCLUDED.class, attempts = EXCLUDED.attempts, rejected = EXCLUDED.rejected,
    detail = EXCLUDED.detail, superseded_by = EXCLUDED.superseded_by, first_attempt_at = EXCLUDED.first_attempt_at,
    next_attempt_at = EXCLUDED.next_attempt_at, finished_at = EXCLUDED.finished_at,
    updated_position = EXCLUDED.updated_position, behind_since = EXCLUDED.behind_since";

/// Loads the jobs that the batch tells something about and does not itself begin, and those that took their place.
pub(super) async fn load<'a>(connection: &mut PgConnection, batch: &[Recorded]) -> Result<Working<Job<'a>>, Error> {
    let mut rows: Vec<Standing> = Vec::new();
    let ids = earlier_jobs(batch);
    if !ids.is_empty() {
        rows = sqlx::query_as(LOAD).bind(ids).fetch_all(&mut *connection).await?;
    }
    let through: HashSet<Uuid> = batch.iter().filter_map(came_through).collect();
    let overtaken = rows.iter().filter(|row| through.contains(&row.sync_id));
    let later: Vec<Uuid> = overtaken.filter_map(|row| row.superseded_by).collect();
    if !later.is_empty() {
        rows.extend(sqlx::query_as::<_, Standing>(LOAD_LATER).bind(later).fetch_all(&mut *connection).await?);
    }
    let deleted = deleted_in(batch);
    if !deleted.is_empty() {
        rows.extend(sqlx::query_as::<_, Standing>(LOAD_PENDING).bind(deleted).fetch_all(connection).await?);
    }
    Ok(Working::loaded(rows.into_iter().map(|now| (now.sync_id, Job { request: None, now }))))
}

/// The ordinal of the newest job that took the place of an attempt's, one after the other, as far as they are stored.
pub(super) fn newest_after(jobs: &Working<Job<'_>>, attempt: &SyncAttempt) -> Option<i64> {
    let (mut next, mut newest) = (Some(attempt.sync_id.0), None);
    while let Some(job) = next.and_then(|id| jobs.get(id)) {
        // Each was asked for after the one before it.
        if newest.is_some_and(|seen| job.now.ordinal <= seen) {
            break;
        }
        (next, newest) = (job.now.superseded_by, Some(job.now.ordinal));
    }
    newest
}

fn earlier_jobs(batch: &[Recorded]) -> Vec<Uuid> {
    let (mut begun, mut wanted) = (HashSet::new(), HashSet::new());
    for event in batch {
        let ChannelEvent::Listing(listing) = &event.event else { continue };
        let told = match listing.as_ref() {
            ListingEvent::SyncRequested { request, supersedes } => {
                // Before it is begun: a wish that is made twice takes its own place.
                wanted.extend(supersedes.filter(|id| !begun.contains(id)).map(|id| id.0));
                begun.insert(request.sync_id);
                None
            }
            ListingEvent::SyncSkipped { request } => {
                begun.insert(request.sync_id);
                None
            }
            ListingEvent::SyncAccepted { attempt }
            | ListingEvent::SyncFoundUnchanged { attempt }
            | ListingEvent::SyncDeferred { attempt, .. }
            | ListingEvent::SyncFailed { attempt, .. }
            | ListingEvent::SupersededSyncFailed { attempt, .. }
            | ListingEvent::LateAttemptRecorded { attempt, .. } => Some(attempt.sync_id),
            ListingEvent::ListingUnlinked { cancels, .. } => *cancels,
            ListingEvent::ListingLinked { .. }
            | ListingEvent::CreationStarted { .. }
            | ListingEvent::ListingPaused { .. }
            | ListingEvent::ListingResumed {} => None,
        };
        wanted.extend(told.filter(|id| !begun.contains(id)).map(|id| id.0));
    }
    wanted.into_iter().collect()
}

/// The job of an attempt after which the channel has what it was to send.
fn came_through(event: &Recorded) -> Option<Uuid> {
    let ChannelEvent::Listing(listing) = &event.event else { return None };
    match listing.as_ref() {
        ListingEvent::SyncAccepted { attempt } | ListingEvent::SyncFoundUnchanged { attempt } => {
            Some(attempt.sync_id.0)
        }
        ListingEvent::ListingLinked { .. }
        | ListingEvent::SyncRequested { .. }
        | ListingEvent::SyncSkipped { .. }
        | ListingEvent::CreationStarted { .. }
        | ListingEvent::SyncDeferred { .. }
        | ListingEvent::SyncFailed { .. }
        | ListingEvent::SupersededSyncFailed { .. }
        | ListingEvent::LateAttemptRecorded { .. }
        | ListingEvent::ListingPaused { .. }
        | ListingEvent::ListingResumed {}
        | ListingEvent::ListingUnlinked { .. } => None,
    }
}

pub(super) async fn insert(connection: &mut PgConnection, jobs: &[Job<'_>]) -> Result<(), Error> {
    let new: Vec<_> =
        jobs.iter().filter_map(|job| job.request.map(|(event, request)| (event, request, &job.now))).collect();
    if new.is_empty() {
        return Ok(());
    }
    let new = new.as_slice();
    sqlx::query(INSERT)
        .bind(column(new, |(_, _, now)| now.sync_id))
        .bind(column(new, |(event, _, _)| event.aggregate_id))
        .bind(column(new, |(_, request, _)| request.idempotency_key.as_bytes()))
        .bind(column(new, |(event, _, _)| event.metadata.org_id.as_str()))
        .bind(column(new, |(event, _, _)| event.metadata.account_id.as_str()))
        .bind(column(new, |(_, _, now)| now.target_id))
        .bind(column(new, |(event, _, _)| event.metadata.unit_id.as_ref().map(domain::ids::UnitId::as_str)))
        .bind(column(new, |(_, _, now)| now.ordinal))
        .bind(column(new, |(_, request, _)| request.cause.as_str()))
        .bind(column(new, |(_, request, _)| super::job::reason(request)))
        .bind(column(new, |(_, request, _)| bigint(request.revision)))
        .bind(column(new, |(_, request, _)| request.snapshot.as_bytes()))
        .bind(column(new, |(_, request, _)| joined(&request.needs)))
        .bind(column(new, |(event, _, _)| event.metadata.actor.name.as_str()))
        .bind(column(new, |(event, _, _)| event.metadata.actor.credential.as_str()))
        .bind(column(new, |(event, _, _)| event.metadata.correlation_id))
        .bind(column(new, |(event, _, _)| event.metadata.traceparent.as_deref()))
        .bind(column(new, |(event, _, _)| event.recorded_at))
        .bind(column(new, |(event, _, _)| event.position.0))
        .bind(column(new, |(_, _, now)| now.outcome.as_str()))
        .bind(column(new, |(_, _, now)| now.class.as_deref()))
        .bind(column(new, |(_, _, now)| now.attempts))
        .bind(column(new, |(_, _, now)| now.rejected.as_str()))
        .bind(column(new, |(_, _, now)| now.detail.as_deref()))
        .bind(column(new, |(_, _, now)| now.superseded_by))
        .bind(column(new, |(_, _, now)| now.first_attempt_at))
        .bind(column(new, |(_, _, now)| now.next_attempt_at))
        .bind(column(new, |(_, _, now)| now.finished_at))
        .bind(column(new, |(_, _, now)| now.updated_position))
        .bind(column(new, |(_, _, now)| now.behind_since))
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn update(connection: &mut PgConnection, jobs: &[Job<'_>]) -> Result<(), Error> {
    if jobs.is_empty() {
        return Ok(());
    }
    sqlx::query(UPDATE)
        .bind(column(jobs, |job| job.now.sync_id))
        .bind(column(jobs, |job| job.now.outcome.as_str()))
        .bind(column(jobs, |job| job.now.class.as_deref()))
        .bind(column(jobs, |job| job.now.attempts))
        .bind(column(jobs, |job| job.now.rejected.as_str()))
        .bind(column(jobs, |job| job.now.detail.as_deref()))
        .bind(column(jobs, |job| job.now.superseded_by))
        .bind(column(jobs, |job| job.now.first_attempt_at))
        .bind(column(jobs, |job| job.now.next_attempt_at))
        .bind(column(jobs, |job| job.now.finished_at))
        .bind(column(jobs, |job| job.now.updated_position))
        .bind(column(jobs, |job| job.now.behind_since))
        .execute(connection)
        .await?;
    Ok(())
}
