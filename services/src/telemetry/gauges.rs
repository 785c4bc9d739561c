//! What the tables and streams say about the work, for the metrics: queues, windows, lags, dead letters.

use std::collections::BTreeMap;
use std::time::Duration;

use adapters::nats::Nats;
use adapters::nats::topology::StreamKind;
use adapters::telemetry::{Gauges, MostTargets, observe};
use sqlx::{FromRow, PgPool};
use tokio_util::sync::CancellationToken;

use super::untold::Untold;
use crate::relay::{POSITION, position_header};

/// How often they are asked: as often as metrics are scraped by custom.
const LOOK: Duration = Duration::from_secs(15);

/// Targets by class, which is their health, or what holds them where they are not active.
const QUEUES: &str = "
WITH queued AS (
    SELECT target_id, count(*) AS depth, min(requested_at) AS oldest FROM sync_queue GROUP BY target_id
)
SELECT CASE t.lifecycle WHEN 'active' THEN t.health ELSE t.lifecycle END AS class, sum(q.depth)::bigint AS depth,
    extract(epoch FROM greatest(now() - min(q.oldest), interval '0'))::float8 AS age_s
FROM queued AS q JOIN channel_targets AS t USING (target_id) GROUP BY 1";

const LONGEST: &str = "
SELECT target_id::text, count(*) FROM sync_queue GROUP BY target_id ORDER BY count(*) DESC, target_id LIMIT $1";

const TARGETS: &str = "SELECT health, count(*) FROM channel_targets WHERE lifecycle <> 'deleted' GROUP BY health";

const WINDOWS: &str = "
SELECT CASE t.lifecycle WHEN 'active' THEN t.health ELSE t.lifecycle END,
    (count(*) FILTER (WHERE s.free_at > now()))::float8 / greatest(count(*), 1)
FROM channel_targets AS t JOIN rate_slots AS s ON s.scope = 'target:' || t.target_id
WHERE t.lifecycle <> 'deleted' GROUP BY 1";

const PROJECTIONS: &str = "SELECT name, position FROM projection_checkpoints";

const BEHIND: &str = "
SELECT greatest((SELECT coalesce(max(position), 0) FROM events) - $1, 0),
    coalesce(extract(epoch FROM now() - (
        SELECT recorded_at FROM events WHERE position > $1 ORDER BY position LIMIT 1)), 0)::float8";

#[derive(Debug, FromRow)]
struct Queue {
    class: String,
    depth: i64,
    age_s: f64,
}

/// Asks until `stop`. What cannot be asked keeps its last value.
pub(super) async fn watch(pool: PgPool, nats: Nats, stop: CancellationToken) {
    let mut untold = Untold::new(pool.clone());
    loop {
        match look(&pool, &nats, &mut untold).await {
            Ok(now) => observe(&now),
            Err(error) => tracing::debug!(error = %error, "the figures of the tables cannot be had now"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

async fn look(pool: &PgPool, nats: &Nats, untold: &mut Untold) -> anyhow::Result<Gauges> {
    let queues: Vec<Queue> = sqlx::query_as(QUEUES).fetch_all(pool).await?;
    let longest: Vec<(String, i64)> = sqlx::query_as(LONGEST).bind(MostTargets::NUMBER).fetch_all(pool).await?;
    let targets: Vec<(String, i64)> = sqlx::query_as(TARGETS).fetch_all(pool).await?;
    let window_use: Vec<(String, f64)> = sqlx::query_as(WINDOWS).fetch_all(pool).await?;
    let mut lags = BTreeMap::new();
    let checkpoints: Vec<(String, i64)> = sqlx::query_as(PROJECTIONS).fetch_all(pool).await?;
    for (name, position) in checkpoints {
        lags.insert(name, behind(pool, position).await?);
    }
    if let Some(position) = tail(nats, StreamKind::Channels).await? {
        lags.insert("relay channels".to_owned(), behind(pool, position).await?);
    }
    if let Some(position) = tail(nats, StreamKind::Audit).await? {
        lags.insert("relay audit".to_owned(), behind(pool, untold.before_first(position).await?).await?);
    }
    let idle = u64::try_from(pool.num_idle()).unwrap_or_default();
    Ok(Gauges {
        queues: queues.into_iter().map(|queue| (queue.class, (count(queue.depth), queue.age_s))).collect(),
        longest_queues: longest.into_iter().map(|(target, depth)| (target, count(depth))).collect(),
        targets: targets.into_iter().map(|(health, targets)| (health, count(targets))).collect(),
        window_use: window_use.into_iter().collect(),
        lags,
        dead_letters: nats.dead_letter_count().await?,
        connections: (u64::from(pool.size()).saturating_sub(idle), idle),
    })
}

async fn behind(pool: &PgPool, position: i64) -> Result<(u64, f64), sqlx::Error> {
    let (events, seconds): (i64, f64) = sqlx::query_as(BEHIND).bind(position).fetch_one(pool).await?;
    Ok((count(events), if events > 0 { seconds } else { 0.0 }))
}

/// Where the last message of a stream stands in the journal; `None` while it is empty.
async fn tail(nats: &Nats, kind: StreamKind) -> anyhow::Result<Option<i64>> {
    let stream = nats.stream(kind).await?;
    let state = &stream.cached_info().state;
    if state.messages == 0 {
        return Ok(None);
    }
    let last = stream.get_raw_message(state.last_sequence).await?;
    Ok(position_header(Some(&last.headers), POSITION).map(|position| position.0))
}
