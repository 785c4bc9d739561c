//! What a channel answered with success and did not take: nothing is sent again for the same state, and nobody is told that the
//! channel has all of it.

use std::time::Duration;

use anyhow::Context;
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::world::{ORG, World};
use reqwest::Method;
use serde_json::{Value, json};

use crate::why::{by_hand, json_of, listed, priced, published};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_taken_is_told_until_it_is_sent_again() -> anyhow::Result<()> {
    let world = World::new(&[7816]).await?;
    let target = world.target(7816, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let owner = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    let ignoring = json!({ "kind": "ignore_writes", "method": "PUT", "path_pattern": "/v1/listings/*", "count": 1 });
    world.sandbox.fault(ignoring.clone()).await?;
    published(&world, priced("villa-000", 2, 5_500)).await?;
    let (_, sent) = json_of(&world, &["explain", &listing])?;
    let attempt = &sent["sync"]["attempts"][0];
    assert_eq!(sent["sync"]["outcome"], "accepted_with_rejections", "{sent:#}");
    assert_eq!((&attempt["took"], &attempt["took_in_part"]), (&json!(["content"]), &json!(["content"])), "{attempt}");
    assert!(sent["words"].to_string().contains("the channel took content in part."), "{sent:#}");

    // By the command line and the API; the page previews what somebody would ask for.
    let path = format!("/api/channels/listings/{listing}/preview");
    let previewed = async || -> anyhow::Result<Value> {
        let (_, preview) = json_of(&world, &["listing", "preview", &listing])?;
        let same = owner.get(&path).await?.expect(200)?.json();
        assert_eq!((&preview["compared_with"], &preview["words"]), (&same["compared_with"], &same["words"]));
        assert_eq!(preview["sections"], json!([]), "the same is not sent again: {preview:#}");
        Ok(preview)
    };
    let preview = previewed().await?;
    let with = &preview["compared_with"];
    let parts = with["not_taken"].as_array().context("parts")?;
    assert_eq!((parts.len(), &parts[0]["part"]), (1, &json!("listing.cleaningFee")), "{preview:#}");
    assert_eq!((&with["certain"], &preview["differences"]), (&json!(true), &json!([])), "{preview:#}");
    let words = preview["words"].to_string();
    for told in [
        "what was sent last is the same as revision 2. Of that the channel did not take 1 part; a sync that somebody",
        "Nothing differs from what was sent last, which the channel took in part.",
        "  Of what was sent last the channel did not take:",
        "Hostaway answered with success but kept 40",
    ] {
        assert!(words.contains(told), "{told}: {words}");
    }
    assert!(!words.contains("has all of revision"), "{words}");
    let page = owner.get(&format!("/listings/{listing}/preview")).await?.expect(200)?.text;
    assert!(page.contains("Of what was sent last the channel did not take:"), "{page}");

    // The same again is skipped, and told as what it is.
    published(&world, priced("villa-000", 3, 5_500)).await?;
    let (_, skipped) = json_of(&world, &["explain", &listing])?;
    assert_eq!(skipped["sync"]["outcome"], "skipped_unchanged", "{skipped:#}");
    assert_eq!(skipped["sync"]["compared_with"]["not_taken"], with["not_taken"], "{skipped:#}");
    let words = skipped["words"].to_string();
    let told = "Skipped as unchanged: what was sent last was the same when the sync was asked for, so nothing was \
                sent. The channel did not take all of it; a sync that somebody asks for sends it again";
    assert!(words.contains(told) && !words.contains("had all of it"), "{words}");
    let id = skipped["sync"]["sync_id"].as_str().context("a sync")?;
    let page = owner.get(&format!("/syncs/{id}")).await?.expect(200)?.text;
    let same = "All that this tells is what was sent last, which the channel took in part.";
    assert!(page.contains(same), "{page}");

    // Asked for, it is sent again, and not taken again. A change of it says what the channel had.
    world.sandbox.fault(ignoring).await?;
    let (code, _, said) = world.run(&["listing", "sync", &listing, "--reason", "once more"])?;
    assert_eq!(code, 0, "{said}");
    world.drained(Duration::from_secs(30)).await?;
    assert_eq!(previewed().await?["compared_with"]["not_taken"], with["not_taken"]);
    published(&world, priced("villa-000", 4, 6_000)).await?;
    let (_, changed) = json_of(&world, &["explain", &listing])?;
    let field = &changed["sync"]["differences"][0]["fields"][0];
    assert_eq!((&field["path"], &field["before"]), (&json!("listing.cleaningFee"), &json!(55.0)), "{field}");
    let reason = field["reason"].as_str().unwrap_or_default();
    assert!(reason.starts_with("not taken before: Hostaway answered with success but kept 40"), "{field}");
    assert_eq!(field["expected"], Value::Null, "it is sent to change something: {field}");
    let preview = previewed().await?;
    assert_eq!(preview["compared_with"]["not_taken"], json!([]), "it is taken: {preview:#}");
    assert!(preview["words"].to_string().contains("the channel has all of revision 4 already."), "{preview:#}");

    // Without the snapshots nothing can be compared; what was not taken is known all the same.
    sqlx::query("DELETE FROM unit_snapshots WHERE hash NOT IN (SELECT hash FROM units)").execute(&world.pool).await?;
    let (_, skipped) = json_of(&world, &["explain", id])?;
    assert_eq!(skipped["sync"]["compared_with"], Value::Null, "{skipped:#}");
    let words = skipped["words"].to_string();
    assert!(words.contains(told) && !words.contains("had all of it"), "{words}");
    drop(service);
    world.close().await
}

/// What the mapping leaves out, the channel has not refused: not of a sync that it refused for something else either.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_left_out_is_not_told_to_be_refused_at_any_door() -> anyhow::Result<()> {
    let world = World::new(&[7869]).await?;
    let target = world.target(7869, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let viewer = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    let (_, told) = json_of(&world, &["explain", &listing])?;
    let external = told["listing"]["external_id"].as_str().context("an id")?.to_owned();
    by_hand(&world, 7869, Method::DELETE, &format!("/listings/{external}"), &json!({})).await?;
    let mut without_photos = priced("villa-000", 2, 5_500);
    without_photos["unit"]["photos"] = json!([]);
    published(&world, without_photos).await?;
    let (_, told) = json_of(&world, &["explain", &listing])?;
    assert_eq!(told["sync"]["outcome"], "rejected", "{told:#}");
    assert!(told["words"].to_string().contains("  left out: unit.photos: no photo is usable"), "{told:#}");
    let sync = told["sync"]["sync_id"].as_str().context("a sync")?;
    // A part of which only a newer build knows the section hides no other one.
    let newer = json!([{ "section": "reviews", "part": "unit.reviews", "value": "", "reason": "of a newer build" }]);
    for table in ["channel_listings", "outbound_audit"] {
        let statement = format!("UPDATE {table} SET rejected = $1 || rejected WHERE rejected <> '[]'");
        let written = sqlx::query(&statement).bind(&newer).execute(&world.pool).await?;
        assert_ne!(written.rows_affected(), 0, "{table}");
    }

    let page = viewer.get(&format!("/listings/{listing}")).await?.expect(200)?.text;
    assert!(page.contains("<code>unit.photos</code> left out: no photo is usable"), "{page}");
    assert!(page.contains("1 part is left out") && page.contains("1 part was left out"), "{page}");
    for (arguments, says) in [
        (["listing", "show", &listing], "left out  images   unit.photos"),
        (["listing", "history", &listing], "1 part left out"),
        (["audit", "show", sync], "left out  unit.photos of images"),
        (["audit", "tail", "-n9"], "1 part left out"),
    ] {
        let (code, printed, said) = world.run(&arguments)?;
        let has = printed.split_whitespace().collect::<Vec<_>>().join(" ");
        let says = says.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(code == 0 && has.contains(&says), "{arguments:?}: {printed}{said}");
        assert!(!has.contains("part refused") && !has.contains("refused parts"), "{printed}");
    }
    drop(service);
    world.close().await
}
