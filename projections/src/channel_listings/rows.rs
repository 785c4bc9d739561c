//! The rows of `channel_listings`, read and written as sets.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use domain::recorded::Recorded;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::column::column;
use crate::error::Error;
use crate::working::Working;

#[derive(FromRow)]
pub(super) struct ListingRow {
    pub(super) listing_id: Uuid,
    pub(super) org_id: String,
    pub(super) account_id: String,
    pub(super) from_account_id: Option<String>,
    pub(super) unit_id: String,
    pub(super) target_id: Uuid,
    pub(super) state: String,
    pub(super) generation: i32,
    pub(super) external_id: Option<String>,
    pub(super) revision: Option<i64>,
    pub(super) snapshot: Option<Vec<u8>>,
    pub(super) accepted_snapshot: Option<Vec<u8>>,
    pub(super) pending_sync_id: Option<Uuid>,
    pub(super) last_sync_id: Option<Uuid>,
    pub(super) last_outcome: Option<String>,
    pub(super) last_detail: Option<String>,
    /// JSON text.
    pub(super) rejected: String,
    pub(super) linked_by: String,
    pub(super) linked_at: DateTime<Utc>,
    pub(super) last_accepted_at: Option<DateTime<Utc>>,
    pub(super) version: i64,
    pub(super) updated_at: DateTime<Utc>,
    pub(super) position: i64,
}

const LOAD: &str = "
SELECT listing_id, org_id, account_id, unit_id, target_id, state, generation, external_id, revision, snapshot,
    accepted_snapshot, pending_sync_id, last_sync_id, last_outcome, last_detail, rejected::text AS rejected,
    linked_by, linked_at, last_accepted_at, version, updated_at, position, from_account_id
FROM channel_listings WHERE listing_id = ANY($1)";

const STORE: &str = "
INSERT INTO channel_listings (
    listing_id, org_id, account_id, unit_id, target_id, state, generation, external_id, revision, snapshot,
    accepted_snapshot, pending_sync_id, last_sync_id, last_outcome, last_detail, rejected, linked_by, linked_at,
    last_accepted_at, version, updated_at, position, from_account_id)
SELECT listing_id, org_id, account_id, unit_id, target_id, state, generation, external_id, revision, snapshot,
    accepted_snapshot, pending_sync_id, last_sync_id, last_outcome, last_detail, rejected::jsonb, linked_by, linked_at,
    last_accepted_at, version, updated_at, position, from_account_id
FROM UNNEST(
    $1::uuid[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::text[], $7::int[], $8::text[], $9::bigint[],
    $10::bytea[], $11::bytea[], $12::uuid[], $13::uuid[], $14::text[], $15::text[], $16::text[], $17::text[],
    $18::timestamptz[], $19::timestamptz[], $20::bigint[], $21::timestamptz[], $22::bigint[],
    $23::text[])
AS rows (
    listing_id, org_id, account_id, unit_id, target_id, state, generation, external_id, revision, snapshot,
    accepted_snapshot, pending_sync_id, last_sync_id, last_outcome, last_detail, rejected, linked_by, linked_at,
    last_accepted_at, version, updated_at, position, from_account_id)
ON CONFLICT (listing_id) DO UPDATE SET
    org_id = EXCLUDED.org_id, account_id = EXCLUDED.account_id, state = EXCLUDED.state,
    generation = EXCLUDED.generation, external_id = EXCLUDED.external_id, revision = EXCLUDED.revision,
    snapshot = EXCLUDED.snapshot, accepted_snapshot = EXCLUDED.accepted_snapshot,
    pending_sync_id = EXCLUDED.pending_sync_id, last_sync_id = EXCLUDED.last_sync_id,
    last_outcome = EXCLUDED.last_outcome, last_detail = EXCLUDED.last_detail, rejected = EXCLUDED.rejected,
    linked_by = EXCLUDED.linked_by, linked_at = EXCLUDED.linked_at, last_accepted_at = EXCLUDED.last_accepted_at,
    version = EXCLUDED.version, updated_at = EXCLUDED.updated_at, position = EXCLUDED.position,
    from_account_id = EXCLUDED.from_account_id";

pub(super) async fn load(connection: &mut PgConnection, events: &[&Recorded]) -> Result<Working<ListingRow>, Error> {
    let ids: HashSet<Uuid> = events.iter().map(|event| event.aggregate_id).collect();
    let ids: Vec<Uuid> = ids.into_iter().collect();
    let rows: Vec<ListingRow> = sqlx::query_as(LOAD).bind(ids).fetch_all(connection).await?;
    Ok(Working::loaded(rows.into_iter().map(|row| (row.listing_id, row))))
}

pub(super) async fn store(connection: &mut PgConnection, rows: &[ListingRow]) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(STORE)
        .bind(column(rows, |row| row.listing_id))
        .bind(column(rows, |row| row.org_id.as_str()))
        .bind(column(rows, |row| row.account_id.as_str()))
        .bind(column(rows, |row| row.unit_id.as_str()))
        .bind(column(rows, |row| row.target_id))
        .bind(column(rows, |row| row.state.as_str()))
        .bind(column(rows, |row| row.generation))
        .bind(column(rows, |row| row.external_id.as_deref()))
        .bind(column(rows, |row| row.revision))
        .bind(column(rows, |row| row.snapshot.as_deref()))
        .bind(column(rows, |row| row.accepted_snapshot.as_deref()))
        .bind(column(rows, |row| row.pending_sync_id))
        .bind(column(rows, |row| row.last_sync_id))
        .bind(column(rows, |row| row.last_outcome.as_deref()))
        .bind(column(rows, |row| row.last_detail.as_deref()))
        .bind(column(rows, |row| row.rejected.as_str()))
        .bind(column(rows, |row| row.linked_by.as_str()))
        .bind(column(rows, |row| row.linked_at))
        .bind(column(rows, |row| row.last_accepted_at))
        .bind(column(rows, |row| row.version))
        .bind(column(rows, |row| row.updated_at))
        .bind(column(rows, |row| row.position))
        .bind(column(rows, |row| row.from_account_id.as_deref()))
        .execute(connection)
        .await?;
    Ok(())
}
