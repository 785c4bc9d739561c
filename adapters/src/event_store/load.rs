//! Loads many streams with one statement: each from where its cached state or its snapshot ends.

use serde_json::Value;
use sqlx::PgPool;

use super::version::{Version, sequence_of};
use crate::grouped::GroupedLoads;

/// How many streams one statement loads at most.
const BATCH: usize = 512;

/// A stream to load.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct StreamRequest {
    pub aggregate_type: &'static str,
    pub aggregate_id: String,
    /// What the caller has already.
    pub after: Option<Version>,
    /// Whether a caller who has nothing takes a snapshot to begin with.
    pub with_snapshot: bool,
}

/// A stored event of a stream.
#[derive(Debug, Clone)]
pub(super) struct StreamEvent {
    pub version: Version,
    pub event_type: String,
    pub event_version: String,
    pub payload: Value,
}

/// What was found: a state to start from, where there is one, and the events after it.
#[derive(Debug, Clone, Default)]
pub(super) struct Loaded {
    pub snapshot: Option<(Version, Value)>,
    pub events: Vec<StreamEvent>,
    /// The journal does not have the last event of what the caller has, or of the snapshot that there is, or has another one of that
    /// number: it was put back to an earlier state, and what it has follows on something else.
    pub lacks_last: bool,
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

/// The last event of what is there already is read once more, for its id alone. A snapshot that names none is passed over: it may be
/// of anything.
async fn load_streams(pool: &PgPool, streams: &[StreamRequest]) -> Result<Vec<Loaded>, sqlx::Error> {
    let types: Vec<String> = streams.iter().map(|s| s.aggregate_type.to_owned()).collect();
    let ids: Vec<String> = streams.iter().map(|s| s.aggregate_id.clone()).collect();
    let after: Vec<i64> = streams.iter().map(|s| sequence_of(s.after)).collect();
    let with_snapshot: Vec<bool> = streams.iter().map(|s| s.with_snapshot && s.after.is_none()).collect();
    let rows = sqlx::query!(
        r#"
        SELECT r.ordinal AS "ordinal!", s.sequence AS "snapshot_sequence?", s.event_id AS "snapshot_event_id?",
               s.state AS "state?", e.sequence AS "sequence?", e.event_id AS "event_id?", e.event_type AS "event_type?",
               e.event_version AS "event_version?", e.payload AS "payload?"
        FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bool[])
            WITH ORDINALITY AS r (aggregate_type, aggregate_id, after, with_snapshot, ordinal)
        LEFT JOIN aggregate_snapshots s
            ON r.with_snapshot AND s.aggregate_type = r.aggregate_type AND s.aggregate_id = r.aggregate_id
               AND s.event_id IS NOT NULL
        LEFT JOIN LATERAL (
            SELECT sequence, event_id, event_type, event_version,
                   CASE WHEN sequence > greatest(r.after, coalesce(s.sequence, 0)) THEN payload END AS payload
            FROM events
            WHERE aggregate_type = r.aggregate_type AND aggregate_id = r.aggregate_id
              AND sequence >= greatest(r.after, coalesce(s.sequence, 0))
            ORDER BY sequence OFFSET 0) e ON true
        ORDER BY r.ordinal, e.sequence
        "#,
        &types,
        &ids,
        &after,
        &with_snapshot,
    )
    .fetch_all(pool)
    .await?;
    let mut loaded: Vec<Loaded> =
        streams.iter().map(|stream| Loaded { lacks_last: stream.after.is_some(), ..Loaded::default() }).collect();
    for row in rows {
        let index = usize::try_from(row.ordinal - 1).expect("ordinality counts from 1");
        let (stream, known) = (&mut loaded[index], streams[index].after);
        // Until the event with which the snapshot ends has come, which is the first one if there is one.
        stream.lacks_last |= row.snapshot_sequence.is_some() && stream.snapshot.is_none();
        let (Some(sequence), Some(event_id)) = (row.sequence, row.event_id) else { continue };
        let version = Version { sequence, event_id };
        if known.map(|known| known.sequence).or(row.snapshot_sequence) == Some(sequence) {
            let last = known.map(|known| known.event_id).or(row.snapshot_event_id);
            stream.lacks_last = last != Some(event_id);
            stream.snapshot = row.state.filter(|_| !stream.lacks_last).map(|state| (version, state));
        } else if let (Some(event_type), Some(event_version), Some(payload)) =
            (row.event_type, row.event_version, row.payload)
        {
            stream.events.push(StreamEvent { version, event_type, event_version, payload });
        }
    }
    Ok(loaded)
}

/// Keeps a state as a snapshot. A cache: nobody waits for it and nothing depends on it. Where the journal was put back to before the
/// event with which the state ends, nothing is kept. What is there already gives way, also where it goes further: it may be of what
/// was lost.
pub(super) async fn keep_snapshot(
    pool: &PgPool,
    aggregate_type: &str,
    aggregate_id: &str,
    version: Version,
    state: &Value,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        INSERT INTO aggregate_snapshots (aggregate_type, aggregate_id, sequence, state, event_id)
        SELECT $1::text, $2::text, $3::bigint, $4::jsonb, $5::uuid
        WHERE EXISTS (SELECT FROM events
                      WHERE aggregate_type = $1 AND aggregate_id = $2 AND sequence = $3 AND event_id = $5)
        ON CONFLICT (aggregate_type, aggregate_id)
            DO UPDATE SET sequence = excluded.sequence, state = excluded.state, event_id = excluded.event_id
        "#,
        aggregate_type,
        aggregate_id,
        version.sequence,
        state,
        version.event_id
    )
    .execute(pool)
    .await
    .map(|_| ())
}
