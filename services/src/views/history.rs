//! What happened to a target or a listing, as the journal has it.

use std::collections::HashMap;

use adapters::event_store::StoredEvent;
use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

/// The aggregate type of a target.
pub const TARGET: &str = "ChannelTarget";
/// The aggregate type of a listing.
pub const LISTING: &str = "ChannelListing";

#[derive(FromRow)]
struct Row {
    position: i64,
    event_id: Uuid,
    org_id: String,
    account_id: String,
    sequence: i64,
    event_type: String,
    event_version: String,
    payload: Json<Box<RawValue>>,
    metadata: Json<HashMap<String, String>>,
    recorded_at: DateTime<Utc>,
}

const EVENTS: &str = "
SELECT position, event_id, org_id, account_id, sequence, event_type, event_version, payload, metadata, recorded_at
FROM events WHERE aggregate_type = $1 AND aggregate_id = $2 AND ($3::bigint IS NULL OR sequence < $3)
ORDER BY sequence DESC LIMIT $4";

/// The newest first, of those before a sequence.
pub async fn events(
    connection: &mut PgConnection,
    aggregate_type: &str,
    id: Uuid,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<StoredEvent>, sqlx::Error> {
    let rows = sqlx::query_as(EVENTS).bind(aggregate_type).bind(id.to_string()).bind(before).bind(limit);
    let rows: Vec<Row> = rows.fetch_all(connection).await?;
    let stored = |row: Row| StoredEvent {
        position: row.position,
        event_id: row.event_id,
        org_id: row.org_id,
        account_id: row.account_id,
        aggregate_type: aggregate_type.to_owned(),
        aggregate_id: id.to_string(),
        sequence: row.sequence,
        event_type: row.event_type,
        event_version: row.event_version,
        payload: row.payload.0,
        metadata: row.metadata.0,
        recorded_at: row.recorded_at,
    };
    Ok(rows.into_iter().map(stored).collect())
}
