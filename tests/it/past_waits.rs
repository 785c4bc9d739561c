//! A wait that is over: what held it, which window was full meanwhile, and which calls filled that.

use std::time::Duration;

use anyhow::{Context, ensure};
use domain::metadata::Actor;
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::wait::wait_until;
use end_to_end::world::{ORG, World};
use reqwest::Method;
use serde_json::{Value, json};
use services::views::health::check_now;

use crate::why::{json_of, listed, priced, published};

/// A wait that is over is explained by what held it then, whoever let it go.
#[tokio::test(flavor = "multi_thread")]
async fn a_past_wait_is_explained_by_the_pauses_that_held_it() -> anyhow::Result<()> {
    let world = World::new(&[7804]).await?;
    let target = world.target(7804, RateLimit::new(100, 1_000)?).await?;
    let _service = world.serve("")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    let target = target.to_string();
    let (_, first) = json_of(&world, &["explain", &listing])?;
    let holders = |told: &Value| -> Vec<String> {
        let rules = told["rules"].as_array().cloned().unwrap_or_default();
        let held = rules.iter().filter(|rule| rule["rule"] == "held");
        held.map(|rule| rule["holder"].as_str().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(holders(&first), [""; 0], "nothing held it");
    for (revision, kind, id, holder) in
        [(2, "target", &target, "target_paused"), (3, "listing", &listing, "listing_paused")]
    {
        let (code, _, said) = world.run(&[kind, "pause", id, "--reason", "works on the roof"])?;
        assert_eq!(code, 0, "{said}");
        let (_, told) = json_of(&world, &["explain", &listing])?;
        let because = told["next"]["because"][1].as_str().unwrap_or_default().to_owned();
        assert!(
            because.starts_with(&format!("the next change of the unit waits, as the {kind} is paused by ")),
            "{told:#}"
        );
        assert!(because.ends_with(": works on the roof"), "{because}");
        world.publish(&[priced("villa-000", revision, 5_000 + revision)]).await?;
        world.taken(1, i64::try_from(revision)?).await?;
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let (code, _, said) = world.run(&[kind, "resume", id])?;
        assert_eq!(code, 0, "{said}");
        world.drained(Duration::from_secs(30)).await?;
        let (_, told) = json_of(&world, &["explain", &listing])?;
        assert_eq!(holders(&told), [holder], "{told:#}");
        let held = told["rules"].as_array().context("rules")?.iter().find(|rule| rule["rule"] == "held");
        let held = held.context("a hold")?;
        assert_eq!((&held["reason"], held["by"].is_string()), (&json!("works on the roof"), true), "{held}");
        assert!(held["ms"].as_i64().is_some_and(|ms| ms >= 1_000), "{held}");
        let waited = &told["rules"][0];
        let part = (waited["held_ms"].as_i64(), waited["ms"].as_i64());
        assert!(
            part.0 == held["ms"].as_i64() && part.0 <= part.1 && waited["circuit_known"] == json!(true),
            "{waited}"
        );
        let words = told["words"].to_string();
        assert!(words.contains(&format!("The {kind} was paused by")) && words.contains("that held it for "), "{words}");
    }
    world.close().await
}

/// One whose place another took while a pause lasts has waited for that pause, whether or not it is over.
#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_lost_its_place_during_a_pause_tells_of_the_pause_while_it_lasts() -> anyhow::Result<()> {
    let world = World::new(&[7827]).await?;
    let target = world.target(7827, RateLimit::new(100, 1_000)?).await?;
    let _service = world.serve("")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    let target = target.to_string();
    let (code, _, said) = world.run(&["target", "pause", &target, "--reason", "works on the roof"])?;
    assert_eq!(code, 0, "{said}");
    world.publish(&[priced("villa-000", 2, 5_002)]).await?;
    world.taken(1, 2).await?;
    let (_, waiting) = json_of(&world, &["explain", &listing])?;
    let sync = waiting["sync"]["sync_id"].as_str().context("a sync")?.to_owned();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let held = |told: &Value| -> Vec<Value> {
        let rules = told["rules"].as_array().cloned().unwrap_or_default();
        rules.into_iter().filter(|rule| rule["rule"] == "held").collect()
    };
    // Of one that waits it is told by what is next.
    let (_, waiting) = json_of(&world, &["explain", &sync])?;
    assert_eq!((held(&waiting).len(), &waiting["next"]["step"]), (0, &json!("held")), "{waiting:#}");
    world.publish(&[priced("villa-000", 3, 5_003)]).await?;
    world.taken(1, 3).await?;
    let (_, lasting) = json_of(&world, &["explain", &sync])?;
    let (code, _, said) = world.run(&["target", "resume", &target])?;
    assert_eq!(code, 0, "{said}");
    world.drained(Duration::from_secs(30)).await?;
    let (_, over) = json_of(&world, &["explain", &sync])?;
    for (told, is_over) in [(&lasting, false), (&over, true)] {
        assert_eq!(told["sync"]["outcome"], "superseded", "{told:#}");
        let holds = held(told);
        let [hold] = holds.as_slice() else { panic!("one pause held it: {told:#}") };
        assert_eq!((&hold["holder"], hold["until"].is_string()), (&json!("target_paused"), is_over), "{hold}");
        assert!(hold["ms"].as_i64().is_some_and(|ms| ms >= 1_000), "{hold}");
        let (was, when) = if is_over { ("was", " from ") } else { ("has been", " since ") };
        let words = told["words"].to_string();
        let line = words.split(&format!("The target {was} paused by ")).nth(1).with_context(|| words.clone())?;
        assert!(line.contains(when) && line.contains(": works on the roof; that held it for "), "{words}");
    }
    world.close().await
}

fn waits_for_calls(told: &Value) -> Vec<Value> {
    let rules = told["rules"].as_array().cloned().unwrap_or_default();
    rules.into_iter().filter(|rule| rule["rule"] == "waited_again" && rule["purpose"].is_string()).collect()
}

/// A wait for the window ends when slots come back, so what counts is how the window stood meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_past_wait_is_explained_by_the_window_that_was_full_meanwhile() -> anyhow::Result<()> {
    let world = World::new(&[7805]).await?;
    let target = world.target(7805, RateLimit::new(100, 1_000)?).await?;
    let _service = world.serve("")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    let (code, _, said) = world.run(&["target", "rate-limit", &target.to_string(), "1/4s"])?;
    assert_eq!(code, 0, "{said}");
    published(&world, priced("villa-000", 2, 5_002)).await?;
    published(&world, priced("villa-000", 3, 5_003)).await?;
    let (_, told) = json_of(&world, &["explain", &listing])?;
    let waited = &told["rules"][0];
    assert_eq!((&waited["rule"], &waited["calls_before"]), (&json!("waited"), &json!(1)), "{told:#}");
    let (ms, full_ms) = (waited["ms"].as_i64().unwrap_or(0), waited["full_ms"].as_i64().unwrap_or(0));
    assert!(full_ms >= 1_000 && full_ms <= ms && ms - full_ms < 1_000, "{waited}");
    let words = told["words"].to_string();
    assert!(
        words.contains("of that the target's window (1 in 4 s) was full") && !words.contains("had room"),
        "{words}"
    );

    // Inside of an attempt as before it: two sections are several calls, and each waits for its slot.
    let mut both = priced("villa-000", 4, 5_004);
    both["unit"]["calendar"][0]["available"] = json!(false);
    published(&world, both).await?;
    let first = told["sync"]["sync_id"].as_str().context("a sync")?.to_owned();
    let (_, inside) = json_of(&world, &["explain", &listing])?;
    let second = inside["sync"]["sync_id"].as_str().context("a sync")?.to_owned();
    let again = waits_for_calls(&inside);
    assert!(!again.is_empty(), "{inside:#}");
    for wait in &again {
        let (ms, full_ms) = (wait["ms"].as_i64().unwrap_or(0), wait["full_ms"].as_i64().unwrap_or(0));
        assert!(full_ms >= 1_000 && full_ms <= ms && ms - full_ms < 1_000, "{wait}");
        let calls = inside["sync"]["attempts"][0]["calls"].as_array().context("calls")?;
        let call = calls.iter().find(|call| call["request_id"] == wait["request_id"]).context("its call")?;
        assert_eq!((&call["purpose"], &wait["window"]), (&wait["purpose"], &json!(1)), "{wait}");
    }
    let words = inside["words"].to_string();
    assert!(words.contains("s for its call for ") && words.contains("(1 in 4 s) was full"), "{words}");

    // A limit of later is none of then.
    let (code, _, said) = world.run(&["target", "rate-limit", &target.to_string(), "100/1s"])?;
    assert_eq!(code, 0, "{said}");
    let (_, later) = json_of(&world, &["explain", &first])?;
    assert_eq!(later["rules"], told["rules"], "{later:#}");
    let (_, later) = json_of(&world, &["explain", &second])?;
    assert_eq!(waits_for_calls(&later), again, "{later:#}");
    world.close().await
}

/// Of the two windows that a call falls under, the one that was full is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_past_wait_is_explained_by_the_window_of_the_account_where_that_was_full() -> anyhow::Result<()> {
    let world = World::new(&[7807]).await?;
    let target = world.target(7807, RateLimit::new(100, 1_000)?).await?;
    let _service = world.serve("")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    let limit = ["target", "configure", &target.to_string(), "--account-rate-limit", "1/4s"];
    let (code, _, said) = world.run(&limit)?;
    assert_eq!(code, 0, "{said}");
    published(&world, priced("villa-000", 2, 5_002)).await?;
    published(&world, priced("villa-000", 3, 5_003)).await?;
    let (_, told) = json_of(&world, &["explain", &listing])?;
    let waited = &told["rules"][0];
    let account = &waited["account"];
    assert_eq!((&waited["rule"], &account["window"]), (&json!("waited"), &json!(1)), "{told:#}");
    let (ms, full_ms) = (waited["ms"].as_i64().unwrap_or(0), account["full_ms"].as_i64().unwrap_or(0));
    assert!(full_ms >= 1_000 && full_ms <= ms && waited["full_ms"] == json!(0), "{waited}");
    let words = told["words"].to_string();
    assert!(words.contains("of that the account's window (1 in 4 s) was full"), "{words}");
    world.close().await
}

/// Calls that are no sync's take slots as well, and a wait for these says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_past_wait_is_explained_by_a_check_and_by_a_look_for_drift_that_filled_the_window() -> anyhow::Result<()> {
    let world = World::new(&[7808]).await?;
    let target = world.target(7808, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    let (code, _, said) = world.run(&["target", "rate-limit", &target.to_string(), "1/4s"])?;
    assert_eq!(code, 0, "{said}");
    world.drained(Duration::from_secs(30)).await?;
    let check = check_now(&world.pool, target, &Actor::cli("tester")).await?.context("a dispatcher makes it")?;
    assert_eq!(check.class, "accepted");
    published(&world, priced("villa-000", 2, 5_002)).await?;
    let (_, by_check) = json_of(&world, &["explain", &listing])?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "channel-publisher")?;
    let drift = format!("/api/channels/listings/{listing}/drift");
    let looked = api.send(Method::POST, &drift, &[], None).await?.expect(200)?.json();
    let made = looked["calls"].as_array().map_or(0, Vec::len);
    assert_eq!(world.count("SELECT count(*) FROM drift_calls").await?, i64::try_from(made)?, "{looked}");
    published(&world, priced("villa-000", 3, 5_003)).await?;
    let (_, by_drift) = json_of(&world, &["explain", &listing])?;
    for (told, which, words) in [(by_check, "checks", "of health checks"), (by_drift, "drift", "of looks for drift")] {
        let waited = &told["rules"][0];
        assert_eq!((&waited["rule"], &waited["other_calls"]["known"]), (&json!("waited"), &json!(true)), "{told:#}");
        assert!(waited["other_calls"][which].as_i64().is_some_and(|calls| calls >= 1), "{which}: {waited}");
        let (ms, full_ms) = (waited["ms"].as_i64().unwrap_or(0), waited["full_ms"].as_i64().unwrap_or(0));
        assert!(full_ms >= 1_000 && full_ms <= ms && ms - full_ms < 1_000, "{waited}");
        let told = told["words"].to_string();
        assert!(told.contains(&format!("{words} among those that held it")) && !told.contains("had room"), "{told}");
    }
    drop(service);
    world.close().await
}

/// A process that has no token yet needs two calls for a check, and both hold slots.
#[tokio::test(flavor = "multi_thread")]
async fn a_past_wait_is_explained_by_both_calls_of_a_check_that_needed_a_token() -> anyhow::Result<()> {
    let world = World::new(&[7811]).await?;
    let target = world.target(7811, RateLimit::new(100, 1_000)?).await?;
    let mut before = world.serve("")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    let (code, _, said) = world.run(&["target", "rate-limit", &target.to_string(), "2/12s"])?;
    assert_eq!(code, 0, "{said}");
    ensure!(before.stopped().await?, "{}", before.printed());
    let _service = world.serve("")?;
    let check = check_now(&world.pool, target, &Actor::cli("tester")).await?.context("a dispatcher makes it")?;
    assert_eq!((check.class.as_str(), check.calls), ("accepted", 2));
    published(&world, priced("villa-000", 2, 5_002)).await?;
    let (_, told) = json_of(&world, &["explain", &listing])?;
    let waited = &told["rules"][0];
    assert_eq!((&waited["rule"], &waited["calls_before"]), (&json!("waited"), &json!(2)), "{told:#}");
    assert_eq!(waited["other_calls"]["checks"], 2, "{waited}");
    let (ms, full_ms) = (waited["ms"].as_i64().unwrap_or(0), waited["full_ms"].as_i64().unwrap_or(0));
    assert!(full_ms > 0 && full_ms <= ms && ms - full_ms < 1_000, "{waited}");
    let words = told["words"].to_string();
    assert!(words.contains("was full, with 2 calls of health checks among those that held it"), "{words}");
    world.close().await
}

/// A 429 to a call of one listing keeps all others of its account waiting, and each of them says so when that is over.
#[tokio::test(flavor = "multi_thread")]
async fn a_past_wait_is_explained_by_the_pause_that_the_channel_asked_another_sync_for() -> anyhow::Result<()> {
    let world = World::new(&[7824]).await?;
    let target = world.target(7824, RateLimit::new(100, 1_000)?).await?;
    let _service = world.serve("")?;
    listed(&world, target, "villa-000").await?;
    let listing = listed(&world, target, "villa-001").await?.to_string();
    let refusing = json!({ "kind": "rate_limited", "retry_after_s": 6, "method": "PUT", "count": 1 });
    world.sandbox.fault(refusing).await?;
    world.publish(&[priced("villa-000", 2, 5_500)]).await?;
    wait_until("a call is refused for its rate", Duration::from_secs(30), || async {
        let refused = world.count("SELECT count(*) FROM outbound_attempts WHERE status = 429").await?;
        Ok(if refused == 1 { Ok(()) } else { Err(format!("{refused} are")) })
    })
    .await?;
    published(&world, priced("villa-001", 2, 5_500)).await?;
    let (_, told) = json_of(&world, &["explain", &listing])?;
    let waited = &told["rules"][0];
    let (ms, paused_ms) = (waited["ms"].as_i64().unwrap_or(0), waited["paused_ms"].as_i64().unwrap_or(0));
    assert!(waited["rule"] == "waited" && paused_ms >= 1_000 && ms - paused_ms < 1_000, "{told:#}");
    let words = told["words"].to_string();
    assert!(words.contains(" of that the channel had asked for a pause (429 to a call of its account)."), "{words}");
    // What comes after it waits for no pause.
    published(&world, priced("villa-001", 3, 6_000)).await?;
    let (_, told) = json_of(&world, &["explain", &listing])?;
    assert_eq!((&told["rules"][0]["rule"], &told["rules"][0]["paused_ms"]), (&json!("waited"), &json!(0)), "{told:#}");
    world.close().await
}

/// Of a pause that a check met nothing but its own row tells afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn a_past_wait_is_explained_by_the_pause_that_the_channel_asked_a_check_for() -> anyhow::Result<()> {
    let world = World::new(&[7868]).await?;
    let target = world.target(7868, RateLimit::new(100, 1_000)?).await?;
    let _service = world.serve("")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    let refusing = json!({ "kind": "rate_limited", "retry_after_s": 6, "account": 7868, "method": "GET", "count": 1 });
    world.sandbox.fault(refusing).await?;
    let check = check_now(&world.pool, target, &Actor::cli("tester")).await?.context("a dispatcher makes it")?;
    assert_eq!((check.class.as_str(), check.status), ("throttled", Some(429)));
    let until = "; it asked for a pause until ";
    assert!(check.detail.as_ref().is_some_and(|words| words.contains(until)), "{:?}", check.detail);
    published(&world, priced("villa-000", 2, 5_500)).await?;
    let (_, told) = json_of(&world, &["explain", &listing])?;
    let waited = &told["rules"][0];
    let (ms, paused_ms) = (waited["ms"].as_i64().unwrap_or(0), waited["paused_ms"].as_i64().unwrap_or(0));
    assert!(waited["rule"] == "waited" && paused_ms >= 1_000 && ms - paused_ms < 1_000, "{told:#}");
    let words = told["words"].to_string();
    assert!(words.contains(" of that the channel had asked for a pause (429 to a call of its account)."), "{words}");
    assert!(!words.contains("no pause"), "{words}");
    world.close().await
}
