//! Listings and targets that are paused in the middle of their work: nothing hangs, nothing is called, all goes on.

use std::time::Duration;

use domain::target::TargetCommand;
use domain::window::RateLimit;
use end_to_end::unit::{names, unit};
use end_to_end::wait::wait_until;
use end_to_end::world::World;

#[tokio::test]
async fn a_listing_paused_in_the_middle_goes_on_after_its_resume() -> anyhow::Result<()> {
    use domain::listing::ListingCommand;
    let world = World::new(&[7460]).await?;
    let target = world.target(7460, RateLimit::new(4, 1_000)?).await?;
    let _service = world.serve("")?;
    let units = names(12);
    let listings = world.link(target, &units).await?;
    world.publish(&units.iter().map(|name| unit(name, 1)).collect::<Vec<_>>()).await?;
    let metadata = world.metadata(target)?;
    for listing in &listings {
        let pause = ListingCommand::Pause { reason: "test".to_owned() };
        world.commands().listing(*listing, pause, &metadata).await?;
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    world.taken(12, 1).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    for listing in &listings {
        world.commands().listing(*listing, ListingCommand::Resume, &metadata).await?;
    }
    world.drained(Duration::from_secs(60)).await?;
    assert_eq!(world.sandbox.listings(7460).await?.len(), 12);
    world.close().await
}

#[tokio::test]
async fn a_target_paused_in_the_middle_lets_go_of_its_listings_and_goes_on_after_its_resume() -> anyhow::Result<()> {
    let world = World::new(&[7470]).await?;
    let target = world.target(7470, RateLimit::new(4, 2_000)?).await?;
    let mut service = world.serve("")?;
    let units = names(12);
    world.link(target, &units).await?;
    world.publish(&units.iter().map(|name| unit(name, 1)).collect::<Vec<_>>()).await?;
    wait_until("the window is used up and calls wait", Duration::from_secs(20), || async {
        let arrivals = world.sandbox.arrivals(7470).await?.len();
        Ok(if arrivals >= 6 { Ok(()) } else { Err(format!("{arrivals} calls")) })
    })
    .await?;
    let metadata = world.metadata(target)?;
    let pause = TargetCommand::Pause { reason: "test".to_owned() };
    world.commands().target(target, pause, &metadata).await?;
    wait_until("no worker keeps a listing", Duration::from_secs(10), || async {
        let kept = world.count("SELECT count(*) FROM dispatch_leases WHERE NOT done").await?;
        Ok(if kept == 0 { Ok(()) } else { Err(format!("{kept} leases")) })
    })
    .await?;
    let before = world.sandbox.arrivals(7470).await?.len();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(world.sandbox.arrivals(7470).await?.len(), before, "a paused target is not called");
    assert!(world.count("SELECT count(*) FROM sync_queue").await? > 0, "its work waits");
    world.commands().target(target, TargetCommand::Resume, &metadata).await?;
    world.drained(Duration::from_secs(90)).await?;
    assert_eq!(world.sandbox.listings(7470).await?.len(), 12);
    assert_eq!(world.sandbox.account(7470).await?["duplicate_references"], 0);
    assert_eq!(world.count("SELECT max(attempts)::bigint FROM outbound_audit").await?, 1, "a pause burns nothing");
    assert!(service.stop()?, "SIGTERM ends it well");
    world.close().await
}

/// After a roll-back, say: what a newer build wrote to them keeps three listings unreadable, and nobody else.
#[tokio::test]
async fn listings_that_cannot_be_read_do_not_keep_the_others_of_their_target_waiting() -> anyhow::Result<()> {
    let world = World::new(&[7480]).await?;
    let target = world.target(7480, RateLimit::default()).await?;
    let _service = world.serve("intake,relay,projector")?;
    let units = names(4);
    let listings = world.link(target, &units).await?;
    for (index, name) in units.iter().enumerate() {
        world.publish(&[unit(name, 1)]).await?;
        world.taken(i64::try_from(index)? + 1, 1).await?;
    }
    wait_until("all wait", Duration::from_secs(20), || async {
        let queued = world.count("SELECT count(*) FROM sync_queue").await?;
        Ok(if queued == 4 { Ok(()) } else { Err(format!("{queued} queued")) })
    })
    .await?;
    for listing in &listings[..3] {
        world.make_unreadable(*listing).await?;
    }
    let mut dispatcher = world.serve("dispatcher")?;
    wait_until("the one that can be read is there", Duration::from_secs(30), || async {
        let created = world.sandbox.listings(7480).await?.len();
        Ok(if created == 1 { Ok(()) } else { Err(format!("{created} listings")) })
    })
    .await?;
    assert!(dispatcher.stop()?, "SIGTERM ends it well");
    world.close().await
}
