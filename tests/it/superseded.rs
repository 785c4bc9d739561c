//! A sync whose place another takes while its calls are at the channel: it goes on, the other waits, and all doors say so.

use std::time::{Duration, Instant};

use anyhow::Context;
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::process::Process;
use end_to_end::wait::wait_until;
use end_to_end::world::{ORG, World};
use serde_json::{Value, json};

use crate::metrics::{shown, value};
use crate::why::{json_of, listed, priced};

fn people(told: &Value) -> String {
    let words = told["words"].as_array().cloned().unwrap_or_default();
    words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
}

fn goes_on(told: &Value) -> Value {
    let rules = told["rules"].as_array().cloned().unwrap_or_default();
    let coalesced = rules.into_iter().find(|rule| rule["rule"] == "coalesced_into");
    coalesced.map(|rule| rule["goes_on"].clone()).unwrap_or_default()
}

/// What the audit shows people of a sync; the command line and the API say alike whether it goes on.
async fn audited(world: &World, viewer: &Api, id: &str) -> anyhow::Result<String> {
    let (_, shown) = json_of(world, &["audit", "show", id])?;
    let got = viewer.get(&format!("/api/channels/audit/{id}")).await?.expect(200)?.json();
    let (_, printed, _) = world.run(&["audit", "show", id])?;
    let goes_on = json!(printed.contains("\ngoes on "));
    assert_eq!((&shown["goes_on"], &got["goes_on"]), (&goes_on, &goes_on), "{shown}");
    Ok(printed)
}

/// The second one waited for the attempt of the first to end, and that is what is told of the time.
fn is_told_as_what_the_other_waited_for(world: &World, first: &str, second: &str) -> anyhow::Result<()> {
    let (_, told) = json_of(world, &["explain", second])?;
    let rules = told["rules"].as_array().context("rules")?;
    let waited = rules.iter().find(|rule| rule["rule"] == "waited").context("a wait")?;
    assert_eq!(waited["behind"], json!([first]), "{waited}");
    let (ms, behind_ms) = (waited["ms"].as_i64().unwrap_or(0), waited["behind_ms"].as_i64().unwrap_or(0));
    assert!(behind_ms >= 2_000 && behind_ms <= ms && ms - behind_ms < 1_000, "{waited}");
    let words = people(&told);
    assert!(words.contains(&format!("of that an attempt of sync {first} was under way.")), "{words}");
    assert!(!words.contains("not recorded"), "{words}");
    let (_, told) = json_of(world, &["explain", first])?;
    assert!(!people(&told).contains("was under way"), "it waited for none: {told:#}");
    Ok(())
}

/// The link's sync, the one that was superseded, and the one that took its place ended once each. That the second one came through is
/// its second end.
async fn each_end_is_counted_as_what_it_is(service: &Process) -> anyhow::Result<()> {
    let ends = |text: &str, outcome: &str, again: bool| {
        let of_them: Vec<&str> = text.lines().filter(|line| line.contains("ended_again=\"true\"") == again).collect();
        value(&of_them.join("\n"), "distribution_syncs_total", &[("outcome", outcome)])
    };
    let all = |text: &str| {
        let first = (ends(text, "accepted", false), ends(text, "superseded", false));
        first == (Some(2.0), Some(1.0)) && ends(text, "accepted", true) == Some(1.0)
    };
    shown(service, "each end is counted", all).await.map(|_| ())
}

/// While it is being made, by the page of the listing and by that of the sync.
async fn its_attempt_is_told_alike(viewer: &Api, listing: &str, sync: &str) -> anyhow::Result<()> {
    let made_now = "Attempt 1 of 5 is being made now.";
    let of_listing = viewer.get(&format!("/listings/{listing}")).await?.expect(200)?.text;
    assert!(of_listing.contains(made_now), "{of_listing}");
    let of_sync = viewer.get(&format!("/syncs/{sync}")).await?.expect(200)?.text;
    assert!(of_sync.contains(&format!("<dt>First attempt</dt><dd>{made_now}")), "{of_sync}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_under_way_is_told_of_its_own_sync_and_not_of_the_one_that_took_its_place() -> anyhow::Result<()> {
    let world = World::new(&[7825]).await?;
    let target = world.target(7825, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve_with("", &["--metrics-listen", "127.0.0.1:0", "--metrics-interval-s", "1"])?;
    let viewer = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    // Let go once all was asked. Whoever makes the call waits for twenty seconds.
    let held = json!({ "kind": "hold", "account": 7825, "method": "PUT", "path_prefix": "/v1/listings", "count": 1 });
    let held = world.sandbox.fault_rule(&held).await?;
    world.publish(&[priced("villa-000", 2, 5_500)]).await?;
    world.taken(1, 2).await?;
    wait_until("its call is at the channel", Duration::from_secs(20), || async {
        let arrivals = world.sandbox.arrivals(7825).await?;
        Ok(if arrivals.iter().any(|one| one["status"].is_null()) { Ok(()) } else { Err(format!("{arrivals:?}")) })
    })
    .await?;
    let (_, told) = json_of(&world, &["explain", &listing])?;
    let first = told["sync"]["sync_id"].as_str().context("a sync")?.to_owned();
    assert_eq!((&told["next"]["step"], &told["next"]["sync_id"]), (&json!("under_way"), &json!(first)), "{told:#}");
    its_attempt_is_told_alike(&viewer, &listing, &first).await?;

    world.publish(&[priced("villa-000", 3, 6_000)]).await?;
    world.taken(1, 3).await?;
    let waits_since = Instant::now();
    wait_until("the next change waits", Duration::from_secs(20), || async {
        let queued = world.count("SELECT count(*) FROM sync_queue WHERE revision = 3").await?;
        let superseded = world.count("SELECT count(*) FROM outbound_audit WHERE outcome = 'superseded'").await?;
        Ok(if (queued, superseded) == (1, 1) { Ok(()) } else { Err("the read models do not show it".to_owned()) })
    })
    .await?;
    let (_, newer) = json_of(&world, &["explain", &listing])?;
    let (_, older) = json_of(&world, &["explain", &first])?;
    let (_, queue) = json_of(&world, &["queue"])?;
    let going_on = audited(&world, &viewer, &first).await?;
    let of_listing = viewer.get(&format!("/listings/{listing}")).await?.expect(200)?.text;
    let page = viewer.get(&format!("/syncs/{first}")).await?.expect(200)?.text;
    let ended = world.count("SELECT count(*) FROM dispatch_leases WHERE done").await?;
    assert_eq!(ended, 0, "all of this was asked while the attempt was under way");

    let second = newer["sync"]["sync_id"].as_str().context("a sync")?.to_owned();
    assert_ne!(second, first);
    let next = (&newer["next"]["step"], &newer["next"]["sync_id"]);
    assert_eq!(next, (&json!("after_attempt"), &json!(second)), "{newer:#}");
    let waits = format!(
        "Next: attempt 1 of sync {second}, as soon as no attempt of an earlier sync is under way: a dispatcher took \
         the listing up for sync {first}."
    );
    for told in [&newer, &older] {
        assert!(people(told).ends_with(&waits), "{told:#}");
    }
    assert_eq!((&older["sync"]["outcome"], goes_on(&older)), (&json!("superseded"), json!(true)), "{older:#}");
    let told = going_on.contains("an attempt of it that had begun; how that ends");
    assert!(told && !going_on.contains("\nfinished "), "{going_on}");
    let words = people(&older);
    let stands = format!("Sync {second} took its place. An attempt of this one that had begun goes on");
    assert!(words.contains(&stands) && words.contains("It sends revision 2"), "{words}");
    for untrue in ["before it was sent", "It ended"] {
        assert!(!words.contains(untrue), "{words}");
    }
    assert_eq!(queue["work"][0]["status"], "after an attempt", "{queue}");
    assert!(of_listing.contains("starts as soon as no attempt of an earlier sync is under way"), "{of_listing}");
    assert!(!of_listing.contains("is being made now"), "{of_listing}");
    assert!(page.contains("No call is told yet") && !page.contains("No call was made"), "{page}");
    let of_second = viewer.get(&format!("/syncs/{second}")).await?.expect(200)?.text;
    assert!(!of_second.contains("is being made now"), "{of_second}");

    // So long that what it waited for is told.
    tokio::time::sleep(Duration::from_millis(2_500).saturating_sub(waits_since.elapsed())).await;
    world.sandbox.mend(held).await?;
    world.drained(Duration::from_secs(30)).await?;
    let (_, older) = json_of(&world, &["explain", &first])?;
    assert_eq!((&older["sync"]["outcome"], goes_on(&older)), (&json!("accepted"), json!(false)), "{older:#}");
    let ended = audited(&world, &viewer, &first).await?;
    assert!(!ended.contains("an attempt of it") && ended.contains("\nfinished "), "{ended}");
    let words = people(&older);
    assert!(words.contains("It ended") && !words.contains("goes on"), "{words}");
    let page = viewer.get(&format!("/syncs/{first}")).await?.expect(200)?.text;
    assert!(!page.contains("No call is told yet"), "{page}");
    is_told_as_what_the_other_waited_for(&world, &first, &second)?;
    each_end_is_counted_as_what_it_is(&service).await?;
    drop(service);
    world.close().await
}
