//! What waits, and where: in NATS, in the queue, in the journal.

use std::fmt;

use adapters::nats::topology::StreamKind;
use serde::Serialize;

use super::Scenario;
use crate::ours::relayed;
use crate::world::World;

/// How much of everything waits.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Waiting {
    /// Changes in NATS that the intake has not taken in.
    pub changes: u64,
    /// Listings in the queue.
    pub queued: i64,
    /// Events of the journal that NATS does not have.
    pub unrelayed: i64,
}

impl Waiting {
    /// What waits now.
    pub async fn now(world: &World) -> anyhow::Result<Self> {
        let intake = world.nats.intake_state().await?;
        let relayed = relayed(world, StreamKind::Channels).await?;
        Ok(Self {
            changes: intake.map_or(0, |intake| intake.waiting + intake.unanswered),
            queued: world.count("SELECT count(*) FROM sync_queue").await?,
            unrelayed: world.count(&format!("SELECT count(*) FROM events WHERE position > {relayed}")).await?,
        })
    }

    /// So much waits where this makes it wait as does not without it: a relay in good health is some events behind, too, but not by
    /// one for each listing.
    pub fn is_held_up_by(&self, scenario: Scenario, listings: usize) -> bool {
        match scenario {
            Scenario::HangingChannel => self.queued > 0,
            Scenario::SlowPostgres => self.changes > 0,
            Scenario::FullNats => usize::try_from(self.unrelayed).is_ok_and(|unrelayed| unrelayed >= listings),
        }
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { changes, queued, unrelayed } = self;
        write!(f, "{changes} changes, {queued} listings and {unrelayed} events wait")
    }
}
