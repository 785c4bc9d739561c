//! The journal of a test: events go in as sets, and come out as an `EventLog`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::journal::{EventLog, JournalUnreadable};
use domain::metadata::Metadata;
use domain::recorded::{ChannelEvent, Position, Recorded};
use serde_json::Value;
use sqlx::types::Json;
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

/// An event that is still to be written.
pub struct Draft {
    pub aggregate_type: &'static str,
    pub aggregate_id: Uuid,
    pub sequence: i64,
    pub event_type: &'static str,
    pub payload: Value,
    pub metadata: Metadata,
    pub recorded_at: DateTime<Utc>,
}

/// The events table.
pub struct EventsTable(pub PgPool);

#[derive(FromRow)]
struct Stored {
    position: i64,
    event_id: Uuid,
    recorded_at: DateTime<Utc>,
    aggregate_type: String,
    aggregate_id: String,
    sequence: i64,
    event_type: String,
    payload: Value,
    metadata: Value,
}

impl Stored {
    fn recorded(self) -> Recorded {
        Recorded {
            position: Position(self.position),
            event_id: self.event_id,
            recorded_at: self.recorded_at,
            aggregate_id: self.aggregate_id.parse().unwrap(),
            sequence: self.sequence,
            metadata: Metadata::from_json(&self.metadata.to_string()).unwrap(),
            event: ChannelEvent::from_stored(&self.aggregate_type, &self.event_type, &self.payload.to_string())
                .unwrap(),
        }
    }
}

impl EventsTable {
    /// Appends events in order. Positions have a gap before them, as a rolled-back append leaves one.
    pub async fn append(&self, drafts: &[Draft]) {
        sqlx::query("SELECT nextval(pg_get_serial_sequence('events', 'position'))").execute(&self.0).await.unwrap();
        sqlx::query(
            "INSERT INTO events (event_id, org_id, account_id, aggregate_type, aggregate_id, sequence, event_type,
                 event_version, payload, metadata, recorded_at)
             SELECT gen_random_uuid(), metadata ->> 'org_id', metadata ->> 'account_id', aggregate_type, aggregate_id,
                 sequence, event_type, '1.0', payload, metadata, recorded_at
             FROM UNNEST($1::text[], $2::text[], $3::bigint[], $4::text[], $5::jsonb[], $6::jsonb[], $7::timestamptz[])
                 WITH ORDINALITY AS new (aggregate_type, aggregate_id, sequence, event_type, payload, metadata,
                     recorded_at, place)
             ORDER BY place",
        )
        .bind(drafts.iter().map(|draft| draft.aggregate_type).collect::<Vec<_>>())
        .bind(drafts.iter().map(|draft| draft.aggregate_id.to_string()).collect::<Vec<_>>())
        .bind(drafts.iter().map(|draft| draft.sequence).collect::<Vec<_>>())
        .bind(drafts.iter().map(|draft| draft.event_type).collect::<Vec<_>>())
        .bind(drafts.iter().map(|draft| &draft.payload).collect::<Vec<_>>())
        .bind(drafts.iter().map(|draft| Json(draft.metadata.to_map())).collect::<Vec<_>>())
        .bind(drafts.iter().map(|draft| draft.recorded_at).collect::<Vec<_>>())
        .execute(&self.0)
        .await
        .unwrap();
    }

    /// Every event.
    pub async fn all(&self) -> Vec<Recorded> {
        self.read(None, Position(0), self.settled().await.unwrap(), usize::MAX >> 1).await.unwrap()
    }
}

fn unreadable(error: sqlx::Error) -> JournalUnreadable {
    JournalUnreadable(Box::new(error))
}

#[async_trait]
impl EventLog for EventsTable {
    /// No test appends and reads at the same time, so the last position is settled.
    async fn settled(&self) -> Result<Position, JournalUnreadable> {
        let last = sqlx::query_scalar("SELECT COALESCE(max(position), 0) FROM events").fetch_one(&self.0).await;
        last.map(Position).map_err(unreadable)
    }

    async fn read(
        &self,
        types: Option<&[&str]>,
        after: Position,
        up_to: Position,
        limit: usize,
    ) -> Result<Vec<Recorded>, JournalUnreadable> {
        let rows: Vec<Stored> = sqlx::query_as(
            "SELECT position, event_id, recorded_at, aggregate_type, aggregate_id, sequence, event_type, payload, metadata
             FROM events WHERE position > $1 AND position <= $2 AND ($4::text[] IS NULL OR event_type = ANY($4))
             ORDER BY position LIMIT $3",
        )
        .bind(after.0)
        .bind(up_to.0)
        .bind(i64::try_from(limit).unwrap())
        .bind(types)
        .fetch_all(&self.0)
        .await
        .map_err(unreadable)?;
        Ok(rows.into_iter().map(Stored::recorded).collect())
    }
}
