//! `bench rebuild`: events/s of the projections, live and made anew, and of the relay into NATS. The events are those of
//! syncs that were asked for and accepted; first all are asked for, so that no batch sees both ends of one.

mod live;
mod nats_alone;
mod relay;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use clap::Args;
use domain::window::RateLimit;
use serde_json::{Value, json};

use crate::figures::{Spread, float, machine, rounded};
use crate::plot::{Bars, Group};
use crate::say;
use crate::seed::{Seed, project, runner};
use crate::world::{SHARED_ACCOUNT, World};
use nats_alone::Published;
use relay::Relayed;

/// How many events.
#[derive(Debug, Clone, Args)]
pub struct RebuildOptions {
    /// Listings; each run of the projector and the relay has two events of each
    #[arg(long, default_value_t = 100_000)]
    pub listings: usize,

    /// Targets that they are on
    #[arg(long, default_value_t = 100)]
    pub targets: usize,

    /// Runs of each
    #[arg(long, default_value_t = 3)]
    pub repeat: usize,

    /// Events that the projector applies together: as many as the service takes at most
    #[arg(long, default_value_t = 500)]
    pub batch: usize,
}

/// Events/s of each run.
#[derive(Debug, Default)]
struct Rates {
    live: Vec<f64>,
    relay: Vec<f64>,
    messages: Vec<f64>,
    /// What NATS takes with nothing beside it.
    nats_alone: Vec<Relayed>,
    /// Of each projection: the whole journal, also what it does not read.
    rebuild: BTreeMap<&'static str, Vec<f64>>,
    /// The same of what it reads.
    read: BTreeMap<&'static str, Vec<f64>>,
    /// Of all projections one after the other.
    rebuild_all: Vec<f64>,
    /// The same of what they read.
    read_all: Vec<f64>,
}

/// Measures and gives the figures.
pub async fn run(options: &RebuildOptions, folder: Option<&Path>) -> anyhow::Result<Value> {
    let world = World::new().await?;
    let targets = world.targets(options.targets, SHARED_ACCOUNT, RateLimit::default()).await?;
    let mut seed = Seed::link(&world, &targets, 0..options.listings, 0).await?;
    project(&world).await?;
    relay::events_per_s(&world).await?;
    let mut rates = Rates::default();
    for round in 1..=options.repeat {
        seed.request().await?;
        seed.accept().await?;
        world.checkpoint().await?;
        let relayed = relay::events_per_s(&world).await?;
        world.checkpoint().await?;
        let live = live::events_per_s(&world, options.batch).await?;
        say(&format!("{round}: the relay {:.0}, the projector {live:.0} events/s", relayed.events));
        rates.live.push(live);
        rates.relay.push(relayed.events);
        rates.messages.push(relayed.messages);
    }
    let published = Published::of(&world, options.listings).await?;
    for round in 1..=options.repeat {
        let alone = published.once_more(&world).await?;
        say(&format!("{round}: NATS alone {:.0} events/s, {:.0} messages/s", alone.events, alone.messages));
        rates.nats_alone.push(alone);
    }
    sqlx::raw_sql("VACUUM ANALYZE").execute(&world.pool).await?;
    for _ in 0..options.repeat {
        rebuild(&world, &mut rates).await?;
    }
    let events = world.count("SELECT count(*) FROM events").await?;
    world.close().await?;
    figures(options, events, &rates, folder)
}

async fn rebuild(world: &World, rates: &mut Rates) -> anyhow::Result<()> {
    let runner = runner(world);
    // What a read model does not read is behind it all the same.
    let journal = float(usize::try_from(world.count("SELECT count(*) FROM events").await?)?);
    let (mut events, mut all_read, mut seconds) = (0.0, 0.0, 0.0);
    for projection in projections::all() {
        world.checkpoint().await?;
        let started = Instant::now();
        let rebuilt = runner.rebuild(projection.name()).await?;
        let took = started.elapsed().as_secs_f64();
        let (name, read) = (projection.name(), float(usize::try_from(rebuilt.events)?));
        say(&format!("{name} anew: {:.0} events/s, {read:.0} of {journal:.0} read", journal / took));
        rates.rebuild.entry(name).or_default().push(journal / took);
        rates.read.entry(name).or_default().push(read / took);
        events += journal;
        all_read += read;
        seconds += took;
    }
    rates.rebuild_all.push(events / seconds);
    rates.read_all.push(all_read / seconds);
    Ok(())
}

fn figures(options: &RebuildOptions, events: i64, rates: &Rates, folder: Option<&Path>) -> anyhow::Result<Value> {
    let spread = |runs: &Vec<f64>| Spread::of(runs.iter().copied());
    let of_models = |rates: &BTreeMap<&'static str, Vec<f64>>| -> BTreeMap<&'static str, Spread> {
        rates.iter().map(|(name, runs)| (*name, spread(runs))).collect()
    };
    let alone = |rate: fn(&Relayed) -> f64| Spread::of(rates.nats_alone.iter().map(rate));
    let by_model = of_models(&rates.rebuild);
    let slowest = by_model.values().map(|spread| spread.median).fold(f64::INFINITY, f64::min);
    let (live, relay, all) = (spread(&rates.live), spread(&rates.relay), spread(&rates.rebuild_all));
    let figures = json!({
        "bench": "rebuild", "events": events, "listings": options.listings, "runs": options.repeat,
        "machine": machine(), "rebuild_events_per_s": all.median, "live_events_per_s": live.median,
        "relay_events_per_s": relay.median, "rebuild_slowest_events_per_s": rounded(slowest), "rebuild": all,
        "rebuild_by_model": by_model, "rebuild_read": spread(&rates.read_all),
        "rebuild_read_by_model": of_models(&rates.read), "live": live, "relay": relay,
        "relay_messages_per_s": spread(&rates.messages),
        "nats_alone_events_per_s": alone(|rate| rate.events),
        "nats_alone_messages_per_s": alone(|rate| rate.messages),
    });
    let bar = |name: &str, spread: &Spread| Group { name: name.to_owned(), bars: vec![*spread] };
    let models = by_model.iter().map(|(name, spread)| bar(name, spread));
    let groups: Vec<Group> = [bar("relay", &relay), bar("live, all models", &live)].into_iter().chain(models).collect();
    Bars {
        title: "The relay, the projector, and each read model made anew",
        unit: "events/s",
        sides: &["ours"],
        groups: &groups,
    }
    .save(folder, "rebuild", &figures)?;
    Ok(figures)
}
