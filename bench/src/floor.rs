//! `bench floor`: what the servers and the machine ask for the things that one sync leaves behind, when nobody decides,
//! reads or waits. The rows of real syncs are written again inside Postgres, their messages are published again as they
//! are, their units are read and mapped, and their calls are made. No service that keeps these things can cost less.

mod calls;
mod messages;
mod rows;

use std::path::Path;

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};

use crate::cost::{Part, cpu_seconds};
use crate::figures::{Spread, float, machine, rounded};
use crate::ours::create_spread;
use crate::peer::Peer;
use crate::plot::{Bars, Group};
use crate::say;
use crate::side::{Ours, Revisions, SetUp, Side as _, Theirs};
use crate::units::Messages;
use crate::world::World;

/// How much is measured.
#[derive(Debug, Clone, Args)]
pub struct FloorOptions {
    /// Syncs in each run
    #[arg(long, short = 'n', default_value_t = 10_000)]
    pub changes: usize,

    /// How both sides are set up
    #[command(flatten)]
    pub set_up: SetUp,

    /// Rows that one statement writes: as many as the projector takes together
    #[arg(long, default_value_t = 500)]
    pub batch: usize,
}

/// The parts of the floor, in the order of the figures.
const PARTS: [&str; 3] = ["postgres", "nats", "work"];

/// Measures and gives the figures.
pub async fn run(options: &FloorOptions, folder: Option<&Path>) -> anyhow::Result<Value> {
    let world = World::new().await?;
    let messages = Messages::new()?;
    create_spread(&world, &messages, options.changes, options.set_up.targets, options.set_up.limit).await?;
    let peer = Peer::start(&world).await?;
    let mut revisions = Revisions::new();
    let all: Vec<usize> = (0..options.changes).collect();
    let mut floor = PARTS.map(|_| Vec::new());
    let mut read_models = Vec::new();
    let mut theirs = Vec::new();
    let mut their_rates = Vec::new();
    for round in 1..=options.set_up.repeat {
        let (since, revision) = (world.head().await?, revisions.next());
        let side = Ours::start(&world, &messages).await?;
        let parts = side.service.parts(&world).await?;
        let part = |name: &str| parts.iter().find(|part| part.name == name).context("a part of the cost is missing");
        side.warm(&world, &all, revision).await?;
        side.stop().await?;
        let rows = rows::Rows::of(&world, since, options.batch).await?;
        let mut batches = messages::Batches::of(&world, &messages, since, &all, revision).await?;
        let calls = calls::Calls::of(&world, &messages, &all, revision).await?;
        world.checkpoint().await?;
        let (postgres, rate) = cpu_ms(part("postgres")?, rows.write(&world)).await?;
        let (nats, ()) = cpu_ms(part("nats")?, batches.publish()).await?;
        batches.take_away().await?;
        let (work, ()) = cpu_ms(&Part { name: "work", pid: std::process::id() }, calls.make()).await?;
        say(&format!("{round}: one connection writes the read models of {rate:.0} events/s"));
        read_models.push(rate);
        let spent = [postgres, nats, work];
        for ((name, spent), of_runs) in PARTS.iter().zip(spent).zip(&mut floor) {
            let each = spent / float(options.changes);
            say(&format!("{round}: {name} {each:.3} ms CPU a sync"));
            of_runs.push(each);
        }
        let side = Theirs::start(&world, &peer, options.set_up.peer_concurrency).await?;
        side.warm(&world, &all, revisions.next()).await?;
        let drained = side.drain(&world, &all, revisions.next()).await?;
        side.stop().await?;
        theirs.push(drained.cpu_ms(options.changes));
        their_rates.push(float(options.changes) / drained.seconds);
        say(&format!("{round}: the peer {:.3} ms CPU a job", drained.cpu_ms(options.changes)));
    }
    drop(peer);
    world.close().await?;
    report(options, folder, &Runs { floor, read_models, theirs, their_rates })
}

/// What a part spends on something, in milliseconds, and what that gives.
async fn cpu_ms<T>(part: &Part, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<(f64, T)> {
    let now = || cpu_seconds(std::slice::from_ref(part)).into_values().sum::<f64>();
    let before = now();
    let given = work.await?;
    Ok(((now() - before) * 1_000.0, given))
}

/// What each run gave.
struct Runs {
    /// In the order of [`PARTS`].
    floor: [Vec<f64>; 3],
    read_models: Vec<f64>,
    theirs: Vec<f64>,
    their_rates: Vec<f64>,
}

fn report(options: &FloorOptions, folder: Option<&Path>, runs: &Runs) -> anyhow::Result<Value> {
    let spreads: Vec<Spread> = runs.floor.iter().map(|costs| Spread::of(costs.iter().copied())).collect();
    let sum: f64 = spreads.iter().map(|spread| spread.median).sum();
    let peer = Spread::of(runs.theirs.iter().copied());
    let rate = Spread::of(runs.their_rates.iter().copied());
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    // With every core at work on nothing but the floor.
    let most = float(cores) * 1_000.0 / sum;
    let figures = json!({
        "bench": "floor", "changes": options.changes, "batch": options.batch, "runs": options.set_up.repeat,
        "machine": machine(),
        "cpu_ms_per_sync": {PARTS[0]: spreads[0], PARTS[1]: spreads[1], PARTS[2]: spreads[2], "sum": rounded(sum)},
        "peer_cpu_ms_per_sync": peer, "peer_syncs_per_s": rate,
        "ratio_cpu": rounded(sum / peer.median),
        "read_models_events_per_s": Spread::of(runs.read_models.iter().copied()),
        "most_syncs_per_s": rounded(most), "ratio_throughput": rounded(most / rate.median),
    });
    let bar = |name: &str, spread: Spread| Group { name: name.to_owned(), bars: vec![spread] };
    let mut groups: Vec<Group> = PARTS.iter().zip(&spreads).map(|(name, spread)| bar(name, *spread)).collect();
    groups.push(bar("all of it", Spread::exactly(sum)));
    groups.push(bar("BullMQ's job", peer));
    let title = "What a sync leaves behind, made by the servers alone";
    Bars { title, unit: "ms CPU a sync", sides: &["CPU"], groups: &groups }.save(folder, "floor", &figures)?;
    Ok(figures)
}
