//! `bench pressure`: very many changes while something is in their way: a channel that hangs, a slow Postgres, a full NATS. What
//! waits is on disk: the service's private memory is watched all the time and bounded, and so is how long it takes, once all is
//! well again, until the last state of each unit is at the channel.

mod report;
mod scenario;
mod waiting;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Args;
use domain::window::RateLimit;
use serde_json::Value;

use crate::arrivals::{by_account, worst_window};
use crate::cost::{MemoryWatch, Part, private_mb_of};
use crate::ours::{limit_all, publish, seeding, spread_over};
use crate::process::{Patience, Process};
use crate::say;
use crate::side::{Ours, Revisions, Side as _};
use crate::units::Messages;
use crate::world::World;
use report::Seen;
use scenario::{Scenario, Trouble};
use waiting::Waiting;

/// So long after the changes are taken in, at most, what waits for the trouble's end waits there.
const SHOWS_WITHIN: Duration = Duration::from_secs(10);

/// How much comes, and what is in its way.
#[derive(Debug, Clone, Args)]
pub struct PressureOptions {
    /// What is in the way, one after the other
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Scenario::ALL)]
    pub scenario: Vec<Scenario>,

    /// Changes in all, as fast as NATS takes them; so many that each listing has as many
    #[arg(short = 'n', long, default_value_t = 1_000_000)]
    pub changes: usize,

    /// Listings that they are of, in turns
    #[arg(long, default_value_t = 20_000)]
    pub listings: usize,

    /// Targets: 20 if nothing is said, and 1,000 with --windows
    #[arg(long)]
    pub targets: Option<usize>,

    /// Under the limit that targets have by default, 12 in 10 s, instead of one that is hardly ever met
    #[arg(long)]
    pub windows: bool,

    /// How long the channel takes for an answer while it hangs, in milliseconds: longer than a call may take
    #[arg(long, default_value_t = 30_000)]
    pub hang_ms: u32,

    /// How much longer each direction to Postgres takes while it is slow, in milliseconds
    #[arg(long, default_value_t = 50)]
    pub slow_ms: u64,

    /// For how long Postgres is slow, in seconds from the first change on
    #[arg(long, default_value_t = 120)]
    pub slow_seconds: u64,

    /// Fail where the service has more private memory than this, in megabytes
    #[arg(long, default_value_t = 400.0)]
    pub most_mb: f64,
}

impl PressureOptions {
    fn targets(&self) -> usize {
        self.targets.unwrap_or(if self.windows { 1_000 } else { 20 }).max(1)
    }

    fn limit(&self) -> anyhow::Result<RateLimit> {
        if self.windows { Ok(RateLimit::default()) } else { seeding() }
    }

    /// Changes of each listing.
    fn rounds(&self) -> usize {
        self.changes.div_ceil(self.listings.max(1)).max(1)
    }

    /// Changes in all.
    fn all(&self) -> usize {
        self.rounds() * self.listings
    }
}

/// Measures and gives the figures. Fails where memory or a window has no bound.
pub async fn run(options: &PressureOptions, folder: Option<&Path>) -> anyhow::Result<Value> {
    let mut all = Vec::new();
    for scenario in &options.scenario {
        all.push(one(options, *scenario).await?);
    }
    let figures = report::figures(options, &all, folder)?;
    let limit = options.limit()?;
    for seen in &all {
        let Seen { scenario, peak_mb, worst_window, .. } = seen;
        ensure!(*peak_mb <= options.most_mb, "{scenario}: {peak_mb:.0} MB, and {} are the most", options.most_mb);
        let most = usize::try_from(limit.requests())?;
        ensure!(*worst_window <= most, "{scenario}: {worst_window} calls in a window, under {limit}");
    }
    Ok(figures)
}

async fn one(options: &PressureOptions, scenario: Scenario) -> anyhow::Result<Seen> {
    // Before the world, so that it ends after it.
    let trouble = Trouble::prepare(scenario, options).await?;
    let world = World::on(trouble.nats_url()?).await?;
    let messages = Messages::new()?;
    create(&world, &messages, options).await?;
    let database = trouble.database_argument(&world);
    let arguments: Vec<&str> = database.iter().map(String::as_str).collect();
    let units: Vec<usize> = (0..options.listings).collect();
    let mut revisions = Revisions::new();
    let side = Ours::start_with(&world, &messages, &arguments).await?;
    side.warm(&world, &units, revisions.next()).await?;
    let process = &side.service.process;
    let service = Part { name: "service", pid: process.id() };
    let settled_mb = private_mb_of(&service);
    world.channel.reset().await?;
    let watch = MemoryWatch::start(vec![service.clone()]);

    let is_full = scenario == Scenario::FullNats;
    if is_full {
        // Who publishes into a full NATS is refused, too: the changes come first, and nobody looks at them before it is full.
        process.hold()?;
    } else {
        trouble.begin(&world).await?;
    }
    let mut began = Instant::now();
    let newest = publish_all(&world, &messages, &units, options.rounds(), &mut revisions).await?;
    say(&format!("{scenario}: {} changes are in NATS after {:.0} s", options.all(), began.elapsed().as_secs_f64()));
    if is_full {
        trouble.begin(&world).await?;
        process.let_go()?;
        began = Instant::now();
    }
    if scenario == Scenario::SlowPostgres {
        tokio::time::sleep(Duration::from_secs(options.slow_seconds).saturating_sub(began.elapsed())).await;
    } else {
        until_taken_in(&world, process, newest).await?;
    }
    let trouble_s = began.elapsed().as_secs_f64();
    if scenario == Scenario::HangingChannel {
        side.service.caught_up(&world).await?;
    }
    let waiting = held_up(&world, scenario, options.listings).await?;
    ensure!(trouble.was_met(), "{scenario}: nobody came into it");
    say(&format!("{scenario}: after {trouble_s:.0} s {waiting}"));

    trouble.end(&world).await?;
    let healed = Instant::now();
    until_taken_in(&world, process, newest).await?;
    side.service.drained(&world).await?;
    side.service.caught_up(&world).await?;
    let recovery_s = healed.elapsed().as_secs_f64();
    let peak_mb = watch.stop().get("service").copied().unwrap_or_default();
    let after_mb = private_mb_of(&service);
    ends_well(&world).await?;
    let worst_window = fullest(&world, options.limit()?).await?;
    side.stop().await?;
    world.close().await?;
    say(&format!(
        "{scenario}: {settled_mb:.0} MB before, {peak_mb:.0} MB at most, {after_mb:.0} MB after; all of it at the channel after \
         {recovery_s:.0} s more"
    ));
    Ok(Seen { scenario, settled_mb, peak_mb, after_mb, trouble_s, waiting, recovery_s, worst_window })
}

/// What waits, once it is as much as the trouble makes wait: a change is in Postgres a moment before its syncs are asked for.
async fn held_up(world: &World, scenario: Scenario, listings: usize) -> anyhow::Result<Waiting> {
    let began = Instant::now();
    loop {
        let waiting = Waiting::now(world).await?;
        if waiting.is_held_up_by(scenario, listings) {
            return Ok(waiting);
        }
        ensure!(began.elapsed() < SHOWS_WITHIN, "{scenario}: holds nothing up: {waiting}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Listings on targets with an account each, so that the channel tells what arrives at which of them.
async fn create(world: &World, messages: &Messages, options: &PressureOptions) -> anyhow::Result<()> {
    say(&format!("creating {} listings on {} targets", options.listings, options.targets()));
    let targets = world.targets_apart(options.targets(), seeding()?).await?;
    spread_over(world, messages, options.listings, &targets).await?;
    if options.windows {
        limit_all(world, targets, options.limit()?).await?;
    }
    Ok(())
}

/// Publishes every round, and gives the newest revision.
async fn publish_all(
    world: &World,
    messages: &Messages,
    units: &[usize],
    rounds: usize,
    revisions: &mut Revisions,
) -> anyhow::Result<u64> {
    let mut newest = revisions.next();
    publish(world, messages, units, newest).await?;
    for _ in 1..rounds {
        newest = revisions.next();
        publish(world, messages, units, newest).await?;
    }
    Ok(newest)
}

/// Waits until the newest revision of each unit is in Postgres.
async fn until_taken_in(world: &World, process: &Process, newest: u64) -> anyhow::Result<()> {
    let behind = format!("SELECT count(*) FROM units WHERE revision < {newest}");
    let taken_in = async || Ok(world.count(&behind).await? == 0);
    process.until(Patience::ROWS, "done with taking them in", taken_in).await
}

/// Every listing has its unit's last state.
async fn ends_well(world: &World) -> anyhow::Result<()> {
    let wrong =
        "SELECT count(*) FROM channel_listings AS l JOIN units AS u ON u.org_id = l.org_id AND u.unit_id = l.unit_id
        WHERE l.accepted_snapshot IS DISTINCT FROM u.hash";
    let wrong = world.count(wrong).await?;
    ensure!(wrong == 0, "{wrong} listings do not have their unit's last state");
    Ok(())
}

/// The fullest window of any account since the changes came, checks and requests for tokens included.
async fn fullest(world: &World, limit: RateLimit) -> anyhow::Result<usize> {
    let window_us = u64::from(limit.window_ms()) * 1_000;
    let arrivals = by_account(&world.channel.arrivals().await?);
    Ok(arrivals.values().map(|times| worst_window(times, window_us)).max().unwrap_or(0))
}
