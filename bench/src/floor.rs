//! `bench floor`: what the servers and the machine ask for the things that one sync leaves behind and the ways that they have to go,
//! when nobody decides, asks or waits. The rows of real syncs are written again inside Postgres, their messages are published,
//! read from the journal and delivered again as they are, their units are read and mapped, and their calls are made. No service
//! that keeps these things can cost less.

mod calls;
mod messages;
mod report;
mod rows;

use std::path::Path;

use anyhow::Context as _;
use clap::Args;
use serde_json::Value;

use crate::cost::{self, Part};
use crate::figures::float;
use crate::ours::create_spread;
use crate::peer::Peer;
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

/// What each step of a floor has spent, and where, in milliseconds of CPU a sync; the events a second of read models, and the peer.
#[derive(Debug, Default)]
struct Runs {
    /// By the names of [`STEPS`]: of Postgres, of NATS, and of this process, which does the service's work.
    steps: [Vec<Spent>; STEPS.len()],
    /// The rows of read models alone, by two connections, of Postgres.
    read_models_ms: Vec<f64>,
    /// Events a second by one connection and by two.
    read_models: [Vec<f64>; 2],
    theirs: Vec<f64>,
    their_rates: Vec<f64>,
}

/// The steps of a floor, in the order of the figures.
const STEPS: [&str; 6] = [
    "rows",
    "changes published",
    "changes delivered",
    "events relayed",
    "events delivered",
    "units mapped, calls made",
];

/// Milliseconds of CPU.
#[derive(Debug, Clone, Copy, Default)]
struct Spent {
    postgres: f64,
    nats: f64,
    work: f64,
}

/// Measures and gives the figures.
pub async fn run(options: &FloorOptions, folder: Option<&Path>) -> anyhow::Result<Value> {
    let world = World::new().await?;
    let messages = Messages::new()?;
    create_spread(&world, &messages, options.changes, options.set_up.targets, options.set_up.limit).await?;
    let peer = Peer::start(&world).await?;
    let mut revisions = Revisions::new();
    let all: Vec<usize> = (0..options.changes).collect();
    let mut runs = Runs::default();
    for round in 1..=options.set_up.repeat {
        let (since, revision) = (world.head().await?, revisions.next());
        let side = Ours::start(&world, &messages).await?;
        let parts = Parts::of(&side.service.parts(&world).await?)?;
        side.warm(&world, &all, revision).await?;
        side.stop().await?;
        let rows = rows::Rows::of(&world, since, options.batch).await?;
        world.checkpoint().await?;
        let (spent, rate) = parts.spent(rows.write_read_models(&world, 2)).await?;
        runs.read_models_ms.push(spent.postgres / float(options.changes));
        runs.read_models[1].push(rate);
        let rows = rows::Rows::of(&world, since, options.batch).await?;
        let mut streams = messages::Streams::of(&world, &messages, since, &all, revision).await?;
        let calls = calls::Calls::of(&world, &messages, &all, revision).await?;
        world.checkpoint().await?;
        let (of_rows, rate) = parts.spent(rows.write(&world)).await?;
        runs.read_models[0].push(rate);
        let (published, changes) = parts.spent(streams.publish_changes()).await?;
        let (delivered, ()) = parts.spent(streams.deliver_changes(changes)).await?;
        let (relayed, events) = parts.spent(streams.relay()).await?;
        let (read, ()) = parts.spent(streams.deliver_events(events)).await?;
        streams.take_away().await?;
        let (called, ()) = parts.spent(calls.make()).await?;
        // Who publishes unit changes is not the service, and the rest of these is the bench's own.
        let steps = [
            Spent { nats: 0.0, work: 0.0, ..of_rows },
            Spent { nats: published.nats, ..Spent::default() },
            Spent { postgres: 0.0, ..delivered },
            relayed,
            Spent { postgres: 0.0, ..read },
            Spent { work: called.work, ..Spent::default() },
        ];
        for ((name, spent), of_runs) in STEPS.iter().zip(steps).zip(&mut runs.steps) {
            let each = spent.of(options.changes);
            say(&format!("{round}: {name} {:.3} ms CPU a sync", each.sum()));
            of_runs.push(each);
        }
        let side = Theirs::start(&world, &peer, options.set_up.peer_concurrency).await?;
        side.warm(&world, &all, revisions.next()).await?;
        let drained = side.drain(&world, &all, revisions.next()).await?;
        side.stop().await?;
        runs.theirs.push(drained.cpu_ms(options.changes));
        runs.their_rates.push(float(options.changes) / drained.seconds);
        say(&format!("{round}: the peer {:.3} ms CPU a job", drained.cpu_ms(options.changes)));
    }
    drop(peer);
    world.close().await?;
    report::report(options, folder, &runs)
}

impl Spent {
    fn of(self, syncs: usize) -> Self {
        let each = |ms: f64| ms / float(syncs);
        Self { postgres: each(self.postgres), nats: each(self.nats), work: each(self.work) }
    }

    fn sum(self) -> f64 {
        self.postgres + self.nats + self.work
    }
}

/// Whose CPU is read.
struct Parts {
    postgres: Part,
    nats: Part,
    work: Part,
}

impl Parts {
    fn of(service: &[Part]) -> anyhow::Result<Self> {
        let part = |name: &str| {
            service.iter().find(|part| part.name == name).cloned().context("a part of the cost is missing")
        };
        let work = Part { name: "work", pid: std::process::id() };
        Ok(Self { postgres: part("postgres")?, nats: part("nats")?, work })
    }

    /// What something spends, and what it gives.
    async fn spent<T>(&self, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<(Spent, T)> {
        let parts = [self.postgres.clone(), self.nats.clone(), self.work.clone()];
        let (seconds, given) = cost::spent(&parts, work).await?;
        let of = |part: &Part| seconds[part.name] * 1_000.0;
        Ok((Spent { postgres: of(&self.postgres), nats: of(&self.nats), work: of(&self.work) }, given))
    }
}
