//! What the tables and streams say about the work, for the metrics: queues, windows, lags, dead letters.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use adapters::event_store::PgEventLog;
use adapters::nats::Nats;
use adapters::postgres::{PLANNED_FREELY, begin_with};
use adapters::telemetry::{Gauges, MostTargets, observe};
use sqlx::{FromRow, PgPool};
use tokio_util::sync::CancellationToken;

use super::pools::Pools;
use super::streams::Streams;
use super::untold::Untold;
use crate::views::queue::BEHIND_SINCE;

/// Whom the figures are from.
const POSTGRES: &str = "postgres";
const NATS: &str = "nats";

/// What has not answered by then cannot be asked now.
const PATIENCE: Duration = Duration::from_secs(10);

/// The class of a target: what holds it, else its health. Of one that does not answer, or refuses its credentials, that says it
/// already; another one's circuit may be open, too.
const CLASS: &str = "CASE WHEN t.lifecycle <> 'active' THEN t.lifecycle
    WHEN o.target_id IS NOT NULL AND t.health NOT IN ('unreachable', 'unauthorised') THEN 'circuit_open'
    ELSE t.health END";
/// What it is read from, beside the target.
const CIRCUIT: &str = "LEFT JOIN dispatch_circuits AS o ON o.target_id = t.target_id AND o.opened > 0";

/// Queues by the class of their targets, what waits at paused listings apart; and the longest ones, by their targets. Together, as
/// the table may be long, and is read from end to end. The paused ones are found by an index of those that are not active.
fn queues() -> String {
    format!(
        "WITH paused AS MATERIALIZED (
             SELECT listing_id FROM channel_listings WHERE state <> 'active' AND state = 'paused'
         ), queued AS MATERIALIZED (
             SELECT q.target_id, p.listing_id IS NOT NULL AS listing_paused, count(*) AS depth,
                 min({BEHIND_SINCE}) AS oldest
             FROM sync_queue AS q LEFT JOIN paused AS p ON p.listing_id = q.listing_id GROUP BY 1, 2
         )
         SELECT CASE WHEN listing_paused THEN 'listing_paused' ELSE {CLASS} END AS class, NULL::text AS target_id,
             sum(depth)::bigint AS depth,
             extract(epoch FROM greatest(now() - min(oldest), interval '0'))::float8 AS age_s
         FROM queued JOIN channel_targets AS t ON t.target_id = queued.target_id {CIRCUIT} GROUP BY 1
         UNION ALL
         (SELECT NULL, target_id::text, sum(depth)::bigint, NULL FROM queued GROUP BY queued.target_id
          ORDER BY 3 DESC, 2 LIMIT $1)"
    )
}

const TARGETS: &str = "SELECT health, count(*) FROM channel_targets WHERE lifecycle <> 'deleted' GROUP BY health";

/// Of active targets: what waits for a paused one waits for whoever paused it.
const OPEN_CIRCUITS: &str = "
SELECT t.health, count(o.opened_at), extract(epoch FROM greatest(now() - min(o.opened_at), interval '0'))::float8
FROM channel_targets AS t LEFT JOIN circuit_openings AS o ON o.target_id = t.target_id AND o.closed_at IS NULL
WHERE t.lifecycle = 'active' GROUP BY t.health";

/// A lowered limit leaves the slots above it in the table.
fn windows() -> String {
    format!(
        "SELECT 'target', {CLASS}, avg(CASE WHEN s.free_at > now() THEN 1 ELSE 0 END)::float8
         FROM channel_targets AS t JOIN rate_scopes AS r ON r.scope = 'target:' || t.target_id
         JOIN rate_slots AS s ON s.scope = r.scope AND s.slot <= r.requests {CIRCUIT}
         WHERE t.lifecycle <> 'deleted' GROUP BY 2
         UNION ALL
         SELECT split_part(r.scope, ':', 1), NULL, avg(CASE WHEN s.free_at > now() THEN 1 ELSE 0 END)::float8
         FROM rate_scopes AS r JOIN rate_slots AS s ON s.scope = r.scope AND s.slot <= r.requests
         WHERE r.scope LIKE 'account:%' OR r.scope LIKE 'egress:%' GROUP BY 1"
    )
}

const PROJECTIONS: &str = "SELECT name, position FROM projection_checkpoints";

const LAG: &str = "
SELECT greatest((SELECT coalesce(max(position), 0) FROM events) - $1, 0),
    coalesce(extract(epoch FROM now() - (
        SELECT recorded_at FROM events WHERE position > $1 ORDER BY position LIMIT 1)), 0)::float8";

/// All that waits for targets of a class, or for one target.
#[derive(Debug, FromRow)]
struct Queue {
    class: Option<String>,
    target_id: Option<String>,
    depth: i64,
    age_s: Option<f64>,
}

/// Asks, with a pause of `every` in between, until `stop`. What cannot be asked keeps its last value, which tells its age.
pub(super) async fn watch(pools: Pools, nats: Nats, every: Duration, stop: CancellationToken) {
    let mut untold = Untold::new(pools.work.clone());
    let mut streams = Streams::default();
    let began = Instant::now();
    let read_at = BTreeMap::from([(POSTGRES, began), (NATS, began)]);
    let mut shown = Gauges { read_at, ..Gauges::default() };
    loop {
        let asked_at = Instant::now();
        if streams.look(&nats).await {
            shown.read_at.insert(NATS, asked_at);
        }
        shown.dead_letters = streams.dead_letters;
        shown.untaken = streams.untaken;
        shown.connections = pools.connections();
        observe(&shown);
        let asked_at = Instant::now();
        // One that hangs keeps the figures of the other from nobody.
        let looked = tokio::time::timeout(PATIENCE, look(&pools.work, &streams, &mut untold, &mut shown));
        match looked.await.unwrap_or_else(|late| Err(late.into())) {
            Ok(()) => {
                shown.read_at.insert(POSTGRES, asked_at);
                observe(&shown);
            }
            Err(error) => tracing::debug!(error = %error, "the figures of the tables cannot be had now"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
    }
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// What Postgres says comes into `shown`, all of it or nothing. The relay is judged by the last tails that are known.
async fn look(pool: &PgPool, streams: &Streams, untold: &mut Untold, shown: &mut Gauges) -> anyhow::Result<()> {
    let mut counting = begin_with(pool, format!("BEGIN READ ONLY; {PLANNED_FREELY}")).await?;
    let queues: Vec<Queue> = sqlx::query_as(&queues()).bind(MostTargets::NUMBER).fetch_all(&mut *counting).await?;
    let targets: Vec<(String, i64)> = sqlx::query_as(TARGETS).fetch_all(&mut *counting).await?;
    let circuits: Vec<(String, i64, f64)> = sqlx::query_as(OPEN_CIRCUITS).fetch_all(&mut *counting).await?;
    let windows: Vec<(String, Option<String>, f64)> = sqlx::query_as(&windows()).fetch_all(&mut *counting).await?;
    counting.rollback().await?;
    let mut lags = BTreeMap::new();
    let checkpoints: Vec<(String, i64)> = sqlx::query_as(PROJECTIONS).fetch_all(pool).await?;
    for (name, position) in checkpoints {
        lags.insert(name, lag(pool, position).await?);
    }
    let log = PgEventLog::new(pool.clone());
    if let Some(end) = streams.channels
        && let Some(tail) = end.position(&log).await?
    {
        lags.insert("relay channels".to_owned(), lag(pool, tail.0).await?);
    }
    if let Some(end) = streams.audit
        && let Some(tail) = end.position(&log).await?
    {
        lags.insert("relay audit".to_owned(), lag(pool, untold.before_first(tail.0).await?).await?);
    }
    let of_class = |queue: &Queue| Some((queue.class.clone()?, (count(queue.depth), queue.age_s.unwrap_or_default())));
    shown.queues = queues.iter().filter_map(of_class).collect();
    let of_target = |queue: Queue| Some((queue.target_id?, count(queue.depth)));
    shown.longest_queues = queues.into_iter().filter_map(of_target).collect();
    shown.targets = targets.into_iter().map(|(health, targets)| (health, count(targets))).collect();
    shown.open_circuits =
        circuits.into_iter().map(|(health, open, open_for)| (health, (count(open), open_for))).collect();
    shown.window_use = windows.into_iter().map(|(scope, class, share)| ((scope, class), share)).collect();
    shown.lags = lags;
    Ok(())
}

async fn lag(pool: &PgPool, position: i64) -> Result<(u64, f64), sqlx::Error> {
    let (events, seconds): (i64, f64) = sqlx::query_as(LAG).bind(position).fetch_one(pool).await?;
    Ok((count(events), if events > 0 { seconds } else { 0.0 }))
}
