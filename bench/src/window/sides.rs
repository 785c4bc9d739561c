//! The two sides under the same load: one change first, all others in a rush, and a kill -9 in the middle of calls.

use std::time::Duration;

use serde_json::{Value, json};

use super::WindowOptions;
use crate::ours::{Service, publish};
use crate::peer::{self, Peer};
use crate::process::Process;
use crate::units::Messages;
use crate::world::World;

/// Both are driven alike.
pub trait Side {
    /// One change for each target.
    async fn first(&mut self, world: &World) -> anyhow::Result<()>;
    /// All others.
    async fn rush(&mut self, world: &World) -> anyhow::Result<()>;
    /// Ends it while calls are under way, and starts it again at once.
    async fn kill_and_start(&mut self, world: &World) -> anyhow::Result<()>;
}

/// Ours.
pub struct Ours {
    pub service: Service,
    pub messages: Messages,
    pub targets: usize,
    pub changes: usize,
}

impl Side for Ours {
    async fn first(&mut self, world: &World) -> anyhow::Result<()> {
        publish(world, &self.messages, &(0..self.targets).collect::<Vec<_>>(), 2).await
    }

    async fn rush(&mut self, world: &World) -> anyhow::Result<()> {
        publish(world, &self.messages, &(self.targets..self.targets * self.changes).collect::<Vec<_>>(), 2).await
    }

    async fn kill_and_start(&mut self, world: &World) -> anyhow::Result<()> {
        until_a_call(world, 1).await?;
        self.service.process.kill();
        self.service = Service::start(world)?;
        Ok(())
    }
}

/// The peer: a queue with a limiter for each target, as its manual says.
pub struct Theirs {
    peer: Peer,
    worker: Process,
    accounts: Vec<u32>,
    changes: usize,
    limit: Value,
}

fn queue(account: u32) -> String {
    format!("account-{account}")
}

/// More than a limit needs, so that the limiter alone decides.
const CONCURRENCY: usize = 16;

impl Theirs {
    pub async fn start(
        peer: Peer,
        options: &WindowOptions,
        accounts: Vec<u32>,
        changes: usize,
    ) -> anyhow::Result<Self> {
        let limit = json!({"max": options.limit.requests(), "duration": options.limit.window_ms()});
        let queues: Vec<String> = accounts.iter().map(|account| queue(*account)).collect();
        let worker = peer.worker(&queues, CONCURRENCY, Some(limit.clone())).await?;
        Ok(Self { peer, worker, accounts, changes, limit })
    }

    fn jobs(&self, turns: std::ops::Range<usize>) -> Vec<Value> {
        let of = |account: &u32| {
            let account = *account;
            turns.clone().map(move |turn| peer::job(&queue(account), account, turn, 2, 0))
        };
        self.accounts.iter().flat_map(of).collect()
    }
}

impl Side for Theirs {
    async fn first(&mut self, _: &World) -> anyhow::Result<()> {
        self.peer.add(&self.jobs(0..1)).await
    }

    async fn rush(&mut self, _: &World) -> anyhow::Result<()> {
        self.peer.add(&self.jobs(1..self.changes)).await
    }

    async fn kill_and_start(&mut self, world: &World) -> anyhow::Result<()> {
        until_a_call(world, 2).await?;
        self.worker.kill();
        let queues: Vec<String> = self.accounts.iter().map(|account| queue(*account)).collect();
        self.worker = self.peer.worker(&queues, CONCURRENCY, Some(self.limit.clone())).await?;
        Ok(())
    }
}

/// Waits until a call of this side arrives: some of it are then under way.
async fn until_a_call(world: &World, side: u32) -> anyhow::Result<()> {
    let mut known = None;
    loop {
        let arrivals = world.channel.arrivals().await?;
        let now = arrivals.iter().filter(|arrival| arrival.account / 1_000 == side).count();
        if known.is_some_and(|known| now > known) {
            return Ok(());
        }
        known = Some(now);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
