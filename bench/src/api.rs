//! `bench api`: what reads and writes take at a pace: alone, beside loops that only compute, and beside a full sync. Requests leave at their time, however
//! slow the ones before them are, and are timed from then.

mod callers;
mod loops;
mod report;

use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use clap::Args;
use domain::window::RateLimit;
use serde_json::Value;

use crate::api::callers::{Answers, Callers};
use crate::api::loops::Loops;
use crate::figures::float;
use crate::ours::{create_spread, publish};
use crate::side::{Ours, Revisions, Side as _};
use crate::units::Messages;
use crate::world::World;

/// How much is measured.
#[derive(Debug, Clone, Args)]
pub struct ApiOptions {
    /// Listings; each changes again and again beside the requests
    #[arg(long, short = 'n', default_value_t = 5_000)]
    pub listings: usize,

    /// Targets
    #[arg(long, default_value_t = 20)]
    pub targets: usize,

    /// Requests a second
    #[arg(long, default_value_t = 200)]
    pub pace: u32,

    /// Of a hundred requests, so many are writes
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=99))]
    pub writes: u32,

    /// Seconds of each: alone, beside loops that only compute (one for each core), beside the sync
    #[arg(long, default_value_t = 20)]
    pub seconds: u32,

    /// The limit of each target: by default one that never binds, so that the sync takes what the machine has
    #[arg(long, default_value = "64/100ms")]
    pub limit: RateLimit,

    /// Runs
    #[arg(long, default_value_t = 3)]
    pub repeat: usize,
}

/// What one run gave.
#[derive(Debug, Default)]
struct Run {
    alone: Answers,
    beside_loops: Answers,
    beside: Answers,
    syncs_per_s: f64,
}

/// Measures and gives the figures.
pub async fn run(options: &ApiOptions, folder: Option<&Path>) -> anyhow::Result<Value> {
    let world = World::new().await?;
    let messages = Messages::new()?;
    let targets = create_spread(&world, &messages, options.listings, options.targets, options.limit).await?;
    let mut revisions = Revisions::new();
    let mut runs = Vec::new();
    for round in 1..=options.repeat {
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let arguments = ["--listen", &address.to_string(), "--api-rate", "100000"];
        let side = Ours::start_with(&world, &messages, &arguments).await?;
        let all: Vec<usize> = (0..options.listings).collect();
        side.warm(&world, &all, revisions.next()).await?;
        let callers = Callers::new(&world, &side.service, address, &targets).await?;
        // Once, so that connections and plans are there.
        callers.ask(options.pace, options.writes, Duration::from_secs(1)).await?;
        let time = Duration::from_secs(options.seconds.into());
        let alone = callers.ask(options.pace, options.writes, time).await?;
        let loops = Loops::start();
        let beside_loops = callers.ask(options.pace, options.writes, time).await?;
        drop(loops);
        let before = accepted(&world).await?;
        let stop = tokio_util::sync::CancellationToken::new();
        let keep_busy = busy(&world, &messages, &all, &mut revisions, &stop);
        let asked = async {
            let beside = callers.ask(options.pace, options.writes, time).await;
            stop.cancel();
            beside
        };
        let (busy, beside) = tokio::join!(keep_busy, asked);
        busy?;
        let synced = accepted(&world).await? - before;
        ensure!(synced > 0, "nothing was synced beside the requests");
        let syncs_per_s = float(usize::try_from(synced)?) / f64::from(options.seconds);
        let run = Run { alone, beside_loops, beside: beside?, syncs_per_s };
        report::tell(round, &run);
        runs.push(run);
        side.service.drained(&world).await?;
        side.stop().await?;
    }
    world.close().await?;
    report::figures(options, &runs, folder)
}

async fn accepted(world: &World) -> anyhow::Result<i64> {
    world.count("SELECT count(*) FROM outbound_audit WHERE outcome = 'accepted'").await
}

/// Publishes changes of all listings whenever few wait, until it is told to stop.
async fn busy(
    world: &World,
    messages: &Messages,
    all: &[usize],
    revisions: &mut Revisions,
    stop: &tokio_util::sync::CancellationToken,
) -> anyhow::Result<()> {
    while !stop.is_cancelled() {
        let revision = revisions.next();
        publish(world, messages, all, revision).await?;
        let few = i64::try_from(all.len() / 4)?;
        loop {
            tokio::time::sleep(Duration::from_millis(250)).await;
            let unsent = world.count("SELECT count(*) FROM sync_queue").await?;
            let untaken = world.count(&format!("SELECT count(*) FROM units WHERE revision < {revision}")).await?;
            if stop.is_cancelled() || (unsent <= few && untaken == 0) {
                break;
            }
        }
    }
    Ok(())
}
