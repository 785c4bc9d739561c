//! The rows of `channel_targets`, read and written as sets.

use chrono::{DateTime, Utc};
use domain::recorded::Recorded;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::column::column;
use crate::error::Error;
use crate::working::Working;

#[derive(FromRow)]
pub(super) struct TargetRow {
    pub(super) target_id: Uuid,
    pub(super) org_id: String,
    pub(super) account_id: String,
    pub(super) name: String,
    pub(super) channel: String,
    pub(super) base_url: String,
    pub(super) channel_account: String,
    pub(super) credential: String,
    pub(super) requests: i32,
    pub(super) window_ms: i32,
    pub(super) account_requests: Option<i32>,
    pub(super) account_window_ms: Option<i32>,
    pub(super) lifecycle: String,
    pub(super) lifecycle_reason: Option<String>,
    pub(super) health: String,
    pub(super) health_since: DateTime<Utc>,
    pub(super) version: i64,
    pub(super) created_by: String,
    pub(super) created_at: DateTime<Utc>,
    pub(super) updated_at: DateTime<Utc>,
    pub(super) position: i64,
    pub(super) host_position: Option<i64>,
}

const LOAD: &str = "SELECT * FROM channel_targets WHERE target_id = ANY($1)";

const STORE: &str = "
INSERT INTO channel_targets (
    target_id, org_id, account_id, name, channel, base_url, channel_account, credential, requests, window_ms,
    account_requests, account_window_ms, lifecycle, lifecycle_reason, health, health_since, version, created_by,
    created_at, updated_at, position, host_position)
SELECT * FROM UNNEST(
    $1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::int[],
    $10::int[], $11::int[], $12::int[], $13::text[], $14::text[], $15::text[], $16::timestamptz[], $17::bigint[],
    $18::text[], $19::timestamptz[], $20::timestamptz[], $21::bigint[], $22::bigint[])
ON CONFLICT (target_id) DO UPDATE SET
    name = EXCLUDED.name, base_url = EXCLUDED.base_url, credential = EXCLUDED.credential,
    requests = EXCLUDED.requests, window_ms = EXCLUDED.window_ms,
    account_requests = EXCLUDED.account_requests, account_window_ms = EXCLUDED.account_window_ms,
    lifecycle = EXCLUDED.lifecycle, lifecycle_reason = EXCLUDED.lifecycle_reason,
    health = EXCLUDED.health, health_since = EXCLUDED.health_since,
    version = EXCLUDED.version, updated_at = EXCLUDED.updated_at, position = EXCLUDED.position,
    host_position = EXCLUDED.host_position";

pub(super) async fn load(connection: &mut PgConnection, events: &[&Recorded]) -> Result<Working<TargetRow>, Error> {
    let ids: Vec<Uuid> = events.iter().map(|event| event.aggregate_id).collect();
    let rows: Vec<TargetRow> = sqlx::query_as(LOAD).bind(ids).fetch_all(connection).await?;
    Ok(Working::loaded(rows.into_iter().map(|row| (row.target_id, row))))
}

pub(super) async fn store(connection: &mut PgConnection, rows: &[TargetRow]) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(STORE)
        .bind(column(rows, |row| row.target_id))
        .bind(column(rows, |row| row.org_id.as_str()))
        .bind(column(rows, |row| row.account_id.as_str()))
        .bind(column(rows, |row| row.name.as_str()))
        .bind(column(rows, |row| row.channel.as_str()))
        .bind(column(rows, |row| row.base_url.as_str()))
        .bind(column(rows, |row| row.channel_account.as_str()))
        .bind(column(rows, |row| row.credential.as_str()))
        .bind(column(rows, |row| row.requests))
        .bind(column(rows, |row| row.window_ms))
        .bind(column(rows, |row| row.account_requests))
        .bind(column(rows, |row| row.account_window_ms))
        .bind(column(rows, |row| row.lifecycle.as_str()))
        .bind(column(rows, |row| row.lifecycle_reason.as_deref()))
        .bind(column(rows, |row| row.health.as_str()))
        .bind(column(rows, |row| row.health_since))
        .bind(column(rows, |row| row.version))
        .bind(column(rows, |row| row.created_by.as_str()))
        .bind(column(rows, |row| row.created_at))
        .bind(column(rows, |row| row.updated_at))
        .bind(column(rows, |row| row.position))
        .bind(column(rows, |row| row.host_position))
        .execute(connection)
        .await?;
    Ok(())
}
