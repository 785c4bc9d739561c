//! The rows of `target_health` and `target_health_changes`, read and written as sets.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use domain::listing::{ListingEvent, SyncAttempt};
use domain::outcome::OutcomeClass;
use domain::recorded::{ChannelEvent, Recorded};
use domain::target::Health;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::column::column;
use crate::deleted_targets::target_of;
use crate::error::Error;
use crate::working::Working;

#[derive(FromRow)]
pub(super) struct HealthRow {
    pub(super) target_id: Uuid,
    pub(super) org_id: String,
    pub(super) account_id: String,
    pub(super) health: String,
    pub(super) since: DateTime<Utc>,
    pub(super) reason: Option<String>,
    pub(super) last_success_at: Option<DateTime<Utc>>,
    pub(super) last_failure_at: Option<DateTime<Utc>>,
    pub(super) last_error: Option<String>,
    pub(super) consecutive_failures: i32,
    pub(super) position: i64,
}

pub(super) struct Change<'a> {
    pub(super) event: &'a Recorded,
    pub(super) from: String,
    pub(super) to: Health,
    pub(super) reason: &'a str,
}

const LOAD: &str = "SELECT * FROM target_health WHERE target_id = ANY($1)";

const STORE: &str = "
INSERT INTO target_health (
    target_id, org_id, account_id, health, since, reason, last_success_at, last_failure_at, last_error,
    consecutive_failures, position)
SELECT * FROM UNNEST(
    $1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::text[], $7::timestamptz[],
    $8::timestamptz[], $9::text[], $10::int[], $11::bigint[])
ON CONFLICT (target_id) DO UPDATE SET
    health = EXCLUDED.health, since = EXCLUDED.since, reason = EXCLUDED.reason,
    last_success_at = EXCLUDED.last_success_at, last_failure_at = EXCLUDED.last_failure_at,
    last_error = EXCLUDED.last_error, consecutive_failures = EXCLUDED.consecutive_failures,
    position = EXCLUDED.position";

const INSERT_CHANGES: &str = "
INSERT INTO target_health_changes (position, target_id, org_id, account_id, at, from_health, to_health, reason)
SELECT * FROM UNNEST(
    $1::bigint[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[], $6::text[], $7::text[], $8::text[])";

pub(super) async fn load(connection: &mut PgConnection, batch: &[Recorded]) -> Result<Working<HealthRow>, Error> {
    let ids: HashSet<Uuid> = batch.iter().filter(|event| tells_health(event)).map(target_of).collect();
    if ids.is_empty() {
        return Ok(Working::loaded([]));
    }
    let ids: Vec<Uuid> = ids.into_iter().collect();
    let rows: Vec<HealthRow> = sqlx::query_as(LOAD).bind(ids).fetch_all(connection).await?;
    Ok(Working::loaded(rows.into_iter().map(|row| (row.target_id, row))))
}

fn tells_health(event: &Recorded) -> bool {
    match &event.event {
        ChannelEvent::Target(_) => true,
        ChannelEvent::Listing(listing) => told(listing).is_some(),
    }
}

/// What an attempt tells of its target.
pub(super) enum Told<'a> {
    /// The channel took what was sent.
    Works(&'a SyncAttempt),
    /// It failed in a way that is the target's.
    Fails(&'a SyncAttempt, OutcomeClass),
}

pub(super) fn told(what: &ListingEvent) -> Option<Told<'_>> {
    match what {
        ListingEvent::SyncAccepted { attempt } => Some(Told::Works(attempt)),
        ListingEvent::SyncDeferred { attempt, class, .. }
        | ListingEvent::SyncFailed { attempt, class }
        | ListingEvent::SupersededSyncFailed { attempt, class } => {
            is_failure(*class).then_some(Told::Fails(attempt, *class))
        }
        ListingEvent::ListingLinked { .. }
        | ListingEvent::SyncRequested { .. }
        | ListingEvent::SyncSkipped { .. }
        | ListingEvent::CreationStarted { .. }
        | ListingEvent::SyncFoundUnchanged { .. }
        | ListingEvent::LateAttemptRecorded { .. }
        | ListingEvent::ListingPaused { .. }
        | ListingEvent::ListingResumed {}
        | ListingEvent::ListingUnlinked { .. } => None,
    }
}

pub(super) async fn store(connection: &mut PgConnection, rows: &[HealthRow]) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(STORE)
        .bind(column(rows, |row| row.target_id))
        .bind(column(rows, |row| row.org_id.as_str()))
        .bind(column(rows, |row| row.account_id.as_str()))
        .bind(column(rows, |row| row.health.as_str()))
        .bind(column(rows, |row| row.since))
        .bind(column(rows, |row| row.reason.as_deref()))
        .bind(column(rows, |row| row.last_success_at))
        .bind(column(rows, |row| row.last_failure_at))
        .bind(column(rows, |row| row.last_error.as_deref()))
        .bind(column(rows, |row| row.consecutive_failures))
        .bind(column(rows, |row| row.position))
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn insert_changes(connection: &mut PgConnection, changes: &[Change<'_>]) -> Result<(), Error> {
    if changes.is_empty() {
        return Ok(());
    }
    sqlx::query(INSERT_CHANGES)
        .bind(column(changes, |change| change.event.position.0))
        .bind(column(changes, |change| change.event.aggregate_id))
        .bind(column(changes, |change| change.event.metadata.org_id.as_str()))
        .bind(column(changes, |change| change.event.metadata.account_id.as_str()))
        .bind(column(changes, |change| change.event.recorded_at))
        .bind(column(changes, |change| change.from.as_str()))
        .bind(column(changes, |change| change.to.as_str()))
        .bind(column(changes, |change| change.reason))
        .execute(connection)
        .await?;
    Ok(())
}

/// Whether an attempt's end is the target's fault.
fn is_failure(class: OutcomeClass) -> bool {
    matches!(class, OutcomeClass::Transient | OutcomeClass::Unknown | OutcomeClass::Unauthorised)
}
