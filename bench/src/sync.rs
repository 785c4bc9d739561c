//! `bench sync`: changes of units in, until every audit row is there. Both sides find the changes in their transport
//! when they are let go, so that nobody's upstream is measured; the next run is the other side's turn.

mod ours;
mod report;
mod theirs;

use std::collections::HashMap;
use std::path::Path;

use clap::Args;
use domain::window::RateLimit;
use serde_json::Value;

use crate::ours::{Service, create_listings};
use crate::peer::Peer;
use crate::say;
use crate::units::Messages;
use crate::world::{SHARED_ACCOUNT, World};

/// How much is measured.
#[derive(Debug, Clone, Args)]
pub struct SyncOptions {
    /// Changes in each run
    #[arg(long, short = 'n', default_value_t = 20_000)]
    pub changes: usize,

    /// Runs of each side
    #[arg(long, default_value_t = 3)]
    pub repeat: usize,

    /// Targets that our listings are on
    #[arg(long, default_value_t = 20)]
    pub targets: usize,

    /// The limit of each target: so wide that no window is ever full
    #[arg(long, default_value = "200/100ms")]
    pub limit: RateLimit,

    /// Jobs that the peer's worker has under way at the same time
    #[arg(long, default_value_t = 128)]
    pub peer_concurrency: usize,

    /// Changes a second while the time from change to call is measured
    #[arg(long, default_value_t = 100)]
    pub paced: u64,

    /// For how many seconds that is
    #[arg(long, default_value_t = 5)]
    pub paced_seconds: u64,

    /// Measure our side alone, to profile it
    #[arg(long)]
    pub ours_only: bool,
}

impl SyncOptions {
    /// Units whose change is timed, spread over all.
    fn paced_units(&self) -> Vec<usize> {
        let count = usize::try_from(self.paced * self.paced_seconds).unwrap_or(usize::MAX).min(self.changes);
        let step = (self.changes / count.max(1)).max(1);
        (0..count).map(|index| index * step).collect()
    }

    /// Units that warm a side up before it is measured.
    fn warm_units(&self) -> Vec<usize> {
        (0..(self.changes / 10).max(1)).collect()
    }
}

/// What one run of one side gave.
#[derive(Debug, Default)]
struct Run {
    seconds: f64,
    cpu: HashMap<&'static str, f64>,
    /// The part of it that went into the taking in of the changes by NATS or Redis, before the clock ran.
    ingest: f64,
    memory: HashMap<&'static str, f64>,
    /// From change to call, in milliseconds.
    latencies: Vec<f64>,
}

/// Gives out revisions, each higher than all before.
struct Revisions(u64);

impl Revisions {
    fn next(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

/// Measures and gives the figures.
pub async fn run(options: &SyncOptions, folder: Option<&Path>) -> anyhow::Result<Value> {
    let mut world = World::new().await?;
    let messages = Messages::new()?;
    let mut targets = Vec::new();
    for _ in 0..options.targets {
        targets.push(world.target(SHARED_ACCOUNT, options.limit).await?);
    }
    say(&format!("creating {} listings on {} targets", options.changes, options.targets));
    let places: Vec<_> = (0..options.changes).map(|index| (index, targets[index % targets.len()])).collect();
    let mut service = Service::start(&world)?;
    create_listings(&world, &mut service, &messages, &places).await?;
    service.process.stop().await?;
    let peer = if options.ours_only { None } else { Some(Peer::start(&world).await?) };
    let mut revisions = Revisions(1);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 1..=options.repeat {
        let run = ours::run(&mut world, options, &messages, &mut revisions).await?;
        report::tell("ours", round, options, &run);
        ours.push(run);
        if let Some(peer) = &peer {
            let run = theirs::run(&mut world, peer, options, &mut revisions).await?;
            report::tell("peer", round, options, &run);
            theirs.push(run);
        }
    }
    drop(peer);
    world.close().await?;
    report::figures(options, &ours, &theirs, folder)
}
