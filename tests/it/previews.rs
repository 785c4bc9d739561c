//! Previews: what would keep a sync waiting is said as an explanation says it, and so is what a change leaves out.

use std::time::Duration;

use anyhow::Context;
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::world::{ORG, World};
use serde_json::{Value, json};

use crate::why::{json_of, listed, priced, published};

/// Waits until an explanation says so of what is next, and gives all that it says of it.
async fn explained(world: &World, listing: &str, says: &str) -> anyhow::Result<Value> {
    let mut next = Value::Null;
    for _ in 0..200 {
        next = json_of(world, &["explain", listing])?.1["next"].clone();
        if next.to_string().contains(says) {
            return Ok(next);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("{says}: {next:#}")
}

/// What the command line, the API and the page of a preview say is waited for; with and without that somebody asks for a sync.
async fn previewed(world: &World, viewer: &Api, listing: &str, reason: &str) -> anyhow::Result<()> {
    for force in [false, true] {
        let mut arguments = vec!["listing", "preview", listing];
        arguments.extend(force.then_some("--force"));
        let (_, told) = json_of(world, &arguments)?;
        let path = format!("/api/channels/listings/{listing}/preview?force={force}");
        let same = viewer.get(&path).await?.expect(200)?.json();
        for told in [&told, &same] {
            assert!(told["held"].to_string().contains(reason), "{reason}: {told:#}");
            assert!(told["words"].to_string().contains(&format!(": {reason}")), "{told:#}");
        }
    }
    let page = viewer.get(&format!("/listings/{listing}/preview")).await?.expect(200)?.text;
    // A page shows times and syncs as what they are.
    let beginning = reason.split(" until").next().and_then(|words| words.split(" of sync").next()).unwrap_or_default();
    assert!(page.contains(beginning), "{beginning}: {page}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_names_what_an_explanation_says_that_is_waited_for() -> anyhow::Result<()> {
    let world = World::new(&[7863]).await?;
    let target = world.target(7863, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let viewer = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    let (_, told) = json_of(&world, &["listing", "preview", &listing, "--force"])?;
    assert_eq!(told["held"], json!([]), "{told:#}");

    // An attempt is under way.
    let put = |kind: &str| json!({ "kind": kind, "account": 7863, "method": "PUT", "path_prefix": "/v1/listings" });
    let held = world.sandbox.fault_rule(&put("hold")).await?;
    world.publish(&[priced("villa-000", 2, 5_500)]).await?;
    world.taken(1, 2).await?;
    let next = explained(&world, &listing, "under_way").await?;
    let sync = next["sync_id"].as_str().unwrap_or_default().to_owned();
    previewed(&world, &viewer, &listing, &format!("an attempt of sync {sync} is under way")).await?;
    let (_, told) = json_of(&world, &["listing", "preview", &listing])?;
    assert!(told["words"].to_string().contains("It is being sent: an attempt of sync"), "{told:#}");
    world.sandbox.mend(held).await?;
    world.drained(Duration::from_secs(30)).await?;

    // The channel has paused the account.
    let mut refusing = put("rate_limited");
    refusing["retry_after_s"] = json!(15);
    refusing["count"] = json!(1);
    world.sandbox.fault(refusing).await?;
    world.publish(&[priced("villa-000", 3, 6_000)]).await?;
    world.taken(1, 3).await?;
    let next = explained(&world, &listing, "the channel has the account paused until").await?;
    let because = next["because"].as_array().cloned().unwrap_or_default();
    let pause = because.iter().filter_map(Value::as_str).find(|reason| reason.contains("paused until"));
    previewed(&world, &viewer, &listing, pause.unwrap_or_default()).await?;
    world.drained(Duration::from_secs(60)).await?;

    // The circuit of the target is open, also where nothing waits yet.
    for statement in [
        "INSERT INTO dispatch_checks (target_id, due_at) VALUES ($1, now() + interval '1 hour')
         ON CONFLICT (target_id) DO UPDATE SET due_at = excluded.due_at",
        "INSERT INTO dispatch_circuits (target_id, failures, opened) VALUES ($1, 7, 1)",
    ] {
        sqlx::query(statement).bind(target.0).execute(&world.pool).await?;
    }
    previewed(&world, &viewer, &listing, "7 attempts and checks of the target failed in a row").await?;
    drop(service);
    world.close().await
}

/// The attempt's own intent is no doubt: it has looked for the listing already, and nothing ended unknown.
#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_is_being_created_is_not_told_to_be_in_doubt() -> anyhow::Result<()> {
    let world = World::new(&[7876]).await?;
    let target = world.target(7876, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let holding = json!({ "kind": "hold", "account": 7876, "method": "POST", "path_pattern": "/v1/listings" });
    let held = world.sandbox.fault_rule(&holding).await?;
    world.publish(&[priced("villa-000", 1, 4_000)]).await?;
    world.taken(1, 1).await?;
    let listing = world.link(target, &["villa-000".to_owned()]).await?[0].to_string();
    let on_its_way = "a creation of it may still be on its way";
    let next = explained(&world, &listing, on_its_way).await?;
    assert_eq!((&next["step"], &next["because"]), (&json!("under_way"), &json!([on_its_way])), "{next:#}");
    let (_, told) = json_of(&world, &["listing", "preview", &listing])?;
    assert!(told["held"].to_string().contains(on_its_way), "{told:#}");
    world.sandbox.mend(held).await?;
    world.drained(Duration::from_secs(30)).await?;
    drop(service);
    world.close().await
}

/// What is said of what stays, in JSON, in words and on a page, whichever door it is.
fn stays(told: &Value, page: &str) -> anyhow::Result<()> {
    let range = json!({ "first": "2030-01-06", "last": "2030-01-10", "count": 5 });
    let nights = json!({ "first": "2030-01-06", "last": "2030-01-10", "count": 5, "ranges": [range] });
    let amenities = json!([{ "path": "listing.listingAmenities", "rows": 6 }]);
    let wanted = json!([
        { "section": "availability", "nights": nights }, { "section": "rates", "nights": nights },
        { "section": "content", "fields": amenities },
    ]);
    anyhow::ensure!(told["stays"] == wanted && told["differences"] == json!([]), "{told:#}");
    for line in [
        "availability: 5 nights (2030-01-06 to 2030-01-10) are not told of any more and stay at the channel",
        "content: listing.listingAmenities (6 rows) is not told of any more and stays at the channel",
    ] {
        anyhow::ensure!(page.contains(line), "{line}: {page}");
    }
    Ok(())
}

/// Nights in no range, and a list that is left out, stay at the channel: nobody is told that they are gone, nor that they
/// are new when they are told of again.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_change_leaves_out_is_told_to_stay_at_every_door() -> anyhow::Result<()> {
    let world = World::new(&[7865]).await?;
    let target = world.target(7865, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let viewer = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    let first = json_of(&world, &["explain", &listing])?.1["sync"]["sync_id"].as_str().context("a sync")?.to_owned();
    let (code, _, said) = world.run(&["listing", "pause", &listing, "--reason", "a look first"])?;
    assert_eq!(code, 0, "{said}");
    let mut fewer = priced("villa-000", 2, 4_000);
    fewer["unit"]["calendar"][0]["last_night"] = json!("2030-01-05");
    fewer["unit"]["amenities"] = json!(["moon_bounce"]);
    world.publish(&[fewer.clone()]).await?;
    world.taken(1, 2).await?;
    let path = format!("/api/channels/listings/{listing}/preview");
    let (_, preview) = json_of(&world, &["listing", "preview", &listing])?;
    let page = viewer.get(&format!("/listings/{listing}/preview")).await?.expect(200)?.text;
    stays(&preview, &page)?;
    stays(&viewer.get(&path).await?.expect(200)?.json(), &preview["words"].to_string())?;

    let (code, _, said) = world.run(&["listing", "resume", &listing])?;
    assert_eq!(code, 0, "{said}");
    world.drained(Duration::from_secs(30)).await?;
    let (_, explained) = json_of(&world, &["explain", &listing])?;
    let sync = explained["sync"]["sync_id"].as_str().context("a sync")?;
    let page_of_sync = viewer.get(&format!("/syncs/{sync}")).await?.expect(200)?.text;
    stays(&explained["sync"], &page_of_sync)?;
    stays(&explained["sync"], &explained["words"].to_string())?;
    for words in [preview["words"].to_string(), explained["words"].to_string()] {
        for told in [
            "Nothing differs from what the channel took last.",
            "availability, rates, content go out all the same: a section is sent when its hash differs",
            "left out: unit.amenities[0] (moon_bounce): ",
        ] {
            assert!(words.contains(told) && !words.contains(": gone, was"), "{told}: {words}");
        }
    }
    let external: u64 = explained["listing"]["external_id"].as_str().context("an id")?.parse()?;
    let nights = world.sandbox.nights(7865, external, "2030-01-06", "2030-01-10").await?;
    assert!(nights.len() == 5 && nights.iter().all(|night| night["isAvailable"] == 1), "{nights:?}");
    told_of_again(&world, &viewer, &listing, &first).await?;

    // Without a calendar there is no section to send, and that is told in the same way.
    let mut none = fewer;
    none["revision"] = json!(3);
    none["unit"]["calendar"] = json!([]);
    published(&world, none).await?;
    let (_, skipped) = json_of(&world, &["explain", &listing])?;
    let (sync, words) = (&skipped["sync"], skipped["words"].to_string());
    assert_eq!((&sync["outcome"], &sync["differences"]), (&json!("skipped_unchanged"), &json!([])), "{skipped:#}");
    let stays = sync["stays"].as_array().context("what stays")?;
    let counts: Vec<_> = stays.iter().map(|one| &one["nights"]["count"]).collect();
    assert_eq!(counts, [&json!(5), &json!(5)], "{sync:#}");
    assert!(words.contains("rates: 5 nights (2030-01-01 to 2030-01-05) are not told of any more"), "{words}");
    assert!(!words.contains("all the same"), "nothing is sent: {words}");
    drop(service);
    world.close().await
}

/// A state of the past that tells of the nights again brings nothing new, and whoever travels in time is told that they
/// were there.
async fn told_of_again(world: &World, viewer: &Api, listing: &str, first: &str) -> anyhow::Result<()> {
    let path = format!("/api/channels/listings/{listing}/preview?sync_id={first}");
    let again = viewer.get(&path).await?.expect(200)?.json();
    let (field, words) = (&again["differences"][0]["fields"][0], again["words"].to_string());
    assert_eq!((&field["change"], &field["nights"]["count"]), (&json!("added"), &json!(5)), "{again:#}");
    let told = "calendar[2030-01-06..2030-01-10].isAvailable, 5 nights: told of now, 1";
    assert!(words.contains(told) && !words.contains(": new, "), "{words}");
    let newest = "SELECT max(sequence) FROM events WHERE aggregate_type = 'ChannelListing'";
    let at = world.count(newest).await?;
    let page = viewer.get(&format!("/listings/{listing}/at/{at}")).await?.expect(200)?.text;
    assert_eq!(page.matches("Nights in no range of this stayed as they were").count(), 2, "{page}");
    assert!(page.contains("A field that this leaves out stayed as it was"), "{page}");
    // Who may not send it sees what that would change.
    let at = world.count("SELECT min(sequence) FROM events WHERE event_type = 'SyncAccepted'").await?;
    let page = viewer.get(&format!("/listings/{listing}/at/{at}")).await?.expect(200)?.text;
    assert!(page.contains("<span class=\"quiet\">not told of</span>"), "{page}");
    Ok(())
}
