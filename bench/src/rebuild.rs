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
    /// Messages/s of NATS with nothing beside it.
    nats_alone: Vec<f64>,
    /// Of each projection.
    rebuild: BTreeMap<&'static str, Vec<f64>>,
    /// Of all projections one after the other.
    rebuild_all: Vec<f64>,
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
        sqlx::raw_sql("CHECKPOINT").execute(&world.pool).await?;
        let relayed = relay::events_per_s(&world).await?;
        sqlx::raw_sql("CHECKPOINT").execute(&world.pool).await?;
        let live = live::events_per_s(&world, options.batch).await?;
        say(&format!("{round}: the relay {:.0}, the projector {live:.0} events/s", relayed.events));
        rates.live.push(live);
        rates.relay.push(relayed.events);
        rates.messages.push(relayed.messages);
    }
    for _ in 0..options.repeat {
        rates.nats_alone.push(nats_alone::messages_per_s(&world).await?);
    }
    say(&format!("NATS alone takes {:.0} messages/s", Spread::of(rates.nats_alone.iter().copied()).median));
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
    let (mut events, mut seconds) = (0.0, 0.0);
    for projection in projections::all() {
        sqlx::raw_sql("CHECKPOINT").execute(&world.pool).await?;
        let started = Instant::now();
        let rebuilt = runner.rebuild(projection.name()).await?;
        let took = started.elapsed().as_secs_f64();
        let (name, read) = (projection.name(), rebuilt.events);
        say(&format!("{name} anew: {:.0} events/s, {read} of {journal:.0} read", journal / took));
        rates.rebuild.entry(name).or_default().push(journal / took);
        events += journal;
        seconds += took;
    }
    rates.rebuild_all.push(events / seconds);
    Ok(())
}

fn figures(options: &RebuildOptions, events: i64, rates: &Rates, folder: Option<&Path>) -> anyhow::Result<Value> {
    let spread = |runs: &Vec<f64>| Spread::of(runs.iter().copied());
    let by_model: BTreeMap<&str, Spread> = rates.rebuild.iter().map(|(name, runs)| (*name, spread(runs))).collect();
    let slowest = by_model.values().map(|spread| spread.median).fold(f64::INFINITY, f64::min);
    let (live, relay, all) = (spread(&rates.live), spread(&rates.relay), spread(&rates.rebuild_all));
    let figures = json!({
        "bench": "rebuild", "events": events, "listings": options.listings, "runs": options.repeat,
        "machine": machine(), "rebuild_events_per_s": all.median, "live_events_per_s": live.median,
        "relay_events_per_s": relay.median, "rebuild_slowest_events_per_s": rounded(slowest), "rebuild": all,
        "rebuild_by_model": by_model, "live": live, "relay": relay,
        "relay_messages_per_s": spread(&rates.messages), "nats_alone_messages_per_s": spread(&rates.nats_alone),
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
