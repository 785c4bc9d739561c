//! The peer's side: the same steps.

use std::time::Duration;

use super::{Side, milliseconds};
use crate::drain::{Drained, drain};
use crate::peer::{self, Peer, QUEUE};
use crate::process::{Patience, Process};
use crate::world::{SHARED_ACCOUNT, World};

/// The peer's worker on its one queue.
pub struct Theirs<'a> {
    peer: &'a Peer,
    worker: Process,
}

impl<'a> Theirs<'a> {
    /// Starts the worker with an empty audit table.
    pub async fn start(world: &World, peer: &'a Peer, concurrency: usize) -> anyhow::Result<Self> {
        peer.forget().await?;
        world.tidy().await?;
        Ok(Self { peer, worker: peer.worker(&[QUEUE.to_owned()], concurrency, None).await? })
    }

    /// Waits for the calls, and then for the audit rows.
    async fn done(&self, world: &World, calls: usize, rows: usize) -> anyhow::Result<()> {
        world.channel.until_written(&self.worker, SHARED_ACCOUNT, calls).await?;
        let written = async || Ok(self.audited().await? >= rows);
        self.worker.until(Patience::ROWS, &format!("done with {rows} audit rows"), written).await
    }

    async fn audited(&self) -> anyhow::Result<usize> {
        Ok(usize::try_from(self.peer.audited().await?)?)
    }
}

impl Side for Theirs<'_> {
    async fn warm(&self, world: &World, units: &[usize], revision: u64) -> anyhow::Result<()> {
        world.channel.reset().await?;
        let rows = self.audited().await? + units.len();
        self.peer.add(&peer::jobs(units, revision)).await?;
        self.done(world, units.len(), rows).await
    }

    async fn drain(&self, world: &World, units: &[usize], revision: u64) -> anyhow::Result<Drained> {
        let parts = self.peer.parts(world, &self.worker).await?;
        world.channel.reset().await?;
        let rows = self.audited().await? + units.len();
        let jobs = peer::jobs(units, revision);
        // What Redis is still told of the last jobs is not waited for: that is in the peer's favour.
        let settled = async { Ok(()) };
        drain(&self.worker, &parts, self.peer.add(&jobs), self.done(world, units.len(), rows), settled).await
    }

    async fn paced(&self, world: &World, units: &[usize], gap: Duration, revision: u64) -> anyhow::Result<Vec<f64>> {
        world.channel.reset().await?;
        let rows = self.audited().await? + units.len();
        let jobs: Vec<_> = (0_u32..)
            .zip(units)
            .map(|(turn, index)| {
                let after_ms = u64::try_from((gap * turn).as_millis()).unwrap_or(u64::MAX);
                peer::job(QUEUE, SHARED_ACCOUNT, *index, revision, after_ms)
            })
            .collect();
        let added = self.peer.add_paced(&jobs).await?;
        self.done(world, units.len(), rows).await?;
        let arrivals = world.channel.arrivals().await?;
        let latencies = arrivals.iter().filter(|arrival| arrival.kind == 'w');
        Ok(latencies.filter_map(|a| milliseconds(*added.get(&a.listing)?, a.at_us)).collect())
    }

    async fn stop(self) -> anyhow::Result<()> {
        self.worker.stop().await
    }
}
