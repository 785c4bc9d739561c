//! A change in the middle of a long text: both sides of it are seen to differ wherever somebody looks, and a secret in one is as masked as in
//! the whole.

use anyhow::Context;
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::unit::described;
use end_to_end::world::{ORG, World};
use serde_json::{Value, json};

use crate::why::{edit, json_of, listed, published};

/// The field that differs, where it is the only one.
fn only(differences: &Value) -> &Value {
    assert_eq!((&differences[0]["count"], &differences[1]), (&json!(1), &Value::Null), "{differences:#}");
    &differences[0]["fields"][0]
}

/// Both sides as they are told, which are no longer than is promised.
fn sides(field: &Value) -> (&str, &str) {
    let (before, after) = (field["before"].as_str().unwrap_or_default(), field["after"].as_str().unwrap_or_default());
    assert_ne!(before, after, "{field:#}");
    assert!([before, after].iter().all(|side| side.chars().count() <= 303), "{field:#}");
    (before, after)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_far_behind_the_beginning_of_a_text_is_seen_at_every_door() -> anyhow::Result<()> {
    let world = World::new(&[7827]).await?;
    let target = world.target(7827, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let viewer = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    let long = "A quiet villa between the rice fields. ".repeat(40);
    let text = |more: &str| format!("{long}The path goes to the beach.{more} Bring shoes.");
    published(&world, described("villa-000", 2, &text(""))).await?;
    published(&world, described("villa-000", 3, &text(" A sentence more."))).await?;

    let (_, told) = json_of(&world, &["explain", &listing])?;
    let field = only(&told["sync"]["differences"]);
    let (before, after) = sides(field);
    assert_eq!((&field["path"], &field["excerpt"]), (&json!("listing.description"), &json!(true)), "{field:#}");
    assert!(before.starts_with('…') && before.ends_with("to the beach. Bring shoes."), "{before}");
    assert!(after.starts_with('…') && after.ends_with("to the beach. A sentence more. Bring shoes."), "{after}");
    let (_, words, _) = world.run(&["explain", &listing])?;
    let line = words.lines().find(|line| line.contains("listing.description: ")).context("the field")?;
    let (was, becomes) = line.split_once(" -> ").context("both sides")?;
    assert!(was.ends_with("to the beach. Bring shoes.\""), "{line}");
    assert!(becomes.ends_with("to the beach. A sentence more. Bring shoes.\""), "{line}");

    let sync = told["sync"]["sync_id"].as_str().context("a sync")?;
    let path = format!("/api/channels/listings/{listing}/explain?sync_id={sync}");
    let same = viewer.get(&path).await?.expect(200)?.json();
    assert_eq!(same["sync"]["differences"], told["sync"]["differences"]);
    let page = viewer.get(&format!("/syncs/{sync}")).await?.expect(200)?.text;
    let marked = "to the beach. <ins>A sentence more. </ins>Bring shoes.";
    assert_eq!(page.matches(marked).count(), 2, "in the excerpt, and in all of it: {page}");
    assert!(page.contains(&format!("{long}The path goes")), "all of it can be seen: {page}");
    // A preview of the state before it shows the same the other way round.
    let before = json_of(&world, &["explain", &listing])?.1["recent"][1]["sync_id"].clone();
    let preview = ["listing", "preview", &listing, "--sync-id", before.as_str().context("a sync")?];
    let (_, preview) = json_of(&world, &preview)?;
    let back = only(&preview["differences"]);
    assert_eq!((&back["before"], &back["after"]), (&field["after"], &field["before"]), "{back:#}");

    // What somebody wrote at the channel is masked before it is cut.
    let external = told["listing"]["external_id"].as_str().context("an id")?;
    let theirs = json!({ "name": "Villa villa-000", "description": text(" Ask for secret-7827 there.") });
    edit(&world, 7827, &format!("/listings/{external}"), &theirs).await?;
    let (code, drift) = json_of(&world, &["listing", "drift", &listing])?;
    let (sent, there) = sides(only(&drift["differences"]));
    assert!(code == 1 && sent.contains("A sentence more.") && there.contains("Ask for ••• there."), "{drift:#}");
    let (_, words, _) = world.run(&["listing", "drift", &listing])?;
    assert!(words.contains("Ask for •••") && !words.contains("secret-7827"), "{words}");
    assert!(!drift.to_string().contains("secret-7827"), "{drift:#}");
    drop(service);
    world.close().await
}
