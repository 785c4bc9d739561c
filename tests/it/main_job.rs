//! The main job: a unit change reaches the channel, once, and audited; latest wins.

use std::time::Duration;

use domain::target::TargetCommand;
use domain::window::RateLimit;
use end_to_end::unit::{described, names, unit};
use end_to_end::world::World;

const WIDE: (u32, u32) = (500, 1_000);

fn writes(account: &serde_json::Value) -> i64 {
    let writes = &account["writes"];
    ["creates", "content_puts", "image_posts", "calendar_puts"].iter().filter_map(|kind| writes[*kind].as_i64()).sum()
}

#[tokio::test]
async fn a_unit_change_reaches_the_channel_once() -> anyhow::Result<()> {
    let world = World::new(&[7001]).await?;
    let target = world.target(7001, RateLimit::new(WIDE.0, WIDE.1)?).await?;
    let _service = world.serve("")?;
    let units = names(3);
    world.publish(&units.iter().map(|name| unit(name, 1)).collect::<Vec<_>>()).await?;
    world.taken(3, 1).await?;
    world.link(target, &units).await?;
    world.drained(Duration::from_secs(30)).await?;

    let listings = world.sandbox.listings(7001).await?;
    assert_eq!(listings.len(), 3);
    let first = listings.iter().find(|listing| listing["name"] == "Villa villa-000").expect("it is there");
    assert_eq!(first["personCapacity"], 6);
    let after_creation = writes(&world.sandbox.account(7001).await?);

    // The same change again and again is one change.
    let again: Vec<_> = (0..10).map(|_| described("villa-000", 2, "Now with a second pool.")).collect();
    world.publish(&again).await?;
    world.taken(1, 2).await?;
    world.drained(Duration::from_secs(30)).await?;
    assert_eq!(writes(&world.sandbox.account(7001).await?), after_creation + 1);

    // Ten changes of a held target are one call with the last.
    let metadata = world.metadata(target)?;
    let pause = TargetCommand::Pause { reason: "test".to_owned() };
    world.commands().target(target, pause, &metadata).await?;
    let changes: Vec<_> = (3..=12).map(|n| described("villa-000", n, &format!("Text {n}."))).collect();
    world.publish(&changes).await?;
    world.taken(1, 12).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(writes(&world.sandbox.account(7001).await?), after_creation + 1, "a paused target sends nothing");
    world.commands().target(target, TargetCommand::Resume, &metadata).await?;
    world.drained(Duration::from_secs(30)).await?;
    assert_eq!(writes(&world.sandbox.account(7001).await?), after_creation + 2);
    let listings = world.sandbox.listings(7001).await?;
    assert!(listings.iter().any(|listing| listing["description"] == "Text 12."));

    // An older revision after a newer one is none.
    world.publish(&[described("villa-000", 11, "An old text.")]).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.drained(Duration::from_secs(30)).await?;
    assert_eq!(writes(&world.sandbox.account(7001).await?), after_creation + 2);

    let rows = world.audit_is_whole().await?;
    assert_eq!(rows, 3 + 1 + 10);
    let superseded = world.count("SELECT count(*) FROM outbound_audit WHERE outcome = 'superseded'").await?;
    assert_eq!(superseded, 9);
    world.close().await
}
