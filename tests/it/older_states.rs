//! A state of the past that somebody sent again, and what the channel took of it: told by explain and by the page of the listing as a
//! preview finds it.

use std::time::Duration;

use anyhow::Context;
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::world::{ORG, World};
use reqwest::Method;
use serde_json::{Value, json};

use crate::why::{json_of, listed, priced, published};

/// Nothing brings a channel up to date by itself to which somebody has sent a state of the past: whoever looks is told so.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_of_the_past_that_was_sent_again_is_told_until_something_newer_is_sent() -> anyhow::Result<()> {
    let world = World::new(&[7809]).await?;
    let target = world.target(7809, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let viewer = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    let (_, first) = json_of(&world, &["explain", &listing])?;
    let snapshot = first["sync"]["snapshot"].as_str().context("a snapshot")?.to_owned();
    let page = format!("/listings/{listing}");
    let path = format!("/api/channels{page}/explain");
    let replay = ["listing", "replay", &listing, "--snapshot", &snapshot, "--reason", "the prices were wrong."];
    let sync = ["listing", "sync", &listing, "--reason", "they are right"];
    // The newest state is no older one, whoever sends it once more.
    for (resend, is_behind) in [(&replay[..], false), (&replay[..], true), (&sync[..], false)] {
        if is_behind {
            published(&world, priced("villa-000", 2, 5_500)).await?;
        }
        let (code, _, said) = world.run(&[&["--as", "ops@example.org"][..], resend].concat())?;
        assert_eq!(code, 0, "{said}");
        world.drained(Duration::from_secs(30)).await?;
        let (_, told) = json_of(&world, &["explain", &listing])?;
        let api = viewer.get(&path).await?.expect(200)?.json();
        assert_eq!(told["older_state"], api["older_state"]);
        let (words, page) = (told["words"].to_string(), viewer.get(&page).await?.expect(200)?.text);
        let begins = "The channel has content as in revision 1 of the unit, replayed by ops@example.org at ";
        for text in [&words, &page] {
            let tells = text.contains(begins) && text.contains("brings it up to date.");
            assert_eq!(tells, is_behind, "{text}");
        }
        assert_eq!(page.contains("the channel has what was asked for"), !is_behind, "{page}");
        let list = viewer.get("/listings").await?.expect(200)?.text;
        let (_, shown, _) = world.run(&["listing", "show", &listing])?;
        let (_, listed, _) = world.run(&["listing", "list"])?;
        for text in [&page, &list, &shown, &listed] {
            assert_eq!(text.contains("1 of 2, replayed"), is_behind, "{text}");
        }
        if !is_behind {
            assert_eq!(told["older_state"], Value::Null, "{told:#}");
            continue;
        }
        let older = &told["older_state"];
        assert_eq!((&older["revision"], &older["newest_revision"]), (&json!(1), &json!(2)), "{older}");
        assert_eq!((&older["by"], &older["reason"]), (&json!("ops@example.org"), &json!("the prices were wrong.")));
        assert_eq!((&older["sync_id"], &older["at"]), (&told["sync"]["sync_id"], &told["sync"]["requested_at"]));
        assert!(words.contains("(the prices were wrong), while the newest is 2; "), "{words}");
        let (_, preview) = json_of(&world, &["listing", "preview", &listing])?;
        assert_eq!((&preview["revision"], &preview["sections"]), (&json!(2), &json!(["content"])), "{preview}");
        assert_eq!(older["sections"], preview["sections"], "{older}");
    }
    drop(service);
    world.close().await
}

/// The channel has of a state of the past what it took, and nobody is behind where nothing differs; what it refused is told as that.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_of_the_past_is_told_section_by_section_as_a_preview_finds_it() -> anyhow::Result<()> {
    let world = World::new(&[7811]).await?;
    let target = world.target(7811, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let viewer = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    let snapshot_of = |told: &Value| told["sync"]["snapshot"].as_str().unwrap_or_default().to_owned();
    let first = snapshot_of(&json_of(&world, &["explain", &listing])?.1);
    let second = |revision: u64| {
        let mut message = priced("villa-000", revision, 5_500);
        message["unit"]["calendar"][0]["available"] = json!(false);
        message
    };
    published(&world, second(2)).await?;
    let newest = snapshot_of(&json_of(&world, &["explain", &listing])?.1);
    let refusing = |part: &str, path: &str, count: u64| json!({ "kind": "status", "code": 400, "method": "PUT", part: path, "count": count });
    let replay = |snapshot: &str| ["listing", "replay", &listing, "--snapshot", snapshot].map(str::to_owned).to_vec();
    let sync = ["listing", "sync", &listing].map(str::to_owned).to_vec();
    let (both, nothing) = (json!(["availability", "content"]), json!([]));
    // What the channel refuses and what is sent; then what a preview would send, and what is told of it.
    let steps = [
        // The first and the fourth call carry two sections, which are sent apart after that; the photos get through.
        (
            Some(refusing("path_prefix", "/v1/listings/", 5)),
            replay(&first),
            &both,
            Value::Null,
            json!({ "sections": both, "parts_of": ["rates"], "in_doubt": [] }),
        ),
        (
            Some(refusing("path_pattern", "/v1/listings/*", 2)),
            replay(&first),
            &both,
            json!(["availability"]),
            json!({ "sections": ["content"], "parts_of": [], "in_doubt": [] }),
        ),
        (None, sync, &nothing, Value::Null, Value::Null),
        (None, replay(&newest), &nothing, Value::Null, Value::Null),
    ];
    for (step, (fault, resend, differs, older, lacking)) in steps.into_iter().enumerate() {
        if step == 3 {
            published(&world, second(3)).await?;
        }
        if let Some(fault) = fault {
            world.sandbox.fault(fault).await?;
        }
        let arguments: Vec<&str> = resend.iter().map(String::as_str).chain(["--reason", "a look back"]).collect();
        let (code, _, said) = world.run(&arguments)?;
        assert_eq!(code, 0, "{said}");
        world.drained(Duration::from_secs(30)).await?;
        let (_, told) = json_of(&world, &["explain", &listing])?;
        let (_, preview) = json_of(&world, &["listing", "preview", &listing])?;
        assert_eq!(preview["sections"], *differs, "step {step}: {told:#}");
        assert_eq!((&told["older_state"]["sections"], &told["lacking"]), (&older, &lacking), "step {step}: {told:#}");
        let api = viewer.get(&format!("/api/channels/listings/{listing}/explain")).await?.expect(200)?.json();
        assert_eq!((&api["older_state"], &api["lacking"]), (&told["older_state"], &told["lacking"]), "step {step}");
        let page = viewer.get(&format!("/listings/{listing}")).await?.expect(200)?.text;
        let (_, shown) = json_of(&world, &["listing", "show", &listing])?;
        assert_eq!((&shown["accepted_snapshot"], &shown["lacking"]), (&told["sync"]["snapshot"], &lacking), "{shown}");
        let (_, shown, _) = world.run(&["listing", "show", &listing])?;
        let names = lacking["sections"].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>();
        assert_eq!(shown.contains(&format!(", but for {}\n", names.join(", "))), !lacking.is_null(), "{shown}");
        for text in [told["words"].to_string(), page.clone()] {
            let refusal = format!("The channel refused {} of the last sync; ", names.join(", "));
            assert_eq!(text.contains(&refusal), !lacking.is_null(), "step {step}: {text}");
            let behind = "The channel has availability as in revision 1 of the unit, replayed by ";
            assert_eq!(text.contains(behind), !older.is_null(), "step {step}: {text}");
        }
        assert_eq!(page.contains("the channel has what was asked for"), lacking.is_null(), "step {step}: {page}");
    }
    drop(service);
    world.close().await
}

/// A refusal with an answer wrote nothing: nobody has to wonder what the channel has. What is accepted after it is told as it stood
/// when it was sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_of_the_past_that_was_refused_leaves_what_the_channel_took_before() -> anyhow::Result<()> {
    let world = World::new(&[7815]).await?;
    let target = world.target(7815, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let owner = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    let (_, told) = json_of(&world, &["explain", &listing])?;
    let first = told["sync"]["snapshot"].as_str().context("a snapshot")?.to_owned();
    let mut second = priced("villa-000", 2, 5_500);
    second["unit"]["calendar"][0]["available"] = json!(false);
    published(&world, second).await?;
    // Both calls that carry two sections, and those that carry each apart.
    let refusing =
        json!({ "kind": "status", "code": 422, "method": "PUT", "path_prefix": "/v1/listings/", "count": 6 });
    world.sandbox.fault(refusing).await?;
    let replay = ["listing", "replay", &listing, "--snapshot", &first, "--reason", "a look back"];
    let sync = ["listing", "sync", &listing, "--reason", "it takes them again"];
    let path = format!("/api/channels/listings/{listing}");
    let (none, both) = (json!([]), json!(["availability", "content"]));
    for (resend, outcome, refused) in [(&replay[..], "rejected", &both), (&sync[..], "accepted", &none)] {
        let (code, _, said) = world.run(resend)?;
        assert_eq!(code, 0, "{said}");
        world.drained(Duration::from_secs(30)).await?;
        let (_, explained) = json_of(&world, &["explain", &listing])?;
        assert_eq!(explained["sync"]["outcome"], outcome, "{explained:#}");
        let words = explained["words"].to_string();
        let as_a_whole = words.contains("It was refused as a whole.");
        assert!(as_a_whole == (outcome == "rejected") && !words.contains("left out"), "{words}");
        let sync = explained["sync"]["sync_id"].as_str().context("a sync")?;
        let page = owner.get(&format!("/syncs/{sync}")).await?.expect(200)?.text;
        for text in [explained["words"].to_string(), page] {
            let then = text.contains("so it still had what it took of that before when this was sent.");
            assert!(then == (outcome == "accepted") && !text.contains("so it has what it took"), "{text}");
        }
        let (_, preview) = json_of(&world, &["listing", "preview", &listing])?;
        assert_eq!(preview["sections"], *refused, "what was refused is sent again in any case: {preview:#}");
        let previewed = owner.get(&format!("{path}/preview")).await?.expect(200)?.json();
        let (code, drift) = json_of(&world, &["listing", "drift", &listing])?;
        assert_eq!((code, &drift["in_line"]), (0, &json!(true)), "{drift:#}");
        let looked = owner.send(Method::POST, &format!("{path}/drift"), &[], None).await?.expect(200)?.json();
        let is_refused = outcome == "rejected";
        for told in [&preview, &previewed, &drift, &looked] {
            let with = &told["compared_with"];
            let told_of = with["refused"].as_array().context("what was refused")?;
            let sections: Vec<&Value> = told_of.iter().map(|one| &one["section"]).collect();
            assert_eq!((&json!(sections), &with["certain"]), (refused, &json!(true)), "{told:#}");
            assert!(told_of.iter().all(|one| one["certain"] == true), "one object or one interval each: {told:#}");
            let words = told["words"].to_string();
            let says = words.contains("The channel refused content (HTTP 422 at ")
                && words.contains("so it has what it took of that before.");
            assert!(says == is_refused && !words.contains("nobody knows"), "{words}");
        }
        for told in [&drift, &looked] {
            let last = if is_refused { "it took last" } else { "was sent last" };
            assert!(told["words"].to_string().contains(&format!("at the channel is what {last};")), "{told:#}");
        }
        let page = owner.get(&format!("/listings/{listing}/preview")).await?.expect(200)?.text;
        assert_eq!(page.contains("so it has what it took of that before."), is_refused, "{page}");
        assert!(!page.contains("nobody knows what it wrote"), "{page}");
    }
    drop(service);
    world.close().await
}

/// Of a sync that failed the channel has what it took before, and what a deleted target has is nobody's any more.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_lacks_of_a_sync_that_failed_or_with_a_deleted_target_at_any_door() -> anyhow::Result<()> {
    let world = World::new(&[7819]).await?;
    let target = world.target(7819, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let viewer = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    let (_, taken) = json_of(&world, &["listing", "show", &listing])?;
    let refusing = |path: &str, count: u64| json!({ "kind": "status", "code": 422, "method": "PUT", "path_pattern": path, "count": count });
    let sync = ["listing", "sync", &listing, "--reason", "once more"];
    // All of it, together and apart.
    world.sandbox.fault(refusing("/v1/listings/*", 3)).await?;
    world.sandbox.fault(refusing("/v1/listings/*/calendar", 3)).await?;
    for (outcome, has_refused) in [("rejected", true), ("accepted", false)] {
        let (code, _, said) = world.run(&sync)?;
        assert_eq!(code, 0, "{said}");
        world.drained(Duration::from_secs(30)).await?;
        let (_, shown) = json_of(&world, &["listing", "show", &listing])?;
        assert_eq!((&shown["last_outcome"], shown["rejected"] != json!([])), (&json!(outcome), has_refused), "{shown}");
        assert_eq!(shown["accepted_snapshot"], taken["accepted_snapshot"], "{shown}");
        lacks(&world, &viewer, &listing, &Value::Null).await?;
    }
    let mut second = priced("villa-000", 2, 5_500);
    second["unit"]["calendar"][0]["available"] = json!(false);
    world.sandbox.fault(refusing("/v1/listings/*", 1)).await?;
    published(&world, second).await?;
    let refused = json!({ "sections": ["content"], "parts_of": [], "in_doubt": [] });
    let page = lacks(&world, &viewer, &listing, &refused).await?;
    assert!(page.contains("1 part is left out") && page.contains("<code>listing</code>"), "{page}");
    let (code, _, said) = world.run(&["target", "delete", &target.to_string(), "--reason", "moved"])?;
    assert_eq!(code, 0, "{said}");
    world.drained(Duration::from_secs(30)).await?;
    lacks(&world, &viewer, &listing, &Value::Null).await?;
    drop(service);
    world.close().await
}

/// Every door tells the same of what the channel lacks. Gives the page of the listing.
async fn lacks(world: &World, viewer: &Api, listing: &str, lacking: &Value) -> anyhow::Result<String> {
    let (_, told) = json_of(world, &["explain", listing])?;
    let (_, shown) = json_of(world, &["listing", "show", listing])?;
    let api = viewer.get(&format!("/api/channels/listings/{listing}/explain")).await?.expect(200)?.json();
    for told in [&told, &shown, &api] {
        assert_eq!(told["lacking"], *lacking, "{told:#}");
    }
    let page = viewer.get(&format!("/listings/{listing}")).await?.expect(200)?.text;
    for text in [told["words"].to_string(), page.clone()] {
        let says = text.contains("The channel refused content of the last sync;");
        assert_eq!((says, text.contains("something was refused")), (!lacking.is_null(), false), "{text}");
    }
    let (_, printed, _) = world.run(&["listing", "show", listing])?;
    assert_eq!(printed.contains(", but for content\n"), !lacking.is_null(), "{printed}");
    Ok(page)
}

/// A replay that waits is sent next, whatever the newest state of the unit is.
#[tokio::test(flavor = "multi_thread")]
async fn a_preview_shows_the_state_of_the_past_that_waits_to_be_sent() -> anyhow::Result<()> {
    let world = World::new(&[7823]).await?;
    let target = world.target(7823, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let owner = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    let (_, first) = json_of(&world, &["explain", &listing])?;
    let snapshot = first["sync"]["snapshot"].as_str().context("a snapshot")?.to_owned();
    published(&world, priced("villa-000", 2, 5_500)).await?;
    let (code, _, said) = world.run(&["listing", "pause", &listing, "--reason", "works on the roof"])?;
    assert_eq!(code, 0, "{said}");
    let replay = ["listing", "replay", &listing, "--snapshot", &snapshot, "--reason", "wrong"];
    let (_, replayed) = json_of(&world, &[&["--as", "ops@example.org"][..], &replay[..]].concat())?;
    let sync = replayed["sync_id"].as_str().context("a sync")?;

    let path = format!("/api/channels/listings/{listing}/preview");
    let waits = json_of(&world, &["listing", "preview", &listing])?.1;
    let by_api = owner.get(&path).await?.expect(200)?.json();
    for told in [&waits, &by_api] {
        assert_eq!((&told["revision"], &told["snapshot"]), (&json!(1), &json!(snapshot)), "{told:#}");
        assert_eq!((&told["waiting_sync_id"], &told["takes_place_of"]), (&json!(sync), &Value::Null), "{told:#}");
        assert_eq!((&told["forced"], told["sections"].as_array().map(Vec::len)), (&json!(true), Some(4)), "{told:#}");
        let words = told["words"].to_string();
        let tells = format!("That is what sync {sync} waits to send: a state of the past, replayed by ops@example.org");
        assert!(words.contains(&tells) && words.contains("(wrong). The newest revision is 2; "), "{words}");
    }
    // What somebody asks for instead is the newest state, in the place of that.
    let forced = owner.get(&format!("{path}?force=true")).await?.expect(200)?.json();
    assert_eq!((&forced["revision"], &forced["waiting_sync_id"]), (&json!(2), &Value::Null), "{forced:#}");
    assert_eq!(forced["takes_place_of"], json!(sync), "{forced:#}");
    let page = owner.get(&format!("/listings/{listing}/preview")).await?.expect(200)?.text;
    assert!(page.contains("Revision 2 ") && page.contains("It would take the place of sync "), "{page}");

    let (code, _, said) = world.run(&["listing", "resume", &listing])?;
    assert_eq!(code, 0, "{said}");
    world.drained(Duration::from_secs(30)).await?;
    let (_, sent) = json_of(&world, &["explain", &listing])?;
    let sent = &sent["sync"];
    assert_eq!((&sent["sync_id"], &sent["differences"]), (&json!(sync), &waits["differences"]), "{sent:#}");
    let (_, after) = json_of(&world, &["listing", "preview", &listing])?;
    assert_eq!((&after["revision"], &after["sections"]), (&json!(2), &json!(["content"])), "{after:#}");
    assert_eq!((&after["waiting_sync_id"], &after["takes_place_of"]), (&Value::Null, &Value::Null), "{after:#}");
    drop(service);
    world.close().await
}
