//! `bench fairness`: the time from change to call of quiet targets, while another target holds a long backlog and while
//! none does. Two worlds on the same servers, one with the backlog and one without, are measured in turns.

mod report;

use std::path::Path;
use std::time::Duration;

use clap::Args;
use domain::window::RateLimit;
use serde_json::Value;

use crate::ours::create_limited;
use crate::seed::{Seed, project};
use crate::side::{Ours, Revisions, Side as _, spread};
use crate::units::Messages;
use crate::world::World;

/// How long, and how large the backlog is.
#[derive(Debug, Clone, Args)]
pub struct FairnessOptions {
    /// Listings that the one target has queued
    #[arg(long, default_value_t = 100_000)]
    pub backlog: usize,

    /// Quiet targets
    #[arg(long, default_value_t = 99)]
    pub targets: usize,

    /// Listings of each of them
    #[arg(long, default_value_t = 12)]
    pub listings: usize,

    /// The limit of each target, of the one with the backlog too
    #[arg(long, default_value = "12/10s")]
    pub limit: RateLimit,

    /// Changes a second on the quiet targets, all together
    #[arg(long, default_value_t = 40)]
    pub pace: u32,

    /// Changes in each turn; a listing changes once
    #[arg(long, default_value_t = 1_000)]
    pub changes: usize,

    /// Turns of each world
    #[arg(long, default_value_t = 3)]
    pub repeat: usize,
}

/// The account of the target with the backlog: its calls are counted apart.
const BUSY_ACCOUNT: u32 = 2;

/// Measures and gives the figures.
pub async fn run(options: &FairnessOptions, folder: Option<&Path>) -> anyhow::Result<Value> {
    let messages = Messages::new()?;
    let (without, with) = (quiet(options, &messages).await?, quiet(options, &messages).await?);
    let busy = with.target(BUSY_ACCOUNT, options.limit).await?;
    let quiet = options.targets * options.listings;
    crate::say(&format!("queueing {} listings on one target", options.backlog));
    Seed::link(&with, &[busy], quiet..quiet + options.backlog, 0).await?.request().await?;
    for world in [&without, &with] {
        project(world).await?;
    }
    let mut revisions = Revisions::new();
    let mut times = [Vec::new(), Vec::new()];
    for round in 1..=options.repeat {
        for (world, times) in [&without, &with].into_iter().zip(&mut times) {
            times.extend(turn(options, world, &messages, &mut revisions).await?);
        }
        report::tell(round, &times);
    }
    let left = with.count("SELECT count(*) FROM sync_queue").await?;
    without.close().await?;
    with.close().await?;
    report::figures(options, times, left, folder)
}

/// A world with quiet targets and their listings.
async fn quiet(options: &FairnessOptions, messages: &Messages) -> anyhow::Result<World> {
    let world = World::new().await?;
    let listings = options.targets * options.listings;
    create_limited(&world, messages, listings, options.targets, options.limit).await?;
    Ok(world)
}

async fn turn(
    options: &FairnessOptions,
    world: &World,
    messages: &Messages,
    revisions: &mut Revisions,
) -> anyhow::Result<Vec<f64>> {
    let side = Ours::start(world, messages).await?;
    side.service.caught_up(world).await?;
    let gap = Duration::from_secs(1) / options.pace.max(1);
    let all = options.targets * options.listings;
    // Connections, statements and caches are warm, and what the new limits woke has gone back to sleep. Neighbours are on one target after the
    // other: changes that are spread over all may be on a few, and fill their windows for what is measured.
    let warm: Vec<usize> = (0..(options.changes / 10).clamp(1, all)).collect();
    side.paced(world, &warm, gap, revisions.next()).await?;
    let times = side.paced(world, &spread(options.changes, all), gap, revisions.next()).await?;
    side.stop().await?;
    Ok(times)
}
