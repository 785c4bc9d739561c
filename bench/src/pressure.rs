//! `bench pressure`: very many changes while the channel hangs. What waits is on disk: the service's private memory is
//! watched all the time, and so is how long it takes, once the channel answers again, until the last state of each unit is
//! there.

use std::path::Path;
use std::time::Instant;

use anyhow::ensure;
use clap::Args;
use serde_json::{Value, json};

use crate::cost::{MemoryWatch, Part, private_mb_of};
use crate::figures::{Spread, float, machine, rounded};
use crate::ours::{create_spread, publish, seeding};
use crate::plot::{Bars, Group};
use crate::process::Patience;
use crate::say;
use crate::side::{Ours, Revisions, Side as _};
use crate::units::Messages;
use crate::world::{SHARED_ACCOUNT, World};

/// How much comes.
#[derive(Debug, Clone, Args)]
pub struct PressureOptions {
    /// Changes in all, as fast as NATS takes them; so many that each listing has as many
    #[arg(short = 'n', long, default_value_t = 1_000_000)]
    pub changes: usize,

    /// Listings that they are of, in turns
    #[arg(long, default_value_t = 20_000)]
    pub listings: usize,

    /// Targets
    #[arg(long, default_value_t = 20)]
    pub targets: usize,

    /// How long the channel takes for an answer while it hangs, in milliseconds: longer than a call may take
    #[arg(long, default_value_t = 30_000)]
    pub hang_ms: u32,
}

/// Measures and gives the figures.
pub async fn run(options: &PressureOptions, folder: Option<&Path>) -> anyhow::Result<Value> {
    let world = World::new().await?;
    let messages = Messages::new()?;
    create_spread(&world, &messages, options.listings, options.targets, seeding()?).await?;
    let units: Vec<usize> = (0..options.listings).collect();
    let mut revisions = Revisions::new();
    let side = Ours::start(&world, &messages).await?;
    side.warm(&world, &units, revisions.next()).await?;
    let service = Part { name: "service", pid: side.service.process.id() };
    let settled = private_mb_of(&service);
    let latency = |ms: u32| json!([{"account": SHARED_ACCOUNT, "ms": ms, "jitter_ms": 0}]);
    world.channel.latencies(&latency(options.hang_ms)).await?;
    world.channel.reset().await?;
    let watch = MemoryWatch::start(vec![service.clone()]);
    let began = Instant::now();
    let mut newest = 0;
    let rounds = options.changes.div_ceil(units.len().max(1));
    for _ in 0..rounds {
        newest = revisions.next();
        publish(&world, &messages, &units, newest).await?;
    }
    let changes = rounds * units.len();
    say(&format!("{changes} changes are in NATS after {:.0} s", began.elapsed().as_secs_f64()));
    let behind = format!("SELECT count(*) FROM units WHERE revision < {newest}");
    let taken_in = async || Ok(world.count(&behind).await? == 0);
    side.service.process.until(Patience::ROWS, "done with taking them in", taken_in).await?;
    let took_s = began.elapsed().as_secs_f64();
    side.service.caught_up(&world).await?;
    let queued = world.count("SELECT count(*) FROM sync_queue").await?;
    ensure!(queued > 0, "the channel hangs, so something waits");
    say(&format!("taken in after {took_s:.0} s; {queued} listings wait"));
    world.channel.latencies(&latency(0)).await?;
    let healed = Instant::now();
    side.service.drained(&world).await?;
    let recovery_s = healed.elapsed().as_secs_f64();
    let peak = watch.stop().get("service").copied().unwrap_or_default();
    let wrong =
        "SELECT count(*) FROM channel_listings AS l JOIN units AS u ON u.org_id = l.org_id AND u.unit_id = l.unit_id
        WHERE l.accepted_snapshot IS DISTINCT FROM u.hash";
    let wrong = world.count(wrong).await?;
    ensure!(wrong == 0, "{wrong} listings do not have their unit's last state");
    side.stop().await?;
    world.close().await?;
    let [settled, peak, took_s, recovery_s] = [settled, peak, took_s, recovery_s].map(rounded);
    say(&format!(
        "{settled} MB before, {peak} MB at most; all of it at the channel {recovery_s:.0} s after it answered again"
    ));
    let figures = json!({
        "bench": "pressure", "changes": changes, "listings": options.listings, "machine": machine(),
        "settled_mb": settled, "peak_mb": peak, "taken_in_s": took_s,
        "taken_in_per_s": rounded(float(changes) / took_s), "queued": queued, "recovery_s": recovery_s,
    });
    let group = |(name, mb): (&str, f64)| Group { name: name.to_owned(), bars: vec![Spread::exactly(mb)] };
    let groups: Vec<Group> = [("before", settled), ("at most", peak)].into_iter().map(group).collect();
    let title = format!("Private memory while {changes} changes wait for a channel that hangs");
    Bars { title: &title, unit: "MB", sides: &["service"], groups: &groups }.save(folder, "pressure", &figures)?;
    Ok(figures)
}
