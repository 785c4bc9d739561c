//! Our side.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::ensure;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};

use super::{Side, milliseconds};
use crate::drain::{Drained, drain};
use crate::ours::{Service, first_writes, publish, publish_one};
use crate::process::Patience;
use crate::units::{self, Messages};
use crate::world::{SHARED_ACCOUNT, World};

/// The service and the messages it gets.
pub struct Ours<'a> {
    pub service: Service,
    messages: &'a Messages,
}

impl<'a> Ours<'a> {
    /// Starts the service.
    pub async fn start(world: &World, messages: &'a Messages) -> anyhow::Result<Self> {
        Self::start_with(world, messages, &[]).await
    }

    /// Starts the service with these arguments.
    pub async fn start_with(world: &World, messages: &'a Messages, arguments: &[&str]) -> anyhow::Result<Self> {
        world.tidy().await?;
        Ok(Self { service: Service::start_with(world, "service", arguments)?, messages })
    }

    /// With a service that runs already.
    pub fn with(service: Service, messages: &'a Messages) -> Self {
        Self { service, messages }
    }

    /// Waits for the audit rows of jobs after a position; fails when one ends otherwise than accepted.
    async fn accepted(&self, world: &World, since: i64, jobs: usize) -> anyhow::Result<()> {
        let process = &self.service.process;
        let all_accepted = async || {
            let (accepted, failed): (i64, i64) = sqlx::query_as(
                "SELECT count(*) FILTER (WHERE outcome = 'accepted'),
                        count(*) FILTER (WHERE outcome NOT IN ('accepted', 'pending'))
                 FROM outbound_audit WHERE org_id = $1 AND position > $2",
            )
            .bind(units::ORG)
            .bind(since)
            .fetch_one(&world.pool)
            .await?;
            ensure!(failed == 0, "{failed} syncs ended otherwise than accepted:\n{}", process.printed());
            Ok(usize::try_from(accepted)? >= jobs)
        };
        process.until(Patience::ROWS, &format!("done with {jobs} audit rows"), all_accepted).await
    }
}

impl Side for Ours<'_> {
    async fn warm(&self, world: &World, units: &[usize], revision: u64) -> anyhow::Result<()> {
        let since = world.head().await?;
        publish(world, self.messages, units, revision).await?;
        self.accepted(world, since, units.len()).await?;
        self.service.drained(world).await
    }

    async fn drain(&self, world: &World, units: &[usize], revision: u64) -> anyhow::Result<Drained> {
        let process = &self.service.process;
        let parts = self.service.parts(world).await?;
        let since = world.head().await?;
        world.channel.reset().await?;
        let done = async {
            world.channel.until_written(process, SHARED_ACCOUNT, units.len()).await?;
            self.accepted(world, since, units.len()).await
        };
        let put = publish(world, self.messages, units, revision);
        drain(process, &parts, put, done, self.service.settled(world)).await
    }

    async fn paced(&self, world: &World, units: &[usize], gap: Duration, revision: u64) -> anyhow::Result<Vec<f64>> {
        world.channel.reset().await?;
        let mut sent: HashMap<String, u64> = HashMap::new();
        let mut ticks = tokio::time::interval(gap);
        let mut publications = futures::stream::FuturesUnordered::new();
        for index in units {
            ticks.tick().await;
            sent.insert(units::name(*index), now_us());
            publications.push(publish_one(world, self.messages, *index, revision));
            // One is under way at a time, unless the server is slow.
            while let Some(Some(published)) = publications.next().now_or_never() {
                published?;
            }
        }
        while publications.try_next().await?.is_some() {}
        drop(publications);
        world.channel.until_written(&self.service.process, SHARED_ACCOUNT, units.len()).await?;
        let arrivals = first_writes(world, &world.channel.arrivals().await?).await?;
        let timed: Vec<f64> = sent.iter().filter_map(|(unit, at)| milliseconds(*at, *arrivals.get(unit)?)).collect();
        self.service.caught_up(world).await?;
        Ok(timed)
    }

    async fn stop(self) -> anyhow::Result<()> {
        self.service.process.stop().await
    }
}

fn now_us() -> u64 {
    u64::try_from(chrono::Utc::now().timestamp_micros()).unwrap_or_default()
}
