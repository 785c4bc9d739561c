//! The journal in order of position, for the relay and for projections that catch up.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::journal::{EventLog, JournalUnreadable};
use domain::recorded::{Position, Recorded};
use serde_json::value::RawValue;
use sqlx::PgPool;
use sqlx::types::Json;
use uuid::Uuid;

use super::FENCE;
use super::stored::StoredEvent;
use crate::postgres::begin;

/// Reads the events table.
#[derive(Debug, Clone)]
pub struct PgEventLog {
    pool: PgPool,
}

impl PgEventLog {
    /// A reader over `pool`, which must be the primary.
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// Which journal it is, of all that there are; that of a backup, of a standby and of a copy is the same.
    pub async fn identity(&self) -> Result<Uuid, sqlx::Error> {
        sqlx::query_scalar("SELECT id FROM journal_identity").fetch_one(&self.pool).await
    }

    /// The highest position that can be seen. Lower ones may still be missing: a hint that it is worth to settle.
    pub async fn head(&self) -> Result<Position, sqlx::Error> {
        let head = sqlx::query_scalar!(r#"SELECT coalesce(max(position), 0) AS "head!" FROM events"#);
        head.fetch_one(&self.pool).await.map(Position)
    }

    /// See [`EventLog::settled`].
    ///
    /// One statement is enough: `max(position)` comes from the snapshot before the lock is granted, every lower
    /// position was given out before that, and its writer holds the lock shared until it is done.
    pub async fn settled_position(&self) -> Result<Position, sqlx::Error> {
        let settled = sqlx::query_scalar!(
            r#"
            WITH fence AS MATERIALIZED (SELECT pg_advisory_xact_lock($1))
            SELECT coalesce((SELECT max(position) FROM events), 0) AS "settled!" FROM fence
            "#,
            FENCE
        );
        settled.fetch_one(&self.pool).await.map(Position)
    }

    /// Stored events after `after` and up to `up_to`, in order.
    pub async fn stored(&self, after: Position, up_to: Position, limit: i64) -> Result<Vec<StoredEvent>, sqlx::Error> {
        let rows = sqlx::query_as!(
            StoredRow,
            r#"
            SELECT position, event_id, org_id, account_id, aggregate_type, aggregate_id, sequence, event_type,
                   event_version, payload AS "payload: Json<Box<RawValue>>", metadata AS "metadata: Json<Box<RawValue>>", recorded_at
            FROM events WHERE position > $1 AND position <= $2 ORDER BY position LIMIT $3
            "#,
            after.0,
            up_to.0,
            limit
        );
        Ok(rows.fetch_all(&self.pool).await?.into_iter().map(StoredEvent::from).collect())
    }

    /// The same of events of these types alone.
    pub async fn stored_of(
        &self,
        types: &[&str],
        after: Position,
        up_to: Position,
        limit: i64,
    ) -> Result<Vec<StoredEvent>, sqlx::Error> {
        let rows = sqlx::query_as::<_, StoredRow>(
            "SELECT position, event_id, org_id, account_id, aggregate_type, aggregate_id, sequence, event_type,
                    event_version, payload, metadata, recorded_at
             FROM events WHERE event_type = ANY($1) AND position > $2 AND position <= $3 ORDER BY position LIMIT $4",
        );
        let rows = rows.bind(types).bind(after.0).bind(up_to.0).bind(limit).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(StoredEvent::from).collect())
    }

    /// Where a span of events after this position ends; `None` where there are fewer. By rows: after a restore positions leap.
    async fn some_rows_on(&self, after: Position) -> Result<Option<Position>, sqlx::Error> {
        let end =
            sqlx::query_scalar("SELECT position FROM events WHERE position > $1 ORDER BY position OFFSET $2 LIMIT 1");
        end.bind(after.0).bind(SPAN - 1).fetch_optional(&self.pool).await.map(|end: Option<i64>| end.map(Position))
    }

    /// The newest events of one aggregate, up to `limit`, in order.
    pub async fn newest_of(
        &self,
        aggregate_type: &str,
        aggregate_id: &str,
        limit: i64,
    ) -> Result<Vec<StoredEvent>, sqlx::Error> {
        let rows = sqlx::query_as!(
            StoredRow,
            r#"
            SELECT position, event_id, org_id, account_id, aggregate_type, aggregate_id, sequence, event_type,
                   event_version, payload AS "payload: Json<Box<RawValue>>", metadata AS "metadata: Json<Box<RawValue>>", recorded_at
            FROM events WHERE aggregate_type = $1 AND aggregate_id = $2 ORDER BY sequence DESC LIMIT $3
            "#,
            aggregate_type,
            aggregate_id,
            limit
        );
        Ok(rows.fetch_all(&self.pool).await?.into_iter().rev().map(StoredEvent::from).collect())
    }

    /// The events of one aggregate after this sequence, up to `limit`, in order.
    pub async fn of_aggregate(
        &self,
        aggregate_type: &str,
        aggregate_id: &str,
        after: i64,
        limit: i64,
    ) -> Result<Vec<StoredEvent>, sqlx::Error> {
        let rows = sqlx::query_as!(
            StoredRow,
            r#"
            SELECT position, event_id, org_id, account_id, aggregate_type, aggregate_id, sequence, event_type,
                   event_version, payload AS "payload: Json<Box<RawValue>>", metadata AS "metadata: Json<Box<RawValue>>", recorded_at
            FROM events WHERE aggregate_type = $1 AND aggregate_id = $2 AND sequence > $3 ORDER BY sequence LIMIT $4
            "#,
            aggregate_type,
            aggregate_id,
            after,
            limit
        );
        Ok(rows.fetch_all(&self.pool).await?.into_iter().map(StoredEvent::from).collect())
    }

    /// Whether the journal has this event at this position. One that was put back to an earlier state has not.
    pub async fn has(&self, position: Position, event_id: Uuid) -> Result<bool, sqlx::Error> {
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM events WHERE position = $1 AND event_id = $2)")
            .bind(position.0)
            .bind(event_id)
            .fetch_one(&self.pool)
            .await
    }

    /// Gives out no position up to this one any more. The fence keeps appends away meanwhile: what one was given is not
    /// given to another.
    pub async fn skip_to(&self, position: Position) -> Result<(), sqlx::Error> {
        let mut transaction = begin(&self.pool).await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(FENCE).execute(&mut *transaction).await?;
        sqlx::query("SELECT setval('events_position_seq', $1) FROM events_position_seq WHERE last_value < $1")
            .bind(position.0)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await
    }

    /// The position before the first event that is younger than `age_s` seconds: where a stream that keeps messages
    /// for so long would begin.
    pub async fn before_age(&self, age_s: f64) -> Result<Position, sqlx::Error> {
        let before = sqlx::query_scalar!(
            r#"
            SELECT coalesce(
                (SELECT min(position) - 1 FROM events WHERE recorded_at > now() - make_interval(secs => $1)),
                (SELECT max(position) FROM events), 0) AS "before!"
            "#,
            age_s
        );
        before.fetch_one(&self.pool).await.map(Position)
    }
}

#[derive(sqlx::FromRow)]
struct StoredRow {
    position: i64,
    event_id: Uuid,
    org_id: String,
    account_id: String,
    aggregate_type: String,
    aggregate_id: String,
    sequence: i64,
    event_type: String,
    event_version: String,
    payload: Json<Box<RawValue>>,
    metadata: Json<Box<RawValue>>,
    recorded_at: DateTime<Utc>,
}

impl From<StoredRow> for StoredEvent {
    fn from(row: StoredRow) -> Self {
        Self {
            position: row.position,
            event_id: row.event_id,
            org_id: row.org_id,
            account_id: row.account_id,
            aggregate_type: row.aggregate_type,
            aggregate_id: row.aggregate_id,
            sequence: row.sequence,
            event_type: row.event_type,
            event_version: row.event_version,
            payload: row.payload.0,
            metadata: row.metadata.0,
            recorded_at: row.recorded_at,
        }
    }
}

fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> JournalUnreadable {
    JournalUnreadable(Box::new(error))
}

#[async_trait]
impl EventLog for PgEventLog {
    async fn settled(&self) -> Result<Position, JournalUnreadable> {
        self.settled_position().await.map_err(unreadable)
    }

    async fn read(
        &self,
        types: Option<&[&str]>,
        after: Position,
        up_to: Position,
        limit: usize,
    ) -> Result<Vec<Recorded>, JournalUnreadable> {
        let Some(types) = types else {
            return recorded(self.stored(after, up_to, whole(limit)).await.map_err(unreadable)?);
        };
        // In spans, so that no statement keeps its snapshot for as long as a look through the whole journal takes.
        let (mut from, mut found) = (after, Vec::new());
        while from < up_to && found.len() < limit {
            let to = up_to.min(self.some_rows_on(from).await.map_err(unreadable)?.unwrap_or(up_to));
            found.extend(self.stored_of(types, from, to, whole(limit - found.len())).await.map_err(unreadable)?);
            from = to;
        }
        recorded(found)
    }
}

/// Events that are looked through for those of some types at once.
const SPAN: i64 = 100_000;

fn whole(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn recorded(stored: Vec<StoredEvent>) -> Result<Vec<Recorded>, JournalUnreadable> {
    stored.into_iter().map(|event| event.recorded().map_err(unreadable)).collect()
}
