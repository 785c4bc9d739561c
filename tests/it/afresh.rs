//! A listing that is linked afresh and found again at the channel: what that had taken before is told, and in doubt.

use std::time::Duration;

use anyhow::Context;
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::world::{ORG, World};
use serde_json::json;

use crate::why::{json_of, listed};

const TAKEN_NOTHING: [&str; 2] = ["taken nothing of it before", "fields are new"];

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_is_found_again_after_a_link_afresh_is_told_as_one_that_was_unlinked() -> anyhow::Result<()> {
    let world = World::new(&[7864]).await?;
    let target = world.target(7864, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let viewer = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    let (_, told) = json_of(&world, &["explain", &listing])?;
    let external = told["listing"]["external_id"].as_str().context("an id")?.to_owned();
    let target = target.to_string();
    for arguments in [
        &["target", "pause", &target, "--reason", "test"][..],
        &["listing", "unlink", &listing, "--reason", "to look for it"],
        &["listing", "link", "--target", &target, "--unit", "villa-000", "--afresh"],
    ] {
        let (code, _, said) = world.run(arguments)?;
        assert_eq!(code, 0, "{said}");
    }
    let linked = world.count("SELECT max(sequence) FROM events WHERE event_type = 'ListingLinked'").await?;
    let preview = format!("/api/channels/listings/{listing}/preview");
    let (_, told) = json_of(&world, &["explain", &listing])?;
    let previewed = viewer.get(&preview).await?.expect(200)?.json();
    for (words, with) in [
        (told["words"].to_string(), &told["sync"]["compared_with"]),
        (previewed["words"].to_string(), &previewed["compared_with"]),
    ] {
        assert_eq!((&with["certain"], &with["snapshots"]), (&json!(false), &json!([])), "{with}");
        assert!(words.contains("It was linked afresh since") && words.contains("told as new"), "{words}");
        assert!(TAKEN_NOTHING.iter().all(|untrue| !words.contains(untrue)), "{words}");
    }
    let page = viewer.get(&format!("/listings/{listing}/at/{linked}")).await?.expect(200)?.text;
    let followed = "Not followed since it was linked afresh";
    for words in ["not found since it was linked afresh", "none since it was linked again", followed] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(!page.contains("not created yet") && !page.contains("Nothing that is known"), "{page}");

    let (code, _, said) = world.run(&["target", "resume", &target])?;
    assert_eq!(code, 0, "{said}");
    world.drained(Duration::from_secs(60)).await?;
    let (_, told) = json_of(&world, &["explain", &listing])?;
    assert_eq!(told["listing"]["external_id"], json!(external), "it was found: {told:#}");
    let (sync, words) = (&told["sync"], told["words"].to_string());
    let with = &sync["compared_with"];
    assert_eq!((&with["certain"], with["snapshots"].as_array().map(Vec::len)), (&json!(false), Some(1)), "{told:#}");
    assert_eq!(sync["differences"], json!([]), "what it had taken is what is sent: {told:#}");
    assert!(words.contains("It was unlinked since"), "{words}");
    assert!(TAKEN_NOTHING.iter().all(|untrue| !words.contains(untrue)), "{words}");
    let id = sync["sync_id"].as_str().context("a sync")?;
    let page = viewer.get(&format!("/syncs/{id}")).await?.expect(200)?.text;
    assert!(page.contains("Nothing differs") && page.contains("It was unlinked since"), "{page}");
    assert!(page.contains("All that this tells is what the channel took last."), "{page}");
    drop(service);
    world.close().await
}
