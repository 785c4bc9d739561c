//! `bench memory`: the private memory of the service beside 10,000 targets and a million listings, once it has settled and
//! while a burst of changes goes through it.

use std::path::Path;
use std::time::Duration;

use clap::Args;
use domain::window::RateLimit;
use serde_json::{Value, json};

use crate::cost::{MemoryWatch, Part, private_mb_of};
use crate::figures::{Spread, machine, rounded};
use crate::plot::{Bars, Group};
use crate::say;
use crate::seed::{Seed, project};
use crate::side::{Ours, Side as _, spread};
use crate::units::Messages;
use crate::world::{SHARED_ACCOUNT, World};

/// How much there is.
#[derive(Debug, Clone, Args)]
pub struct MemoryOptions {
    /// Targets
    #[arg(long, default_value_t = 10_000)]
    pub targets: usize,

    /// Listings on them
    #[arg(long, default_value_t = 1_000_000)]
    pub listings: usize,

    /// Changes in the burst, each of another unit
    #[arg(long, default_value_t = 5_000)]
    pub burst: usize,

    /// Seconds until it has settled, at the start and after the burst
    #[arg(long, default_value_t = 30)]
    pub settle: u64,
}

/// Older than what the relay publishes into a stream that is new.
const AGE_DAYS: i32 = 40;

/// Measures and gives the figures.
pub async fn run(options: &MemoryOptions, folder: Option<&Path>) -> anyhow::Result<Value> {
    let world = World::new().await?;
    say(&format!("making {} targets with {} listings", options.targets, options.listings));
    let targets = world.targets(options.targets, SHARED_ACCOUNT, RateLimit::default()).await?;
    sqlx::query("UPDATE events SET recorded_at = recorded_at - make_interval(days => $1)")
        .bind(AGE_DAYS)
        .execute(&world.pool)
        .await?;
    let mut seed = Seed::link(&world, &targets, 0..options.listings, AGE_DAYS).await?;
    seed.request().await?;
    seed.accept().await?;
    project(&world).await?;
    let messages = Messages::new()?;
    let side = Ours::start(&world, &messages).await?;
    let service = Part { name: "service", pid: side.service.process.id() };
    let settle = Duration::from_secs(options.settle);
    tokio::time::sleep(settle).await;
    let settled = private_mb_of(&service);
    say(&format!("{settled:.1} MB; now {} changes", options.burst));
    let watch = MemoryWatch::start(vec![service.clone()]);
    side.warm(&world, &spread(options.burst, options.listings), 2).await?;
    let peak = watch.stop().get("service").copied().unwrap_or_default();
    tokio::time::sleep(settle).await;
    let after = private_mb_of(&service);
    side.stop().await?;
    world.close().await?;
    figures(options, [settled, peak, after], folder)
}

fn figures(options: &MemoryOptions, memory: [f64; 3], folder: Option<&Path>) -> anyhow::Result<Value> {
    let [settled, peak, after] = memory.map(rounded);
    say(&format!("{settled} MB settled, {peak} MB at most, {after} MB after the burst"));
    let figures = json!({
        "bench": "memory", "targets": options.targets, "listings": options.listings, "burst": options.burst,
        "machine": machine(), "private_mb": settled.max(peak).max(after), "settled_mb": settled,
        "peak_mb": peak, "after_burst_mb": after,
    });
    let names = ["settled", "burst, at most", "after the burst"];
    let group = |(name, mb): (&str, f64)| Group { name: name.to_owned(), bars: vec![Spread::exactly(mb)] };
    let groups: Vec<Group> = names.into_iter().zip([settled, peak, after]).map(group).collect();
    let title = format!("Private memory with {} targets and {} listings", options.targets, options.listings);
    Bars { title: &title, unit: "MB", sides: &["service"], groups: &groups }.save(folder, "memory", &figures)?;
    Ok(figures)
}
