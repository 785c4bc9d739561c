//! Loads many streams with one statement: each from where its cached state or its snapshot ends.

use serde_json::Value;
use sqlx::PgPool;

use crate::grouped::GroupedLoads;

/// How many streams one statement loads at most.
const BATCH: usize = 512;

/// A stream to load.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct StreamRequest {
    pub aggregate_type: &'static str,
    pub aggregate_id: String,
    /// What the caller has already; 0 for nothing.
    pub after: i64,
}

/// A stored event of a stream.
#[derive(Debug, Clone)]
pub(super) struct StreamEvent {
    pub sequence: i64,
    pub event_type: String,
    pub event_version: String,
    pub payload: Value,
}

/// What was found: a state to start from, where there is one, and the events after it.
#[derive(Debug, Clone, Default)]
pub(super) struct Loaded {
    pub snapshot: Option<(i64, Value)>,
    pub events: Vec<StreamEvent>,
}

/// Loads that gather: the listings of a target all ask for the target.
pub(super) fn grouped_loads(pool: &PgPool) -> GroupedLoads<StreamRequest, Loaded> {
    let pool = pool.clone();
    GroupedLoads::new(BATCH, move |streams: Vec<StreamRequest>| {
        let pool = pool.clone();
        async move {
            let loaded = load_streams(&pool, &streams).await;
            loaded.inspect_err(|error| tracing::warn!(error = %error, "failed to load from the journal"))
        }
    })
}

async fn load_streams(pool: &PgPool, streams: &[StreamRequest]) -> Result<Vec<Loaded>, sqlx::Error> {
    let types: Vec<String> = streams.iter().map(|s| s.aggregate_type.to_owned()).collect();
    let ids: Vec<String> = streams.iter().map(|s| s.aggregate_id.clone()).collect();
    let after: Vec<i64> = streams.iter().map(|s| s.after).collect();
    let rows = sqlx::query!(
        r#"
        SELECT r.ordinal AS "ordinal!", s.sequence AS "snapshot_sequence?", s.state AS "state?",
               e.sequence AS "sequence?", e.event_type AS "event_type?", e.event_version AS "event_version?",
               e.payload AS "payload?"
        FROM unnest($1::text[], $2::text[], $3::bigint[])
            WITH ORDINALITY AS r (aggregate_type, aggregate_id, after, ordinal)
        LEFT JOIN aggregate_snapshots s
            ON r.after = 0 AND s.aggregate_type = r.aggregate_type AND s.aggregate_id = r.aggregate_id
        LEFT JOIN LATERAL (
            SELECT sequence, event_type, event_version, payload FROM events
            WHERE aggregate_type = r.aggregate_type AND aggregate_id = r.aggregate_id
              AND sequence > greatest(r.after, coalesce(s.sequence, 0))
            ORDER BY sequence OFFSET 0) e ON true
        ORDER BY r.ordinal, e.sequence
        "#,
        &types,
        &ids,
        &after,
    )
    .fetch_all(pool)
    .await?;
    let mut loaded: Vec<Loaded> = streams.iter().map(|_| Loaded::default()).collect();
    for row in rows {
        let index = usize::try_from(row.ordinal - 1).expect("ordinality counts from 1");
        let stream = &mut loaded[index];
        if let (None, Some(sequence), Some(state)) = (&stream.snapshot, row.snapshot_sequence, row.state) {
            stream.snapshot = Some((sequence, state));
        }
        if let (Some(sequence), Some(event_type), Some(event_version), Some(payload)) =
            (row.sequence, row.event_type, row.event_version, row.payload)
        {
            stream.events.push(StreamEvent { sequence, event_type, event_version, payload });
        }
    }
    Ok(loaded)
}

/// Keeps a state as a snapshot. A cache: nobody waits for it and nothing depends on it.
pub(super) async fn keep_snapshot(
    pool: &PgPool,
    aggregate_type: &str,
    aggregate_id: &str,
    sequence: i64,
    state: &Value,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        INSERT INTO aggregate_snapshots (aggregate_type, aggregate_id, sequence, state) VALUES ($1, $2, $3, $4)
        ON CONFLICT (aggregate_type, aggregate_id) DO UPDATE SET sequence = excluded.sequence, state = excluded.state
        WHERE aggregate_snapshots.sequence < excluded.sequence
        "#,
        aggregate_type,
        aggregate_id,
        sequence,
        state
    )
    .execute(pool)
    .await
    .map(|_| ())
}
