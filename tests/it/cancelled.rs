//! A sync that was cancelled is the last one of its listing at every door, and each says when it ended, why, and by whom.

use std::time::Duration;

use anyhow::Context;
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::unit::{names, unit};
use end_to_end::wait::wait_until;
use end_to_end::world::{ORG, World};
use serde_json::{Value, json};

use crate::metrics::{shown, value};
use crate::why::{json_of, listed, priced, published};

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_ended_with_its_target_is_the_last_one_at_every_door() -> anyhow::Result<()> {
    let world = World::new(&[7814]).await?;
    let target = world.target(7814, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve_with("", &["--metrics-listen", "127.0.0.1:0", "--metrics-interval-s", "1"])?;
    let viewer = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    let (_, before) = json_of(&world, &["listing", "show", &listing])?;
    assert_eq!(before["last_outcome"], "accepted", "{before}");

    let target = target.to_string();
    let (code, _, said) = world.run(&["target", "pause", &target, "--reason", "works on the roof"])?;
    assert_eq!(code, 0, "{said}");
    world.publish(&[priced("villa-000", 2, 5_500)]).await?;
    world.taken(1, 2).await?;
    world.waits(2).await?;
    let delete = ["--as", "ops@example.org", "target", "delete", &target, "--reason", "moved."];
    let (code, _, said) = world.run(&delete)?;
    assert_eq!(code, 0, "{said}");
    world.drained(Duration::from_secs(30)).await?;

    let (_, told) = json_of(&world, &["explain", &listing])?;
    let sync = &told["sync"];
    let id = sync["sync_id"].as_str().context("a sync")?.to_owned();
    assert_ne!(sync["sync_id"], before["last_sync_id"]);
    let cancelled = json!({ "because": "target_deleted", "by": "ops@example.org" });
    assert_eq!((&sync["outcome"], &sync["cancelled"]), (&json!("cancelled"), &cancelled), "{told:#}");
    assert_eq!((&told["recent"][0]["sync_id"], &told["recent"][0]["outcome"]), (&json!(id), &json!("cancelled")));
    let (_, audited) = json_of(&world, &["audit", "show", &id])?;
    assert_eq!((&sync["ended_at"], &sync["detail"]), (&audited["finished_at"], &audited["detail"]), "{audited}");
    let ended = "Z: cancelled, as ops@example.org deleted its target: moved.";
    let mut words = told["words"].as_array().context("words")?.iter().filter_map(Value::as_str);
    assert!(words.any(|line| line.starts_with("It ended ") && line.ends_with(ended)), "{told:#}");

    let (_, of_listing) = json_of(&world, &["listing", "show", &listing])?;
    let (_, listings) = json_of(&world, &["listing", "list"])?;
    let got = viewer.get(&format!("/api/channels/listings/{listing}")).await?.expect(200)?.json();
    let found = viewer.get("/api/channels/listings?outcome=cancelled").await?.expect(200)?.json();
    for told in [&of_listing, &listings[0], &got, &found["items"][0]] {
        let last = (&told["last_sync_id"], &told["last_outcome"], &told["last_detail"]);
        assert_eq!(last, (&json!(id), &json!("cancelled"), &json!("moved.")), "{told}");
    }
    let none = viewer.get("/api/channels/listings?outcome=accepted").await?.expect(200)?.json();
    assert_eq!(none["items"], json!([]));
    let page = viewer.get(&format!("/listings/{listing}")).await?.expect(200)?.text;
    assert!(page.contains("Why it was cancelled"), "{page}");
    let ended = page.split_once("id=\"event-target-deleted\"").context("the timeline has its end")?.1;
    let ended = ended.split("</li>").next().unwrap_or_default();
    assert!(ended.contains("by ops@example.org") && ended.contains("Its target was deleted: moved."), "{ended}");
    assert!(ended.contains(&format!("/syncs/{id}")) && ended.contains("is cancelled"), "{ended}");
    let page = viewer.get(&format!("/syncs/{id}")).await?.expect(200)?.text;
    assert!(page.contains("cancelled, as ops@example.org deleted its target: moved."), "{page}");
    unlinked_after_all(&world, &viewer, &listing, &id).await?;
    let cancelled = |text: &str| value(text, "distribution_syncs_total", &[("outcome", "cancelled")]) == Some(1.0);
    shown(&service, "it is counted", cancelled).await?;
    drop(service);
    world.close().await
}

/// What ended with the target has ended: an unlinking after that cancels nothing.
async fn unlinked_after_all(world: &World, viewer: &Api, listing: &str, id: &str) -> anyhow::Result<()> {
    let (code, _, said) =
        world.run(&["--as", "late@example.org", "listing", "unlink", listing, "--reason", "tidied up"])?;
    assert_eq!(code, 0, "{said}");
    let shown = wait_until("it is unlinked", Duration::from_secs(20), || async {
        let got = viewer.get(&format!("/api/channels/listings/{listing}")).await?.expect(200)?.json();
        Ok(if got["state"] == "unlinked" { Ok(got) } else { Err(got.to_string()) })
    })
    .await?;
    let last = (&shown["last_sync_id"], &shown["last_outcome"], &shown["last_detail"]);
    assert_eq!(last, (&json!(id), &json!("cancelled"), &json!("moved.")), "{shown}");
    let (_, history, _) = world.run(&["listing", "history", listing])?;
    let told: Vec<&str> = history.lines().filter(|line| line.contains("is cancelled")).collect();
    assert!(matches!(told[..], [line] if line.contains(&format!("sync {id} is cancelled: moved."))), "{history}");
    assert!(history.contains("late@example.org") && history.contains("tidied up"), "{history}");
    let (_, events) = json_of(world, &["listing", "history", listing])?;
    let unlinked = events.as_array().and_then(|events| events.last()).context("events")?;
    assert_eq!(unlinked["payload"]["ListingUnlinked"]["cancels"], id, "the event itself names it");
    let sequence = &unlinked["sequence"];
    for (page, times) in [("", 1), ("?before=1000", 0), (&format!("/at/{sequence}")[..], 0)] {
        let page = viewer.get(&format!("/listings/{listing}{page}")).await?.expect(200)?.text;
        assert!(page.contains("Unlinked: tidied up"), "{page}");
        assert_eq!(page.matches("is cancelled").count(), times, "{page}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_timeline_names_the_sync_that_an_unlinking_cancels() -> anyhow::Result<()> {
    let world = World::new(&[7813]).await?;
    let target = world.target(7813, RateLimit::new(100, 1_000)?).await?;
    // No dispatcher: the link's sync waits.
    let service = world.serve("intake,relay,projector,api")?;
    let viewer = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    let listing = world.link(target, &names(1)).await?[0].to_string();
    world.waits(1).await?;
    let (code, _, said) = world.run(&["listing", "unlink", &listing, "--reason", "sold"])?;
    assert_eq!(code, 0, "{said}");
    let id = wait_until("it is cancelled", Duration::from_secs(20), || async {
        let (_, shown) = json_of(&world, &["listing", "show", &listing])?;
        let id = shown["last_sync_id"].as_str().map(str::to_owned);
        Ok(id.filter(|_| shown["last_outcome"] == "cancelled").ok_or(shown.to_string()))
    })
    .await?;
    let page = viewer.get(&format!("/listings/{listing}")).await?.expect(200)?.text;
    let unlinked = page.split_once("Unlinked: sold").context("the timeline tells of it")?.1;
    let unlinked = unlinked.split("</li>").next().unwrap_or_default();
    assert!(unlinked.contains(&format!("/syncs/{id}")) && unlinked.contains("is cancelled"), "{unlinked}");
    drop(service);
    world.close().await
}

/// Old rows of the audit may be deleted: what the listing itself knows of its last sync is told then.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_sync_of_a_deleted_target_is_told_without_its_row_in_the_audit_too() -> anyhow::Result<()> {
    let world = World::new(&[7817]).await?;
    let target = world.target(7817, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    let refusing = json!({ "kind": "status", "code": 422, "account": 7817, "method": "PUT" });
    world.sandbox.fault(refusing).await?;
    published(&world, priced("villa-000", 2, 5_500)).await?;
    let last = |shown: &Value| ["last_sync_id", "last_outcome", "last_detail"].map(|field| shown[field].clone());
    let (_, shown) = json_of(&world, &["listing", "show", &listing])?;
    let before = last(&shown);
    assert!(before[1] == "rejected" && before[2].is_string(), "{shown}");
    let (code, _, said) = world.run(&["target", "delete", &target.to_string(), "--reason", "moved"])?;
    assert_eq!(code, 0, "{said}");
    world.drained(Duration::from_secs(30)).await?;
    for rows in ["outbound_attempts", "outbound_audit"] {
        sqlx::query(&format!("DELETE FROM {rows}")).execute(&world.pool).await?;
    }
    let (_, shown) = json_of(&world, &["listing", "show", &listing])?;
    assert_eq!((&shown["state"], last(&shown)), (&json!("target_deleted"), before), "{shown}");
    drop(service);
    world.close().await
}

/// The audit keeps it also of a sync that the channel took after all.
#[tokio::test(flavor = "multi_thread")]
async fn who_took_a_syncs_place_is_shown_of_one_that_was_superseded_alone() -> anyhow::Result<()> {
    let world = World::new(&[7818]).await?;
    let target = world.target(7818, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let viewer = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    let (_, shown) = json_of(&world, &["listing", "show", &listing])?;
    let id = shown["last_sync_id"].as_str().context("a sync")?;
    for (outcome, is_shown) in [("accepted", false), ("superseded", true)] {
        let later = "UPDATE outbound_audit SET outcome = $1, superseded_by = listing_id";
        sqlx::query(later).bind(outcome).execute(&world.pool).await?;
        let page = viewer.get(&format!("/syncs/{id}")).await?.expect(200)?.text;
        assert_eq!(page.contains("What took its place"), is_shown, "{page}");
        let (_, printed, _) = world.run(&["audit", "show", id])?;
        let mut lines = printed.lines().filter(|line| line.starts_with("superseded by"));
        assert_eq!(lines.any(|line| line.contains(&listing)), is_shown, "{printed}");
    }
    drop(service);
    world.close().await
}
