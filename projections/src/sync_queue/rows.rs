//! The rows of `sync_queue`, read and written as sets.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use domain::listing::ListingEvent;
use domain::recorded::{ChannelEvent, Recorded};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::column::column;
use crate::deleted_targets::deleted_in;
use crate::error::Error;
use crate::working::Working;

#[derive(FromRow)]
pub(super) struct QueueRow {
    pub(super) listing_id: Uuid,
    pub(super) org_id: String,
    pub(super) account_id: String,
    pub(super) target_id: Uuid,
    pub(super) sync_id: Uuid,
    pub(super) ordinal: i64,
    pub(super) tries: i32,
    pub(super) snapshot: Vec<u8>,
    pub(super) revision: i64,
    /// Sections, joined by commas.
    pub(super) needs: String,
    pub(super) rank: DateTime<Utc>,
    pub(super) due_at: DateTime<Utc>,
    pub(super) requested_at: DateTime<Utc>,
    /// Since when the channel has been behind; `None` is since its own request.
    pub(super) behind_since: Option<DateTime<Utc>>,
    pub(super) position: i64,
}

impl QueueRow {
    /// Since when the channel has been behind.
    pub(super) fn waits_since(&self) -> DateTime<Utc> {
        self.behind_since.unwrap_or(self.requested_at)
    }
}

const LOAD: &str = "
SELECT listing_id, org_id, account_id, target_id, sync_id, ordinal, tries, snapshot, revision,
    array_to_string(needs, ',') AS needs, rank, due_at, requested_at, behind_since, position
FROM sync_queue WHERE listing_id = ANY($1)";

const LOAD_OF_TARGETS: &str = "
SELECT listing_id, org_id, account_id, target_id, sync_id, ordinal, tries, snapshot, revision,
    array_to_string(needs, ',') AS needs, rank, due_at, requested_at, behind_since, position
FROM sync_queue WHERE target_id = ANY($1)";

const STORE: &str = "
INSERT INTO sync_queue (
    listing_id, org_id, account_id, target_id, sync_id, ordinal, tries, snapshot, revision, needs, rank, due_at,
    requested_at, behind_since, position)
SELECT listing_id, org_id, account_id, target_id, sync_id, ordinal, tries, snapshot, revision,
    string_to_array(needs, ','), rank, due_at, requested_at, behind_since, position
FROM UNNEST(
    $1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::uuid[], $6::bigint[], $7::int[], $8::bytea[], $9::bigint[],
    $10::text[], $11::timestamptz[], $12::timestamptz[], $13::timestamptz[], $14::timestamptz[], $15::bigint[])
AS rows (
    listing_id, org_id, account_id, target_id, sync_id, ordinal, tries, snapshot, revision, needs, rank, due_at,
    requested_at, behind_since, position)
ON CONFLICT (listing_id) DO UPDATE SET
    org_id = EXCLUDED.org_id, account_id = EXCLUDED.account_id, sync_id = EXCLUDED.sync_id,
    ordinal = EXCLUDED.ordinal, tries = EXCLUDED.tries, snapshot = EXCLUDED.snapshot, revision = EXCLUDED.revision,
    needs = EXCLUDED.needs, rank = EXCLUDED.rank, due_at = EXCLUDED.due_at, requested_at = EXCLUDED.requested_at,
    behind_since = EXCLUDED.behind_since, position = EXCLUDED.position";

const DELETE: &str = "DELETE FROM sync_queue WHERE listing_id = ANY($1)";

pub(super) async fn load(connection: &mut PgConnection, batch: &[Recorded]) -> Result<Working<QueueRow>, Error> {
    let mut rows: Vec<QueueRow> = Vec::new();
    let ids: HashSet<Uuid> = batch.iter().filter(|event| touches(event)).map(|event| event.aggregate_id).collect();
    if !ids.is_empty() {
        let ids: Vec<Uuid> = ids.into_iter().collect();
        rows = sqlx::query_as(LOAD).bind(ids).fetch_all(&mut *connection).await?;
    }
    let deleted = deleted_in(batch);
    if !deleted.is_empty() {
        rows.extend(sqlx::query_as::<_, QueueRow>(LOAD_OF_TARGETS).bind(deleted).fetch_all(connection).await?);
    }
    Ok(Working::loaded(rows.into_iter().map(|row| (row.listing_id, row))))
}

fn touches(event: &Recorded) -> bool {
    let ChannelEvent::Listing(listing) = &event.event else { return false };
    match **listing {
        ListingEvent::SyncRequested { .. }
        | ListingEvent::SyncAccepted { .. }
        | ListingEvent::SyncFoundUnchanged { .. }
        | ListingEvent::SyncFailed { .. }
        | ListingEvent::SyncDeferred { .. }
        | ListingEvent::ListingUnlinked { .. } => true,
        ListingEvent::SyncSkipped { .. }
        | ListingEvent::ListingLinked { .. }
        | ListingEvent::CreationStarted { .. }
        | ListingEvent::SupersededSyncFailed { .. }
        | ListingEvent::LateAttemptRecorded { .. }
        | ListingEvent::ListingPaused { .. }
        | ListingEvent::ListingResumed {} => false,
    }
}

pub(super) async fn store(connection: &mut PgConnection, rows: &[QueueRow]) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(STORE)
        .bind(column(rows, |row| row.listing_id))
        .bind(column(rows, |row| row.org_id.as_str()))
        .bind(column(rows, |row| row.account_id.as_str()))
        .bind(column(rows, |row| row.target_id))
        .bind(column(rows, |row| row.sync_id))
        .bind(column(rows, |row| row.ordinal))
        .bind(column(rows, |row| row.tries))
        .bind(column(rows, |row| row.snapshot.as_slice()))
        .bind(column(rows, |row| row.revision))
        .bind(column(rows, |row| row.needs.as_str()))
        .bind(column(rows, |row| row.rank))
        .bind(column(rows, |row| row.due_at))
        .bind(column(rows, |row| row.requested_at))
        .bind(column(rows, |row| row.behind_since))
        .bind(column(rows, |row| row.position))
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn delete(connection: &mut PgConnection, listings: &[Uuid]) -> Result<(), Error> {
    if !listings.is_empty() {
        sqlx::query(DELETE).bind(listings).execute(connection).await?;
    }
    Ok(())
}
