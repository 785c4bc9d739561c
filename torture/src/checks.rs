//! What is left of a run against the model. Each check gives what is wrong, in words.

mod arrivals;
mod calls;
mod channel;
mod disturbances;
mod health_checks;
mod isolation;
mod journal;
mod outcomes;
mod processes;
mod read_models;
mod retries;
mod revisions;
mod streams;
mod windows;

use adapters::nats::Nats;

use crate::workload::Done;
use crate::world::World;

/// What the checks found.
#[derive(Debug, Default)]
pub struct Found {
    /// What must not be, each with the name of its check.
    pub violations: Vec<String>,
    /// Calls that arrived at the channel.
    pub arrivals: u64,
    /// Of these, calls of health checks, and requests for tokens that no sync tells of.
    pub check_calls: u64,
    /// Of these, calls whose process was killed before it could tell of them, each with its process and its end.
    pub unknowable: Vec<String>,
    /// Calls with which a window of the address began that was full.
    pub full_windows: u64,
    /// Sync jobs.
    pub jobs: i64,
    /// Events in the journal.
    pub events: i64,
}

impl Found {
    fn add(&mut self, check: &str, wrong: impl IntoIterator<Item = String>) {
        self.violations.extend(wrong.into_iter().map(|wrong| format!("{check}: {wrong}")));
    }
}

/// Checks everything; the world must be quiet.
pub async fn run(world: &World, nats: &Nats, done: &Done) -> anyhow::Result<Found> {
    let mut found = Found::default();
    let arrivals = arrivals::read(&world.sandbox).await?;
    found.arrivals = arrivals.len() as u64;
    found.add("channel", channel::check(world, &done.units).await?);
    let calls = calls::check(world, &arrivals).await?;
    (found.check_calls, found.unknowable) = (calls.of_checks, calls.unknowable);
    found.add("calls", calls.wrong);
    found.add("outcomes", outcomes::check(world).await?);
    found.add("retries", retries::check(world, &done.retries).await?);
    found.add("revisions", revisions::check(world, &arrivals, &done.units).await?);
    let windows = windows::check(world, &arrivals).await?;
    found.full_windows = windows.full_of_address;
    found.add("windows", windows.wrong);
    let journal = journal::check(world).await?;
    (found.jobs, found.events) = (journal.jobs, journal.events);
    found.add("journal", journal.wrong);
    found.add("streams", streams::check(world, nats).await?);
    found.add("read models", read_models::check(world).await?);
    found.add("isolation", isolation::check(world, &arrivals, &done.units).await?);
    found.add("processes", processes::check(world));
    Ok(found)
}
