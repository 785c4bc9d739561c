//! A listing that was linked again starts over: what is told of it does not deny what an earlier link has sent.

use std::time::Duration;

use anyhow::Context;
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::unit::unit;
use end_to_end::wait::wait_until;
use end_to_end::world::{ORG, World};
use serde_json::{Value, json};

use crate::why::{json_of, listed, priced};

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

/// The listing is unlinked while a call of its sync is at the channel. What the journal says of that call afterwards is known.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_attempt_sent_that_ended_after_the_unlinking_is_known_to_the_next_link() -> anyhow::Result<()> {
    let world = World::new(&[7867]).await?;
    let target = world.target(7867, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let viewer = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    let held = json!({ "kind": "hold", "account": 7867, "method": "PUT", "path_prefix": "/v1/listings", "count": 1 });
    let held = world.sandbox.fault_rule(&held).await?;
    world.publish(&[priced("villa-000", 2, 5_500)]).await?;
    world.taken(1, 2).await?;
    wait_until("its call is at the channel", Duration::from_secs(20), || async {
        let arrivals = world.sandbox.arrivals(7867).await?;
        Ok(if arrivals.iter().any(|one| one["status"].is_null()) { Ok(()) } else { Err(format!("{arrivals:?}")) })
    })
    .await?;
    let (_, told) = json_of(&world, &["explain", &listing])?;
    let first = told["sync"]["sync_id"].as_str().context("a sync")?.to_owned();
    let (code, _, said) = world.run(&["listing", "unlink", &listing, "--reason", "sold"])?;
    assert_eq!(code, 0, "{said}");
    world.sandbox.mend(held).await?;
    let late = "SELECT coalesce(max(sequence), 0) FROM events WHERE event_type = 'LateAttemptRecorded'";
    let late = wait_until("its attempt is told", Duration::from_secs(30), || async {
        let late = world.count(late).await?;
        Ok(if late > 0 { Ok(late) } else { Err("not yet".to_owned()) })
    })
    .await?;

    let (_, told, _) = world.run(&["explain", &first])?;
    let ended = "accepted, after the sync had ended as its listing was unlinked; the channel took content.";
    assert!(told.contains(ended) && !told.contains("by another"), "{told}");
    let page = viewer.get(&format!("/listings/{listing}/at/{late}")).await?.expect(200)?.text;
    assert!(page.contains("Told late: the sync had ended before that."), "{page}");
    for untrue in ["nobody knows what it wrote", "as far as it is known"] {
        assert!(!page.contains(untrue), "{untrue}: {page}");
    }

    world.link(target, &["villa-000".to_owned()]).await?;
    world.drained(Duration::from_secs(30)).await?;
    let (_, told) = json_of(&world, &["explain", &listing])?;
    assert_eq!((&told["sync"]["cause"], &told["sync"]["differences"]), (&json!("linked"), &json!([])), "{told:#}");
    let words = told["words"].to_string();
    assert!(words.contains("It was unlinked since, and what the channel has of it is not followed"), "{words}");
    assert!(!words.contains("nobody knows what it wrote"), "no call had ended so: {words}");
    drop(service);
    world.close().await
}
