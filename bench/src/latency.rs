//! `bench latency`: the time from a change to its call while the machine idles, and at shares of the throughput that was
//! measured just before. Each side at shares of its own throughput, in turns.

mod report;

use std::path::Path;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use crate::figures::float;
use crate::ours::create_spread;
use crate::peer::Peer;
use crate::say;
use crate::side::{Ours, Revisions, SetUp, Side, Theirs, Turn, spread, turns};
use crate::units::Messages;
use crate::world::World;

/// How much is measured, and at which load.
#[derive(Debug, Clone, Args)]
pub struct LatencyOptions {
    /// Listings, each of which changes once to warm up, once while the throughput is measured, and once at most at each load
    #[arg(long, short = 'n', default_value_t = 10_000)]
    pub listings: usize,

    /// How both sides are set up
    #[command(flatten)]
    pub set_up: SetUp,

    /// Loads, in percent of the throughput
    #[arg(long, value_delimiter = ',', default_values_t = [1, 50, 80])]
    pub load: Vec<u32>,

    /// Seconds at each load, or less where every listing has changed before
    #[arg(long, default_value_t = 20)]
    pub seconds: u64,

    /// Changes one after the other while the machine idles
    #[arg(long, default_value_t = 100)]
    pub idle_changes: usize,

    /// Milliseconds between them
    #[arg(long, default_value_t = 250)]
    pub idle_gap_ms: u64,
}

/// The times at one load, in milliseconds.
#[derive(Debug, Default)]
struct Level {
    /// Changes a second, of each run.
    rates: Vec<f64>,
    /// From change to call, of all runs.
    times: Vec<f64>,
}

/// What a side gave.
#[derive(Debug, Default)]
struct Levels {
    throughput: Vec<f64>,
    idle: Level,
    /// In the order of the options.
    loads: Vec<Level>,
}

/// Measures and gives the figures.
pub async fn run(options: &LatencyOptions, folder: Option<&Path>) -> anyhow::Result<Value> {
    let world = World::new().await?;
    let messages = Messages::new()?;
    create_spread(&world, &messages, options.listings, options.set_up.targets, options.set_up.limit).await?;
    let peer = Peer::start(&world).await?;
    let mut revisions = Revisions::new();
    let (mut ours, mut theirs) = (Levels::default(), Levels::default());
    for round in 1..=options.set_up.repeat {
        for turn in turns(round) {
            match turn {
                Turn::Ours => {
                    let side = Ours::start(&world, &messages).await?;
                    one_run(side, &world, options, &mut revisions, &mut ours).await?;
                    report::tell("ours", round, options, &ours);
                }
                Turn::Theirs => {
                    let side = Theirs::start(&world, &peer, options.set_up.peer_concurrency).await?;
                    one_run(side, &world, options, &mut revisions, &mut theirs).await?;
                    report::tell("peer", round, options, &theirs);
                }
            }
        }
    }
    drop(peer);
    world.close().await?;
    report::figures(options, &ours, &theirs, folder)
}

async fn one_run(
    side: impl Side,
    world: &World,
    options: &LatencyOptions,
    revisions: &mut Revisions,
    levels: &mut Levels,
) -> anyhow::Result<()> {
    let all: Vec<usize> = (0..options.listings).collect();
    side.warm(world, &all, revisions.next()).await?;
    let throughput = float(options.listings) / side.drain(world, &all, revisions.next()).await?.seconds;
    levels.throughput.push(throughput);
    say(&format!("{throughput:.0} syncs/s; now at a pace"));
    let gap = Duration::from_millis(options.idle_gap_ms);
    let units = spread(options.idle_changes, options.listings);
    levels.idle.times.extend(side.paced(world, &units, gap, revisions.next()).await?);
    levels.idle.rates.push(1.0 / gap.as_secs_f64());
    levels.loads.resize_with(options.load.len(), Level::default);
    for (load, level) in options.load.iter().zip(&mut levels.loads) {
        let gap = Duration::from_secs_f64(100.0 / (throughput * f64::from(*load)));
        let count = usize::try_from(Duration::from_secs(options.seconds).as_micros() / gap.as_micros().max(1))?;
        level.times.extend(side.paced(world, &spread(count, options.listings), gap, revisions.next()).await?);
        level.rates.push(1.0 / gap.as_secs_f64());
    }
    side.stop().await
}
