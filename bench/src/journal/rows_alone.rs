//! Events that are ready-made, over connections like the journal's, into a table like its own: nobody asks for a commit, waits for
//! an answer of its own or meets another version. No journal whose events come over a connection, in as many statements of as many,
//! can be faster.

use std::time::{Duration, Instant};

use serde_json::Value;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::figures::float;
use crate::world::World;

/// Nothing is looked for. The positions come back, as the journal's do.
const INSERT: &str = "
INSERT INTO single_events
    (event_id, org_id, account_id, aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
SELECT event_id, 'bench', 'villas', 'ChannelListing', aggregate_id, 1, 'ListingPaused', '1.0', payload::json, metadata::json
FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::text[]) AS rows (event_id, aggregate_id, payload, metadata)
RETURNING position";

/// How many events a second so many statements at a time write, of so many each.
pub async fn per_s(
    world: &World,
    (payload, metadata): &(Value, Value),
    statements: usize,
    events: usize,
    time: Duration,
) -> anyhow::Result<f64> {
    let (payload, metadata) = (payload.to_string(), metadata.to_string());
    let url = world.database_url()?;
    let started = Instant::now();
    let write = async || {
        let mut connection = PgConnection::connect(&url).await?;
        let mut written = 0;
        while started.elapsed() < time {
            let ids: Vec<Uuid> = (0..events).map(|_| Uuid::new_v4()).collect();
            let aggregates: Vec<String> = ids.iter().map(Uuid::to_string).collect();
            let positions: Vec<i64> = sqlx::query_scalar(INSERT)
                .bind(ids)
                .bind(aggregates)
                .bind(vec![&payload; events])
                .bind(vec![&metadata; events])
                .fetch_all(&mut connection)
                .await?;
            written += positions.len();
        }
        connection.close().await?;
        anyhow::Ok(written)
    };
    let written = futures::future::try_join_all((0..statements).map(|_| write())).await?;
    Ok(float(written.into_iter().sum()) / started.elapsed().as_secs_f64())
}
