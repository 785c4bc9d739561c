//! One run of our side.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::ensure;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};

use super::{Revisions, Run, SyncOptions};
use crate::cost::{MemoryWatch, cpu_seconds};
use crate::ours::{Service, first_writes, publish, publish_one};
use crate::units::{self, Messages};
use crate::world::World;

/// Longer than any run may take.
const LIMIT: Duration = Duration::from_secs(600);

pub async fn run(
    world: &mut World,
    options: &SyncOptions,
    messages: &Messages,
    revisions: &mut Revisions,
) -> anyhow::Result<Run> {
    sqlx::query("CHECKPOINT").execute(&world.pool).await?;
    let all: Vec<usize> = (0..options.changes).collect();
    let mut service = Service::start(world)?;
    let warm = options.warm_units();
    let since = head(world).await?;
    publish(world, messages, &warm, revisions.next()).await?;
    accepted(world, &mut service, since, warm.len()).await?;
    service.drained(world, LIMIT).await?;

    let parts = service.parts(world).await?;
    let since = head(world).await?;
    world.channel.reset().await?;
    service.process.hold()?;
    let before = cpu_seconds(&parts);
    publish(world, messages, &all, revisions.next()).await?;
    let memory = MemoryWatch::start(parts.clone());
    let ingested = cpu_seconds(&parts);
    let started = Instant::now();
    service.process.let_go()?;
    arrived(world, &mut service, options.changes).await?;
    accepted(world, &mut service, since, options.changes).await?;
    let seconds = started.elapsed().as_secs_f64();
    let cpu = cpu_seconds(&parts).into_iter().map(|(name, after)| (name, after - before[name])).collect();
    let ingest = parts.iter().map(|part| ingested[part.name] - before[part.name]).sum();
    let memory = memory.stop();
    service.drained(world, LIMIT).await?;

    let latencies = paced(world, &mut service, options, messages, revisions.next()).await?;
    service.process.stop().await?;
    Ok(Run { seconds, cpu, ingest, memory, latencies })
}

async fn head(world: &World) -> anyhow::Result<i64> {
    world.count("SELECT coalesce(max(position), 0) FROM events").await
}

/// Waits for the calls: the channel counts them, so that nobody's database is asked meanwhile.
async fn arrived(world: &mut World, service: &mut Service, calls: usize) -> anyhow::Result<()> {
    let asked = Instant::now();
    while world.channel.writes().await? < calls {
        service.process.must_run()?;
        ensure!(asked.elapsed() < LIMIT, "not all calls were made:\n{}", service.process.printed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Waits for the audit rows of jobs after a position; fails when one ends otherwise than accepted.
async fn accepted(world: &World, service: &mut Service, since: i64, jobs: usize) -> anyhow::Result<()> {
    let asked = Instant::now();
    loop {
        service.process.must_run()?;
        let (accepted, failed): (i64, i64) = sqlx::query_as(
            "SELECT count(*) FILTER (WHERE outcome = 'accepted'),
                    count(*) FILTER (WHERE outcome NOT IN ('accepted', 'pending'))
             FROM outbound_audit WHERE org_id = $1 AND position > $2",
        )
        .bind(units::ORG)
        .bind(since)
        .fetch_one(&world.pool)
        .await?;
        ensure!(failed == 0, "{failed} syncs ended otherwise than accepted:\n{}", service.process.printed());
        if usize::try_from(accepted)? >= jobs {
            return Ok(());
        }
        ensure!(asked.elapsed() < LIMIT, "{accepted} of {jobs} audit rows:\n{}", service.process.printed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// From change to call while little is going on, in milliseconds.
async fn paced(
    world: &mut World,
    service: &mut Service,
    options: &SyncOptions,
    messages: &Messages,
    revision: u64,
) -> anyhow::Result<Vec<f64>> {
    let indices = options.paced_units();
    world.channel.reset().await?;
    let mut sent: HashMap<String, u64> = HashMap::new();
    let mut ticks = tokio::time::interval(Duration::from_micros(1_000_000 / options.paced.max(1)));
    let mut publications = futures::stream::FuturesUnordered::new();
    for index in &indices {
        ticks.tick().await;
        sent.insert(units::name(*index), now_us());
        publications.push(publish_one(world, messages, *index, revision));
        // One is under way at a time, unless the server is slow.
        while let Some(Some(published)) = publications.next().now_or_never() {
            published?;
        }
    }
    while publications.try_next().await?.is_some() {}
    drop(publications);
    arrived(world, service, indices.len()).await?;
    let arrivals = first_writes(world, &world.channel.arrivals().await?).await?;
    Ok(sent.iter().filter_map(|(unit, at)| super::report::milliseconds(*at, *arrivals.get(unit)?)).collect())
}

fn now_us() -> u64 {
    u64::try_from(chrono::Utc::now().timestamp_micros()).unwrap_or_default()
}
