//! `bench sync`: changes of units in, until every audit row is there. Both sides find the changes in their transport
//! when they are let go, so that nobody's upstream is measured. They take turns, and turns at who comes first.

mod report;
mod windows;

use std::path::Path;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use crate::drain::Drained;
use crate::ours::create_spread;
use crate::peer::Peer;
use crate::side::{Ours, Revisions, SetUp, Side, Theirs, Turn, spread, turns};
use crate::units::Messages;
use crate::world::World;
use windows::WindowsOptions;

/// How much is measured.
#[derive(Debug, Clone, Args)]
pub struct SyncOptions {
    /// Changes in each run
    #[arg(long, short = 'n', default_value_t = 20_000)]
    pub changes: usize,

    /// How both sides are set up
    #[command(flatten)]
    pub set_up: SetUp,

    /// Changes a second while the time from change to call is measured
    #[arg(long, default_value_t = 100)]
    pub paced: u64,

    /// For how many seconds that is
    #[arg(long, default_value_t = 5)]
    pub paced_seconds: u64,

    /// Measure our side alone, to profile it
    #[arg(long)]
    pub ours_only: bool,

    /// With windows on
    #[command(flatten)]
    pub windows: WindowsOptions,
}

/// What one run of one side gave.
#[derive(Debug)]
struct Run {
    drained: Drained,
    /// From change to call, in milliseconds.
    latencies: Vec<f64>,
}

/// Measures and gives the figures.
pub async fn run(options: &SyncOptions, folder: Option<&Path>) -> anyhow::Result<Value> {
    if options.windows.windows {
        return windows::run(&options.windows, options.set_up.repeat, folder).await;
    }
    let world = World::new().await?;
    let messages = Messages::new()?;
    create_spread(&world, &messages, options.changes, options.set_up.targets, options.set_up.limit).await?;
    let peer = if options.ours_only { None } else { Some(Peer::start(&world).await?) };
    let mut revisions = Revisions::new();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 1..=options.set_up.repeat {
        for turn in turns(round) {
            match (turn, &peer) {
                (Turn::Ours, _) => {
                    let side = Ours::start(&world, &messages).await?;
                    let run = one_run(side, &world, options, &mut revisions).await?;
                    report::tell("ours", round, options, &run);
                    ours.push(run);
                }
                (Turn::Theirs, Some(peer)) => {
                    let side = Theirs::start(&world, peer, options.set_up.peer_concurrency).await?;
                    let run = one_run(side, &world, options, &mut revisions).await?;
                    report::tell("peer", round, options, &run);
                    theirs.push(run);
                }
                (Turn::Theirs, None) => {}
            }
        }
    }
    drop(peer);
    world.close().await?;
    report::figures(options, &ours, &theirs, folder)
}

/// All changes once to warm up, once more to measure, and some at a pace.
async fn one_run(
    side: impl Side,
    world: &World,
    options: &SyncOptions,
    revisions: &mut Revisions,
) -> anyhow::Result<Run> {
    let all: Vec<usize> = (0..options.changes).collect();
    side.warm(world, &all, revisions.next()).await?;
    let drained = side.drain(world, &all, revisions.next()).await?;
    let paced = usize::try_from(options.paced * options.paced_seconds)?;
    let gap = Duration::from_secs(1) / u32::try_from(options.paced.max(1))?;
    let latencies = side.paced(world, &spread(paced, options.changes), gap, revisions.next()).await?;
    side.stop().await?;
    Ok(Run { drained, latencies })
}
