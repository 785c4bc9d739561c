//! How long it takes to recover from a class of faults: one after the other, each in the middle of some work, from its end
//! until every change is at the channel, streams and read models are whole, and every process serves.

use std::sync::Arc;
use std::time::Duration;

use adapters::nats::Nats;
use anyhow::Context as _;
use end_to_end::wait::wait_until;
use futures::future::try_join_all;
use tokio::time::Instant;

use crate::chaos;
use crate::plan::Recovery;
use crate::quiet;
use crate::unit::Change;
use crate::workload::{UnitModel, publish};
use crate::world::World;

/// Changes that are under way in a fault: few, so that their number is not what is measured.
const CHANGES: usize = 12;

/// What came of one.
#[derive(Debug)]
pub struct Recovered {
    /// From the end of the faults until all was quiet.
    pub took: Duration,
    /// Names of the faults that came about.
    pub injected: Vec<String>,
}

/// Breaks the world once, which is quiet, and waits until it is so again.
pub async fn measure(
    world: &Arc<World>,
    nats: &Nats,
    recovery: &Recovery,
    units: &mut [UnitModel],
    patience: Duration,
) -> anyhow::Result<Recovered> {
    let linked = units.iter_mut().filter(|model| !model.linked.is_empty()).take(CHANGES);
    let publishing = try_join_all(linked.map(|model| async move {
        for change in [Change::Nights, Change::Text] {
            model.unit.change(change);
            model.published = publish(nats, model.org, &model.unit_id, &model.unit, patience).await?;
        }
        anyhow::Ok(())
    }));
    let breaking = async {
        // In the middle of it.
        tokio::time::sleep(Duration::from_millis(150)).await;
        let span = Duration::from_millis(recovery.for_ms);
        let broken = try_join_all(recovery.kinds.iter().map(|kind| chaos::inflict(world, *kind, span))).await?;
        anyhow::Ok((broken, Instant::now()))
    };
    let (_, (broken, healed)) = tokio::try_join!(publishing, breaking)?;
    quiet::until_quiet(world, nats, patience).await.with_context(|| format!("after {recovery:?}"))?;
    until_whole(world, patience).await.with_context(|| format!("after {recovery:?}"))?;
    let injected = recovery.kinds.iter().zip(broken).filter(|(_, came)| *came).map(|(kind, _)| kind.name()).collect();
    Ok(Recovered { took: healed.elapsed(), injected })
}

/// Changes need neither the API nor whoever sees to the checks: these are waited for by themselves.
async fn until_whole(world: &World, patience: Duration) -> anyhow::Result<()> {
    wait_until("every process runs, and the APIs are ready", patience, || async {
        if !world.fleet.is_whole() {
            return Ok(Err("somebody is down".to_owned()));
        }
        Ok(world.callers[0].are_ready().await)
    })
    .await
}
