//! A listing that was linked again starts over: what is told of it does not deny what an earlier link has sent.

use std::time::Duration;

use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::unit::unit;
use end_to_end::wait::wait_until;
use end_to_end::world::{ORG, World};
use serde_json::{Value, json};

use crate::why::{json_of, listed};

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_link_sent_is_told_where_nothing_was_sent_since() -> anyhow::Result<()> {
    let world = World::new(&[7865]).await?;
    let target = world.target(7865, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let viewer = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    let page = async |listing: &str| anyhow::Ok(viewer.get(&format!("/listings/{listing}")).await?.expect(200)?.text);
    assert!(!page(&listing).await?.contains("by an earlier link"));
    let target_id = target.to_string();
    for arguments in [
        &["target", "pause", &target_id, "--reason", "works on the roof"][..],
        &["listing", "unlink", &listing, "--reason", "by mistake"],
        &["listing", "link", "--target", &target_id, "--unit", "villa-000"],
    ] {
        let (code, _, said) = world.run(arguments)?;
        assert_eq!(code, 0, "{said}");
    }
    let told = wait_until("the page shows the new link", Duration::from_secs(20), || async {
        let told = page(&listing).await?;
        Ok(if told.contains("by an earlier link") { Ok(told) } else { Err(told) })
    })
    .await?;
    for said in [
        "none since it was linked again",
        "The channel has taken nothing since it was linked again; what it has from before is not followed",
    ] {
        assert!(told.contains(said), "{said}: {told}");
    }
    for untrue in [">never<", "The channel has taken nothing of it yet"] {
        assert!(!told.contains(untrue), "{untrue}: {told}");
    }
    let all = viewer.get("/listings").await?.expect(200)?.text;
    assert!(all.contains("not since it was linked again") && !all.contains(">never<"), "{all}");
    // Of the current link alone the API tells, as its document says; the command line tells of both.
    let got = viewer.get(&format!("/api/channels/listings/{listing}")).await?.expect(200)?.json();
    assert_eq!((&got["last_accepted_at"], &got["accepted_snapshot"]), (&Value::Null, &Value::Null), "{got}");
    let (_, shown) = json_of(&world, &["listing", "show", &listing])?;
    assert!(shown["taken_before_at"].is_string() && shown["last_accepted_at"].is_null(), "{shown}");
    let (_, printed, _) = world.run(&["listing", "show", &listing])?;
    assert!(printed.contains("Z by an earlier link"), "{printed}");

    // Of one that was never taken that is said.
    world.publish(&[unit("villa-001", 1)]).await?;
    world.taken(2, 1).await?;
    let first = world.link(target, &["villa-001".to_owned()]).await?[0].to_string();
    wait_until("its page says so", Duration::from_secs(20), || async {
        let answer = viewer.get(&format!("/listings/{first}")).await?;
        let never = answer.text.contains(">never<") && answer.text.contains("The channel has taken nothing of it yet");
        Ok(if never { Ok(()) } else { Err(answer.text) })
    })
    .await?;

    let (code, _, said) = world.run(&["target", "resume", &target_id])?;
    assert_eq!(code, 0, "{said}");
    world.drained(Duration::from_secs(60)).await?;
    let told = page(&listing).await?;
    assert!(!told.contains("by an earlier link") && !told.contains(">never<"), "{told}");
    let (_, shown) = json_of(&world, &["listing", "show", &listing])?;
    assert_eq!(shown["taken_before_at"], json!(null), "{shown}");
    drop(service);
    world.close().await
}
