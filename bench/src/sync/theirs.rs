//! One run of the peer's side: the same steps.

use std::time::{Duration, Instant};

use anyhow::ensure;

use super::{Revisions, Run, SyncOptions};
use crate::cost::{MemoryWatch, cpu_seconds};
use crate::peer::{self, Peer, QUEUE};
use crate::process::Process;
use crate::world::{SHARED_ACCOUNT, World};

/// Longer than any run may take.
const LIMIT: Duration = Duration::from_secs(600);

pub async fn run(
    world: &mut World,
    peer: &Peer,
    options: &SyncOptions,
    revisions: &mut Revisions,
) -> anyhow::Result<Run> {
    peer.forget().await?;
    sqlx::query("CHECKPOINT").execute(&world.pool).await?;
    let all: Vec<usize> = (0..options.changes).collect();
    let mut worker = peer.worker(&[QUEUE.to_owned()], options.peer_concurrency, None).await?;
    let warm = options.warm_units();
    world.channel.reset().await?;
    peer.add(&peer::jobs(&warm, revisions.next())).await?;
    done(world, peer, &mut worker, warm.len(), warm.len()).await?;

    let parts = peer.parts(world, &worker).await?;
    world.channel.reset().await?;
    worker.hold()?;
    let before = cpu_seconds(&parts);
    peer.add(&peer::jobs(&all, revisions.next())).await?;
    let memory = MemoryWatch::start(parts.clone());
    let ingested = cpu_seconds(&parts);
    let started = Instant::now();
    worker.let_go()?;
    done(world, peer, &mut worker, options.changes, warm.len() + options.changes).await?;
    let seconds = started.elapsed().as_secs_f64();
    let cpu = cpu_seconds(&parts).into_iter().map(|(name, after)| (name, after - before[name])).collect();
    let ingest = parts.iter().map(|part| ingested[part.name] - before[part.name]).sum();
    let memory = memory.stop();

    let latencies = paced(world, peer, &mut worker, options, revisions.next()).await?;
    worker.stop().await?;
    Ok(Run { seconds, cpu, ingest, memory, latencies })
}

/// Waits for the calls, and then for the audit rows.
async fn done(world: &mut World, peer: &Peer, worker: &mut Process, calls: usize, rows: usize) -> anyhow::Result<()> {
    let asked = Instant::now();
    while world.channel.writes().await? < calls {
        worker.must_run()?;
        ensure!(asked.elapsed() < LIMIT, "the peer did not make all calls:\n{}", worker.printed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    while usize::try_from(peer.audited().await?)? < rows {
        worker.must_run()?;
        ensure!(asked.elapsed() < LIMIT, "the peer did not write all rows:\n{}", worker.printed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

async fn paced(
    world: &mut World,
    peer: &Peer,
    worker: &mut Process,
    options: &SyncOptions,
    revision: u64,
) -> anyhow::Result<Vec<f64>> {
    let indices = options.paced_units();
    world.channel.reset().await?;
    let gap_ms = 1_000.0 / crate::figures::float(usize::try_from(options.paced.max(1))?);
    let jobs: Vec<_> = (0_u32..)
        .zip(&indices)
        .map(|(turn, index)| {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some seconds in milliseconds")]
            let after_ms = (f64::from(turn) * gap_ms) as u64;
            peer::job(QUEUE, SHARED_ACCOUNT, *index, revision, after_ms)
        })
        .collect();
    let added = peer.add_paced(&jobs).await?;
    let before = usize::try_from(peer.audited().await?)?;
    done(world, peer, worker, indices.len(), before).await?;
    let arrivals = world.channel.arrivals().await?;
    let latencies = arrivals.iter().filter(|arrival| arrival.kind == 'w');
    Ok(latencies.filter_map(|a| super::report::milliseconds(*added.get(&a.listing)?, a.at_us)).collect())
}
