//! A listing that is gone at its channel: no change of its unit comes through any more, and every door says what helps.

use std::time::Duration;

use anyhow::Context;
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::world::{ACCOUNT, ORG, World};
use reqwest::Method;
use serde_json::{Value, json};

use crate::why::{by_hand, json_of, listed, on_a_page, priced, published};

/// Of a preview.
fn gone_is_told_first(would: &Value) {
    assert_eq!(would["gone"], json!(true), "{would:#}");
    let first = would["words"][0].as_str().unwrap_or_default();
    assert!(first.starts_with("The newest sync that has ended found it gone at the channel"), "{would:#}");
    assert!(!would["words"].to_string().contains("the channel has all of"), "{would:#}");
}

/// A sync that waits has found nothing yet: what the one before it found stands at every door.
async fn is_told_of_one_that_waits(world: &World, viewer: &Api, listing: &str, remedy: &str) -> anyhow::Result<()> {
    let (code, _, said) = world.run(&["listing", "pause", listing, "--reason", "a look first"])?;
    assert_eq!(code, 0, "{said}");
    world.publish(&[priced("villa-000", 3, 6_000)]).await?;
    world.taken(1, 3).await?;
    let would = viewer.get(&format!("/api/channels/listings/{listing}/preview")).await?.expect(200)?.json();
    assert!(would["waiting_sync_id"].is_string(), "{would:#}");
    gone_is_told_first(&would);
    let (_, told) = json_of(world, &["explain", listing])?;
    assert_eq!(told["next"]["step"], json!("held"), "{told:#}");
    // Also under the heading of another sync.
    let that = "It is gone at the channel. So that one is refused in the same way, unless it is there again by then: ";
    for told in [&told["next"]["what_to_do"], &told["words"]] {
        let last = told.as_array().and_then(|lines| lines.last()?.as_str()).unwrap_or_default();
        assert!(last.starts_with(that) && last.contains(remedy), "{told:#}");
    }
    let page = viewer.get(&format!("/listings/{listing}")).await?.expect(200)?.text;
    assert!(page.contains(that) && page.contains(&on_a_page(remedy)), "{page}");
    // Of a unit that is elsewhere it is told what helps that, and not to link the listing once more.
    for (revision, account) in [(4, "lombok"), (5, ACCOUNT)] {
        let mut moved = priced("villa-000", revision, 6_000);
        moved["account_id"] = json!(account);
        world.publish(&[moved]).await?;
        world.taken(1, i64::try_from(revision)?).await?;
        let is_elsewhere = account != ACCOUNT;
        let (_, told) = json_of(world, &["explain", listing])?;
        assert_eq!(told["elsewhere"].is_object(), is_elsewhere, "{told:#}");
        assert_eq!(told["next"]["what_to_do"] == json!([]), is_elsewhere, "{told:#}");
        let page = viewer.get(&format!("/listings/{listing}")).await?.expect(200)?.text;
        assert_eq!(page.contains(that), !is_elsewhere, "{page}");
    }
    let (code, _, said) = world.run(&["listing", "resume", listing])?;
    assert_eq!(code, 0, "{said}");
    world.drained(Duration::from_secs(30)).await
}

/// What is left in old calls is the id that was there before.
async fn is_found_by_its_former_id(world: &World, viewer: &Api, listing: &str, former: &str) -> anyhow::Result<()> {
    let (code, told) = json_of(world, &["explain", former])?;
    assert_eq!((code, &told["listing"]["listing_id"]), (0, &json!(listing)), "{told:#}");
    assert_ne!(told["listing"]["external_id"], json!(former), "{told:#}");
    let second = told["words"][1].as_str().unwrap_or_default();
    let was = format!("{former} was its listing at the channel until it was linked again at 20");
    assert!(second.starts_with(&was), "{told:#}");
    let search = format!("/search?q={former}");
    let (path, before) = (format!("/listings/{listing}"), "Listings that had this id at the channel before");
    for (of, finds) in [(ORG, true), ("elsewhere", false)] {
        let page = viewer.as_caller(world, of, None, "viewer")?.get(&search).await?.expect(200)?.text;
        assert_eq!((page.contains(&path), page.contains(before)), (finds, finds), "{page}");
        assert_eq!(page.contains("Nothing found"), !finds, "{page}");
    }
    let elsewhere = viewer.as_caller(world, ORG, Some("lombok"), "viewer")?.get(&search).await?.expect(200)?.text;
    assert!(elsewhere.contains("Nothing found") && !elsewhere.contains(&path), "{elsewhere}");

    // Where the journal is slow, the page has the rest; what no channel gives as an id is not looked for in it.
    let slow = "CREATE POLICY slow ON events AS RESTRICTIVE FOR SELECT TO distribution_reader
        USING ((SELECT true FROM pg_sleep(3)))";
    sqlx::query(slow).execute(&world.pool).await?;
    for (text, is_looked_for) in [(former, true), ("nobody", false)] {
        let page = viewer.get(&format!("/search?q={text}")).await?.expect(200)?.text;
        assert_eq!(page.contains("could not be looked through now"), is_looked_for, "{page}");
        assert!(page.contains("Nothing found") && !page.contains(&path), "{page}");
    }
    sqlx::query("DROP POLICY slow ON events").execute(&world.pool).await?;
    Ok(())
}

/// What was told late does not take the moment away, and of several each is told to have had it. Nobody serves meanwhile: the rows are made up.
async fn was_had_by_several(world: &World, listing: &str, former: &str) -> anyhow::Result<()> {
    let copied = |of: &str, sequence: &str, event_type: &str, payload: &str| {
        format!(
            "INSERT INTO events (event_id, org_id, account_id, aggregate_type, aggregate_id, sequence, event_type,
                 event_version, payload, metadata)
             SELECT gen_random_uuid(), org_id, account_id, aggregate_type, '{of}', {sequence}, '{event_type}',
                 event_version, {payload}, metadata
             FROM events WHERE aggregate_id = '{listing}' AND event_type = 'SyncAccepted' ORDER BY sequence LIMIT 1"
        )
    };
    let next = format!("(SELECT max(sequence) + 1 FROM events WHERE aggregate_id = '{listing}')");
    let late = "json_build_object('LateAttemptRecorded',
        json_build_object('attempt', payload #> '{SyncAccepted,attempt}', 'class', NULL))";
    sqlx::query(&copied(listing, &next, "LateAttemptRecorded", late)).execute(&world.pool).await?;
    let (code, told) = json_of(world, &["explain", former])?;
    let was = format!("{former} was its listing at the channel until it was linked again at 20");
    assert!(code == 0 && told["words"][1].as_str().is_some_and(|words| words.starts_with(&was)), "{told:#}");

    let twin = "0190b5a0-0000-7000-8000-000000000001";
    let made = format!(
        "INSERT INTO channel_listings SELECT twin.* FROM channel_listings AS l, LATERAL jsonb_populate_record(
             l, jsonb_build_object('listing_id', '{twin}', 'unit_id', 'villa-twin')) AS twin"
    );
    sqlx::query(&made).execute(&world.pool).await?;
    sqlx::query(&copied(twin, "1", "SyncAccepted", "payload")).execute(&world.pool).await?;
    let (code, told, said) = world.run(&["explain", former])?;
    let words = format!("{former} was the id of several listings at the channel before they were linked again;");
    assert!(code == 0 && told.starts_with(&words) && told.contains(twin) && told.contains(listing), "{told}{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_helps_a_listing_that_is_gone_is_said_at_every_door_and_helps() -> anyhow::Result<()> {
    let world = World::new(&[7826]).await?;
    let target = world.target(7826, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let viewer = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    let preview = format!("/api/channels/listings/{listing}/preview");
    assert_eq!(viewer.get(&preview).await?.expect(200)?.json()["gone"], json!(false));
    let (_, told) = json_of(&world, &["explain", &listing])?;
    let external = told["listing"]["external_id"].as_str().context("an id")?.to_owned();
    by_hand(&world, 7826, Method::DELETE, &format!("/listings/{external}"), &json!({})).await?;
    // What it took before is the same, and that is not there any more.
    let (code, _, said) = world.run(&["listing", "sync", &listing, "--reason", "is it there?"])?;
    assert_eq!(code, 0, "{said}");
    world.drained(Duration::from_secs(30)).await?;
    gone_is_told_first(&viewer.get(&preview).await?.expect(200)?.json());
    published(&world, priced("villa-000", 2, 5_500)).await?;

    let unlink = format!("`distribution listing unlink {listing}`, then ");
    let link = format!("`distribution listing link --target {target} --unit villa-000 --afresh` has it looked for");
    let remedy = unlink + &link;
    let (_, told) = json_of(&world, &["explain", &listing])?;
    assert_eq!((&told["sync"]["outcome"], &told["next"]["step"]), (&json!("rejected"), &json!("nothing")), "{told:#}");
    assert!(told["next"]["what_to_do"].to_string().contains(&remedy), "{told:#}");
    let words = told["words"].to_string();
    // True to what happens: it is tried again with the next change, and taken where it is there again.
    let until = "Next: nothing, until the unit changes, somebody asks for a sync or it is linked afresh";
    assert!(words.contains(until) && words.contains("unless it is there again by then"), "{words}");
    assert!(words.contains(&remedy), "{words}");
    let page = viewer.get(&format!("/listings/{listing}")).await?.expect(200)?.text;
    assert!(page.contains(&on_a_page(&remedy)) && !page.contains("The next change of the unit is sent"), "{page}");
    assert!(
        page.contains("What the channel took last is not there any more") && !page.contains("No part is left out"),
        "{page}"
    );
    let listings = "/api/channels/listings";
    // With all that these ask for.
    let unlink = format!("Over HTTP it is `DELETE {listings}/{listing}` with a reason, ");
    let over_http = format!("{unlink}then `POST {listings}` with target_id, unit_id and afresh (or external_id).");
    let look = format!("`distribution listing drift {listing}` tells that");
    assert!(told["next"]["what_to_do"].to_string().contains(&look), "{told:#}");
    assert!(told["next"]["what_to_do"].to_string().contains(&over_http), "{told:#}");
    let would = viewer.get(&preview).await?.expect(200)?.json();
    assert!(would["words"].to_string().contains(&remedy), "{would:#}");
    gone_is_told_first(&would);
    let (_, drift) = json_of(&world, &["listing", "drift", &listing])?;
    assert!(drift["words"].to_string().contains(&remedy), "{drift:#}");
    let (_, shown, _) = world.run(&["listing", "show", &listing])?;
    assert!(shown.contains(&remedy), "{shown}");
    is_told_of_one_that_waits(&world, &viewer, &listing, &remedy).await?;

    let target = target.to_string();
    for arguments in [
        &["listing", "unlink", &listing, "--reason", "gone"][..],
        &["listing", "link", "--target", &target, "--unit", "villa-000", "--afresh"],
    ] {
        let (code, _, said) = world.run(arguments)?;
        assert_eq!(code, 0, "{said}");
    }
    world.drained(Duration::from_secs(30)).await?;
    let (_, told) = json_of(&world, &["explain", &listing])?;
    assert_eq!(told["sync"]["outcome"], "accepted", "{told:#}");
    assert!(!told["words"].to_string().contains("afresh"), "{told:#}");
    assert_eq!(viewer.get(&preview).await?.expect(200)?.json()["gone"], json!(false));
    is_found_by_its_former_id(&world, &viewer, &listing, &external).await?;
    drop(service);
    was_had_by_several(&world, &listing, &external).await?;
    world.close().await
}
