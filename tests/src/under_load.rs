//! What breaks under load breaks in the middle of the work.

use std::time::Duration;

use domain::ids::TargetId;

use crate::unit::unit;
use crate::wait::wait_until;
use crate::world::World;

/// Publishes units, links all of them, and returns when a third is at the channel.
pub async fn begin(world: &World, account: u64, target: TargetId, units: &[String]) -> anyhow::Result<()> {
    world.publish(&units.iter().map(|name| unit(name, 1)).collect::<Vec<_>>()).await?;
    world.taken(i64::try_from(units.len())?, 1).await?;
    world.link(target, units).await?;
    wait_until("a third is at the channel", Duration::from_secs(60), || async {
        let have = world.sandbox.listings(account).await?.len();
        Ok(if have * 3 >= units.len() { Ok(()) } else { Err(format!("{have}")) })
    })
    .await
}
