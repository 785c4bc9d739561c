//! `bench growth`: what a claim, an append, a projected batch and a page of history cost, by how much is queued and by
//! how much has happened. One world grows for each of the two.

mod costs;
mod report;

use std::path::Path;

use adapters::dispatch::ScopeLimit;
use clap::Args;
use domain::ids::TargetId;
use domain::window::{RateLimit, Scope};
use serde::Serialize;
use serde_json::Value;

use crate::figures::Spread;
use crate::say;
use crate::seed::{Seed, project, runner};
use crate::world::{SHARED_ACCOUNT, World};
use costs::Costs;

/// Which sizes, and how often each cost is measured.
#[derive(Debug, Clone, Args)]
pub struct GrowthOptions {
    /// Queued listings
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 100_000, 1_000_000])]
    pub queued: Vec<usize>,

    /// Events of the journal, while the smallest number of listings is queued; e.g. 1000000,10000000
    #[arg(long, value_delimiter = ',', default_values_t = [1_000_000])]
    pub events: Vec<usize>,

    /// Targets that the listings are on
    #[arg(long, default_value_t = 100)]
    pub targets: usize,

    /// How often each cost is measured
    #[arg(long, default_value_t = 60)]
    pub repeat: usize,
}

/// What everything cost at one size, in milliseconds.
#[derive(Debug, Serialize)]
struct Row {
    queued: i64,
    events: i64,
    claim_ms: Spread,
    append_ms: Spread,
    projection_ms: Spread,
    history_ms: Spread,
    audit_ms: Spread,
}

/// Measures and gives the figures.
pub async fn run(options: &GrowthOptions, folder: Option<&Path>) -> anyhow::Result<Value> {
    let mut by_queue = Vec::new();
    let (world, targets) = limited(options).await?;
    let mut from = 0;
    for queued in &options.queued {
        say(&format!("queueing {queued} listings"));
        Seed::link(&world, &targets, from..*queued, 0).await?.request().await?;
        from = *queued;
        by_queue.push(row(&world, options).await?);
    }
    world.close().await?;

    let mut by_events = Vec::new();
    let (world, targets) = limited(options).await?;
    let fewest = options.queued.first().copied().unwrap_or(1);
    Seed::link(&world, &targets, 0..fewest, 0).await?.request().await?;
    // Ten syncs of each of the other listings, all over.
    let mut next = fewest;
    for events in &options.events {
        let known = usize::try_from(world.count("SELECT count(*) FROM events").await?)?;
        let more = events.saturating_sub(known).div_ceil(1 + 2 * SYNCS);
        say(&format!("growing the journal to {events} events"));
        let mut seed = Seed::link(&world, &targets, next..next + more, 0).await?;
        next += more;
        for _ in 0..SYNCS {
            seed.request().await?;
            seed.accept().await?;
        }
        by_events.push(row(&world, options).await?);
    }
    world.close().await?;
    report::figures(options, &by_queue, &by_events, folder)
}

/// Syncs that a listing has behind it, in the world that grows by events.
const SYNCS: usize = 10;

/// A world with targets whose slots are there.
async fn limited(options: &GrowthOptions) -> anyhow::Result<(World, Vec<TargetId>)> {
    let world = World::new().await?;
    let limit = RateLimit::default();
    let targets = world.targets(options.targets, SHARED_ACCOUNT, limit).await?;
    let of = |target: &TargetId| ScopeLimit { scope: Scope::Target(target.to_string()), limit: Some(limit) };
    costs::store(&world).ensure_scopes(&targets.iter().map(of).collect::<Vec<_>>()).await?;
    Ok((world, targets))
}

/// What an earlier sync of each queued listing has left there.
const LEASES: &str = "INSERT INTO dispatch_leases (listing_id, holder, ordinal, tries, lease_until, done)
    SELECT listing_id, gen_random_uuid(), 0, 0, '-infinity', true FROM sync_queue ON CONFLICT DO NOTHING";

async fn row(world: &World, options: &GrowthOptions) -> anyhow::Result<Row> {
    runner(world).catch_up().await?;
    sqlx::query(LEASES).execute(&world.pool).await?;
    project(world).await?;
    sqlx::raw_sql("CHECKPOINT").execute(&world.pool).await?;
    let costs = Costs::new(world).await?;
    let queued = world.count("SELECT count(*) FROM sync_queue").await?;
    let events = world.count("SELECT count(*) FROM events").await?;
    let mut times: [Vec<f64>; 5] = Default::default();
    for turn in 0..options.repeat + WARM {
        let (append, projection) = costs.append_and_project().await?;
        let now = [costs.claim().await?, append, projection, costs.history().await?, costs.audit().await?];
        if turn >= WARM {
            times.iter_mut().zip(now).for_each(|(times, now)| times.push(now));
        }
    }
    let [claim_ms, append_ms, projection_ms, history_ms, audit_ms] = times.map(Spread::of);
    let row = Row { queued, events, claim_ms, append_ms, projection_ms, history_ms, audit_ms };
    report::tell(&row);
    Ok(row)
}

/// The first ones find neither plans nor pages.
const WARM: usize = 5;
