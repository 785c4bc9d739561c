//! A dispatcher that dies between a call and its record: what it sent stands in no journal, and is put right all the same. So is what
//! one that was frozen may have sent last.

use std::time::Duration;

use domain::window::RateLimit;
use end_to_end::unit::{described, names};
use end_to_end::wait::wait_until;
use end_to_end::world::World;
use rustix::process::Signal;
use serde_json::json;

use crate::why::edit;

const ACCOUNT: u64 = 7960;
const FROZEN: u64 = 7961;

async fn shows(world: &World, account: u64, text: &str) -> anyhow::Result<Result<(), String>> {
    let listings = serde_json::to_string(&world.sandbox.listings(account).await?)?;
    Ok(if listings.contains(text) { Ok(()) } else { Err(format!("{text:?} is not there")) })
}

/// The unit goes back to what the channel took before, so that as far as the journal knows nothing differs.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_dispatcher_sent_does_not_stay() -> anyhow::Result<()> {
    let world = World::new(&[ACCOUNT]).await?;
    let target = world.target(ACCOUNT, RateLimit::new(50, 1_000)?).await?;
    let _others = world.serve("intake,relay,projector")?;
    // A lease outlasts the longest call: with shorter calls the heir waits for less.
    let mut dies = world.serve_with("dispatcher", &["--call-timeout-s", "5"])?;
    let units = names(1);
    world.link(target, &units).await?;
    world.publish(&[described(&units[0], 1, "The first words.")]).await?;
    world.taken(1, 1).await?;
    world.drained(Duration::from_secs(30)).await?;
    shows(&world, ACCOUNT, "The first words.").await?.map_err(anyhow::Error::msg)?;

    world.sandbox.fault(json!({"kind": "hang", "seconds": 60, "apply": true, "method": "PUT"})).await?;
    world.publish(&[described(&units[0], 2, "Words of the dead.")]).await?;
    wait_until("the call is in", Duration::from_secs(20), || shows(&world, ACCOUNT, "Words of the dead.")).await?;
    dies.kill();
    world.sandbox.heal().await?;
    world.publish(&[described(&units[0], 3, "The first words.")]).await?;
    world.taken(1, 3).await?;
    let _heir = world.serve("dispatcher")?;
    world.drained(Duration::from_secs(90)).await?;
    shows(&world, ACCOUNT, "The first words.").await?.map_err(anyhow::Error::msg)?;
    let told = "SELECT count(*) FROM events WHERE event_type = 'SyncAccepted' AND payload::text LIKE '%takes_over%'";
    assert_eq!(world.count(told).await?, 1, "the journal says why all of it was sent");
    let (_, told, said) = world.run(&["--output", "json", "explain", &units[0]])?;
    for wanted in ["\"took_over\"", "ended without a word, so everything was to be sent"] {
        assert!(told.contains(wanted), "{wanted}: {told}{said}");
    }
    world.close().await
}

/// Its last call arrives after those of whoever took the listing over: nobody can see that, and it is put right all the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_frozen_dispatcher_may_have_sent_last_does_not_stay() -> anyhow::Result<()> {
    let world = World::new(&[FROZEN]).await?;
    let target = world.target(FROZEN, RateLimit::new(50, 1_000)?).await?;
    let _others = world.serve("intake,relay,projector")?;
    let frozen = world.serve_with("dispatcher", &["--call-timeout-s", "5"])?;
    let units = names(1);
    world.link(target, &units).await?;
    world.publish(&[described(&units[0], 1, "The first words.")]).await?;
    world.taken(1, 1).await?;
    world.drained(Duration::from_secs(30)).await?;
    let external = world.sandbox.listings(FROZEN).await?[0]["id"].clone();

    world.sandbox.fault(json!({"kind": "hang", "seconds": 60, "apply": true, "method": "PUT"})).await?;
    world.publish(&[described(&units[0], 2, "Words of the frozen.")]).await?;
    wait_until("the call is in", Duration::from_secs(20), || shows(&world, FROZEN, "Words of the frozen.")).await?;
    frozen.signal(Signal::STOP)?;
    world.sandbox.heal().await?;
    world.publish(&[described(&units[0], 3, "The newest words.")]).await?;
    world.taken(1, 3).await?;
    let _heir = world.serve("dispatcher")?;
    world.drained(Duration::from_secs(90)).await?;
    shows(&world, FROZEN, "The newest words.").await?.map_err(anyhow::Error::msg)?;

    // As if the call had been under way until now.
    let late = json!({ "name": "Late", "description": "Words of the frozen." });
    edit(&world, FROZEN, &format!("/listings/{external}"), &late).await?;
    frozen.signal(Signal::CONT)?;
    wait_until("what came last is put right", Duration::from_secs(60), || shows(&world, FROZEN, "The newest words."))
        .await?;
    world.drained(Duration::from_secs(30)).await?;
    let told = world.count("SELECT count(*) FROM events WHERE event_type = 'LateAttemptRecorded'").await?;
    let again = "SELECT count(*) FROM outbound_audit WHERE created_by = 'service:dispatcher' AND outcome = 'accepted'";
    assert_eq!((told, world.count(again).await?), (1, 1));
    world.close().await
}
