//! What happened to a target or a listing, as the journal has it.

use adapters::event_store::{StoredEvent, Unreadable};
use chrono::{DateTime, Utc};
use domain::ids::SyncId;
use domain::listing::ListingEvent;
use domain::recorded::Recorded;
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
    metadata: Json<Box<RawValue>>,
    recorded_at: DateTime<Utc>,
}

impl Row {
    fn of(self, aggregate_type: &str, id: Uuid) -> StoredEvent {
        StoredEvent {
            position: self.position,
            event_id: self.event_id,
            org_id: self.org_id,
            account_id: self.account_id,
            aggregate_type: aggregate_type.to_owned(),
            aggregate_id: id.to_string(),
            sequence: self.sequence,
            event_type: self.event_type,
            event_version: self.event_version,
            payload: self.payload.0,
            metadata: self.metadata.0,
            recorded_at: self.recorded_at,
        }
    }
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
    Ok(rows.into_iter().map(|row| row.of(aggregate_type, id)).collect())
}

const BUT: &str = "
SELECT position, event_id, org_id, account_id, sequence, event_type, event_version, payload, metadata, recorded_at
FROM events WHERE aggregate_type = $1 AND aggregate_id = $2 AND event_type <> $3 ORDER BY sequence DESC LIMIT $4";

/// The newest first, of those that are not of a type.
pub async fn events_but(
    connection: &mut PgConnection,
    aggregate_type: &str,
    id: Uuid,
    event_type: &str,
    limit: i64,
) -> Result<Vec<StoredEvent>, sqlx::Error> {
    let rows = sqlx::query_as(BUT).bind(aggregate_type).bind(id.to_string()).bind(event_type).bind(limit);
    let rows: Vec<Row> = rows.fetch_all(connection).await?;
    Ok(rows.into_iter().map(|row| row.of(aggregate_type, id)).collect())
}

const WITHIN: &str = "
SELECT position, event_id, org_id, account_id, sequence, event_type, event_version, payload, metadata, recorded_at
FROM events WHERE aggregate_type = $1 AND aggregate_id = $2 AND sequence > $3 AND sequence <= $4
ORDER BY sequence LIMIT $5";

/// In order, those after a sequence and up to another: for whoever folds them, some at a time.
pub async fn events_within(
    connection: &mut PgConnection,
    aggregate_type: &str,
    id: Uuid,
    (after, up_to): (i64, i64),
    limit: i64,
) -> Result<Vec<StoredEvent>, sqlx::Error> {
    let rows = sqlx::query_as(WITHIN).bind(aggregate_type).bind(id.to_string()).bind(after).bind(up_to).bind(limit);
    let rows: Vec<Row> = rows.fetch_all(connection).await?;
    Ok(rows.into_iter().map(|row| row.of(aggregate_type, id)).collect())
}

const OF_TYPES: &str = "
SELECT position, event_id, org_id, account_id, sequence, event_type, event_version, payload, metadata, recorded_at
FROM events WHERE aggregate_type = $1 AND aggregate_id = $2 AND event_type = ANY ($3) ORDER BY sequence";

/// The events of some types, in order: only of those that are few.
pub async fn of_types(
    connection: &mut PgConnection,
    aggregate_type: &str,
    id: Uuid,
    types: &[&str],
) -> Result<Vec<Recorded>, NoHistory> {
    let rows = sqlx::query_as(OF_TYPES).bind(aggregate_type).bind(id.to_string()).bind(types);
    let rows: Vec<Row> = rows.fetch_all(connection).await?;
    rows.into_iter().map(|row| Ok(row.of(aggregate_type, id).recorded()?)).collect()
}

const NEWEST_OF_TYPES: &str = "
SELECT position, event_id, org_id, account_id, sequence, event_type, event_version, payload, metadata, recorded_at
FROM events WHERE aggregate_type = $1 AND aggregate_id = $2 AND event_type = ANY ($3) ORDER BY sequence DESC LIMIT 1";

/// The newest event of some types.
pub async fn newest_of_types(
    connection: &mut PgConnection,
    aggregate_type: &str,
    id: Uuid,
    types: &[&str],
) -> Result<Option<Recorded>, NoHistory> {
    let row = sqlx::query_as(NEWEST_OF_TYPES).bind(aggregate_type).bind(id.to_string()).bind(types);
    let row: Option<Row> = row.fetch_optional(connection).await?;
    Ok(row.map(|row| row.of(aggregate_type, id).recorded()).transpose()?)
}

// What waits for a target ends with it, which is no event of its listings.
const ENDED: &str = "
SELECT e.position, e.event_id, e.org_id, e.account_id, e.sequence, e.event_type, e.event_version, e.payload, e.metadata, e.recorded_at,
    t.target_id,
    ARRAY(SELECT a.sync_id FROM outbound_audit AS a
          WHERE a.listing_id = l.listing_id AND a.outcome = 'cancelled' AND (a.position > e.position OR a.finished_at = e.recorded_at)
          ORDER BY a.position) AS cancelled
FROM channel_listings AS l
JOIN channel_targets AS t ON t.target_id = l.target_id AND t.lifecycle = 'deleted'
CROSS JOIN LATERAL (
    SELECT * FROM events WHERE aggregate_type = 'ChannelTarget' AND aggregate_id = t.target_id::text AND event_type = 'TargetDeleted'
    ORDER BY sequence DESC LIMIT 1) AS e
WHERE l.listing_id = $1 AND 'ListingLinked' = (
    SELECT o.event_type FROM events AS o
    WHERE o.aggregate_type = 'ChannelListing' AND o.aggregate_id = l.listing_id::text AND o.position < e.position
        AND o.event_type IN ('ListingLinked', 'ListingUnlinked')
    ORDER BY o.sequence DESC LIMIT 1)";

#[derive(FromRow)]
struct Ended {
    #[sqlx(flatten)]
    deletion: Row,
    target_id: Uuid,
    cancelled: Vec<Uuid>,
}

/// How a listing ended with its target: no event of its own tells that.
#[derive(Debug, Clone)]
pub struct EndWithTarget {
    /// The deletion, as the target's history has it.
    pub deletion: StoredEvent,
    /// The listing's syncs that ended by it, as the audit has them.
    pub cancelled: Vec<SyncId>,
}

impl EndWithTarget {
    /// Makes of an event of the listing, by its position, what the audit makes of it: what waited had ended with the target, so that a
    /// later unlinking cancels nothing.
    pub fn as_audited(&self, position: i64, event: &mut ListingEvent) {
        let ListingEvent::ListingUnlinked { cancels, .. } = event else { return };
        if position > self.deletion.position {
            *cancels = None;
        }
    }
}

/// How a listing ended with its target, where that was deleted while the listing was linked; as the read models know it.
pub async fn ended_with_target(
    connection: &mut PgConnection,
    listing_id: Uuid,
) -> Result<Option<EndWithTarget>, sqlx::Error> {
    let ended: Option<Ended> = sqlx::query_as(ENDED).bind(listing_id).fetch_optional(connection).await?;
    Ok(ended.map(|ended| EndWithTarget {
        deletion: ended.deletion.of(TARGET, ended.target_id),
        cancelled: ended.cancelled.into_iter().map(SyncId).collect(),
    }))
}

/// Why a history cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum NoHistory {
    /// Postgres failed.
    #[error("failed to read the journal: {0}")]
    Database(#[from] sqlx::Error),
    /// An event of another build.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}
