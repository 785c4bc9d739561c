//! Work that is due while no dispatcher runs: nothing promises that one is about to take it. And work while no projector runs: nothing says
//! that there is none.

use std::time::Duration;

use anyhow::ensure;
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::unit::unit;
use end_to_end::wait::wait_until;
use end_to_end::world::{ORG, World};

use crate::why::{json_of, listed, priced};

const NOBODY: &str = "o dispatcher has looked at its target yet, which was due ";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_is_promised_to_nobody_where_no_dispatcher_looks() -> anyhow::Result<()> {
    let world = World::new(&[7866]).await?;
    let target = world.target(7866, RateLimit::new(100, 1_000)?).await?;
    let base = world.serve("intake,relay,projector,api")?;
    let viewer = Api::of(&base).await?.as_caller(&world, ORG, None, "viewer")?;
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    let listing = world.link(target, &["villa-000".to_owned()]).await?[0].to_string();
    world.waits(1).await?;
    let next = || anyhow::Ok(json_of(&world, &["explain", &listing])?.1["next"].clone());
    let told = next()?;
    let because = told["because"].to_string();
    let is_true = because.contains("nothing but a dispatcher is waited for") || because.contains(NOBODY);
    assert!(told["step"] == "waits_for_slot" && is_true, "{told}");
    wait_until("it is told that nobody looks", Duration::from_secs(40), || async {
        let told = next()?;
        Ok(if told["because"].to_string().contains(NOBODY) { Ok(()) } else { Err(told.to_string()) })
    })
    .await?;
    // When it was due is known, and not since when nobody has looked: behind read models that lag it is long ago from the first.
    assert!(next()?["because"].to_string().contains("or the read models tell of it only now"));
    let sync = next()?["sync_id"].as_str().unwrap_or_default().to_owned();
    for path in [
        format!("/api/channels/listings/{listing}/explain"),
        format!("/api/channels/listings/{listing}/preview"),
        format!("/api/channels/audit/{sync}"),
        format!("/listings/{listing}"),
        format!("/syncs/{sync}"),
    ] {
        let told = viewer.get(&path).await?.expect(200)?.text;
        assert!(told.contains(NOBODY), "{path}: {told}");
    }
    let _dispatcher = world.serve("dispatcher")?;
    world.drained(Duration::from_secs(60)).await?;
    assert!(!next()?.to_string().contains(NOBODY), "one has looked");
    drop(base);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_a_listing_tells_what_is_next_though_the_read_models_are_behind() -> anyhow::Result<()> {
    let world = World::new(&[7869]).await?;
    let target = world.target(7869, RateLimit::new(100, 1_000)?).await?;
    let mut all = world.serve("")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    ensure!(all.stopped().await?, "{}", all.printed());
    let page = async |viewer: &Api| viewer.get(&format!("/listings/{listing}")).await?.expect(200);

    let mut unprojected = world.serve("intake,api")?;
    let viewer = Api::of(&unprojected).await?.as_caller(&world, ORG, None, "viewer")?;
    world.publish(&[priced("villa-000", 2, 5_500)]).await?;
    world.taken(1, 2).await?;
    wait_until("its page says what waits", Duration::from_secs(20), || async {
        let told = page(&viewer).await?.text;
        let waits = [
            "not shown yet</span> Attempt 1 of 5: not queued yet: the read models do not show it yet",
            " of revision 2",
            "Revision asked for</dt><dd>2</dd>",
        ];
        let is_told = waits.iter().all(|words| told.contains(words));
        Ok(if is_told && !told.contains("The next change of the unit is sent") { Ok(()) } else { Err(told) })
    })
    .await?;
    ensure!(unprojected.stopped().await?, "{}", unprojected.printed());

    let mut projected = world.serve("relay,projector")?;
    world.waits(2).await?;
    ensure!(projected.stopped().await?, "{}", projected.printed());
    let sending = world.serve("dispatcher,api")?;
    let viewer = Api::of(&sending).await?.as_caller(&world, ORG, None, "viewer")?;
    wait_until("its page says that nothing waits", Duration::from_secs(40), || async {
        let told = page(&viewer).await?.text;
        Ok(if told.contains("Nothing of it waits any more.") { Ok(()) } else { Err(told) })
    })
    .await?;
    drop(sending);
    world.close().await
}
