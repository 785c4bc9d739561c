//! Looks for drift: what they tell of themselves in the log and in traces, what becomes of those that nobody waits for, and what they
//! say where a sync is sent meanwhile.

use std::time::Duration;

use anyhow::ensure;
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::otlp::Receiver;
use end_to_end::wait::wait_until;
use end_to_end::world::{ORG, World};
use reqwest::Method;
use serde_json::{Value, json};

use crate::why::{listed, priced};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4738";

#[tokio::test(flavor = "multi_thread")]
async fn a_look_for_drift_and_its_calls_are_named_in_the_log_and_in_the_trace_of_their_request() -> anyhow::Result<()> {
    let receiver = Receiver::grpc().await?;
    let world = World::new(&[7820]).await?;
    let target = world.target(7820, RateLimit::new(100, 1_000)?).await?;
    let mut service = world.serve_with("", &["--otlp-endpoint", &receiver.endpoint, "--log-format", "json"])?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    let (code, _, said) = world.run(&["log-level", "info,adapters::hostaway=debug"])?;
    ensure!(code == 0, "{said}");
    wait_until("the level is followed", Duration::from_secs(10), || async {
        let printed = service.printed();
        Ok(if printed.contains("what is logged was changed") { Ok(()) } else { Err(printed) })
    })
    .await?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "channel-publisher")?;
    let trace = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let drift = format!("/api/channels/listings/{listing}/drift");
    let looked = api.send(Method::POST, &drift, &[("traceparent", &trace)], None).await?.expect(200)?.json();
    let calls = looked["calls"].as_array().map_or(0, Vec::len);
    assert!(calls >= 2, "{looked}");
    assert!(service.stop()?, "it ends by itself:\n{}", service.printed());

    let log = service.printed();
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let told: Vec<&Value> = lines.iter().filter(|line| line["span"] == "drift").collect();
    let of = |message: &str| told.iter().filter(|line| line["message"] == message).count();
    assert_eq!((of("hostaway call"), of("read for drift")), (calls, 1), "{log}");
    for line in told {
        assert_eq!((&line["trace_id"], &line["org_id"]), (&json!(TRACE), &json!(ORG)), "{line}");
        assert_eq!((&line["target_id"], &line["listing_id"]), (&json!(target), &json!(listing)), "{line}");
        assert_eq!(line["unit_id"], "villa-000", "{line}");
    }

    let spans = receiver.received.spans_of(TRACE);
    let named = |name: &'static str| spans.iter().filter(move |span| span.name == name);
    let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    let look = named("drift").next().unwrap_or_else(|| panic!("no look among {names:?}"));
    let request = named("POST /api/channels/listings/{listing_id}/drift").next();
    assert_eq!(request.map(|request| &request.span_id), Some(&look.parent_span_id), "{names:?}");
    assert_eq!(spans.iter().filter(|span| span.parent_span_id == look.span_id).count(), calls, "{names:?}");
    drop(service);
    world.close().await
}

/// They took slots, which others wait for: what the window says and what the rows say is one thing.
#[tokio::test(flavor = "multi_thread")]
async fn a_look_for_drift_whose_asker_has_left_writes_its_calls_down_before_a_stop() -> anyhow::Result<()> {
    let world = World::new(&[7821]).await?;
    let target = world.target(7821, RateLimit::new(100, 1_000)?).await?;
    let mut others = world.serve("intake,relay,projector,dispatcher")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    ensure!(others.stopped().await?, "it ends by itself:\n{}", others.printed());
    let mut front = world.serve("api")?;
    let api = Api::of(&front).await?.as_caller(&world, ORG, None, "channel-publisher")?;
    let drift = format!("/api/channels/listings/{listing}/drift");
    let before = world.sandbox.arrivals(7821).await?.len();
    world.sandbox.fault(json!({ "kind": "hang", "account": 7821, "seconds": 4.0, "apply": true })).await?;
    let asking = tokio::spawn(async move { api.send(Method::POST, &drift, &[], None).await });
    wait_until("its first call is under way", Duration::from_secs(20), || async {
        let made = world.sandbox.arrivals(7821).await?.len();
        Ok(if made > before { Ok(()) } else { Err(format!("{made} calls, as before")) })
    })
    .await?;
    asking.abort();
    ensure!(front.stopped().await?, "it ends by itself:\n{}", front.printed());
    let made = world.sandbox.arrivals(7821).await?.len() - before;
    assert_eq!(world.count("SELECT count(*) FROM drift_calls").await?, 1, "{}", front.printed());
    assert_eq!(made, 1, "no other call begins for nobody");
    drop(front);
    world.close().await
}

/// A call of this account is at the channel, which does not answer.
async fn is_held(world: &World, account: u64) -> anyhow::Result<()> {
    wait_until("a call is held", Duration::from_secs(20), || async {
        let arrivals = world.sandbox.arrivals(account).await?;
        Ok(if arrivals.iter().any(|one| one["status"].is_null()) { Ok(()) } else { Err(format!("{arrivals:?}")) })
    })
    .await
}

/// What was sent last is what it was once the channel has been read: a look may wait for its slots behind the very calls that send it.
#[tokio::test(flavor = "multi_thread")]
async fn a_look_that_waited_behind_a_sync_compares_with_what_that_has_sent() -> anyhow::Result<()> {
    let world = World::new(&[7861]).await?;
    let target = world.target(7861, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    let (code, _, said) = world.run(&["target", "rate-limit", &target.to_string(), "1/2s"])?;
    ensure!(code == 0, "{said}");
    let held = json!({ "kind": "hold", "account": 7861, "method": "PUT", "path_prefix": "/v1/listings", "count": 1 });
    let held = world.sandbox.fault_rule(&held).await?;
    world.publish(&[priced("villa-000", 2, 5_500)]).await?;
    world.taken(1, 2).await?;
    is_held(&world, 7861).await?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "channel-publisher")?;
    let drift = format!("/api/channels/listings/{listing}/drift");
    let asking = tokio::spawn(async move { api.send(Method::POST, &drift, &[], None).await });
    // The one slot is the sync's until a window after its call has ended.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    world.sandbox.mend(held).await?;
    let looked = asking.await??.expect(200)?.json();
    assert_eq!((&looked["in_line"], &looked["differences"]), (&json!(true), &json!([])), "{looked:#}");
    assert_eq!((&looked["pending_sync_id"], &looked["sent_meanwhile"]), (&Value::Null, &json!([])), "{looked:#}");
    drop(service);
    world.close().await
}

/// What was read before a call and is compared with what that call sent differs, and nobody edited anything.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_while_a_look_reads_is_told_as_that_and_not_as_a_difference() -> anyhow::Result<()> {
    let world = World::new(&[7862]).await?;
    let target = world.target(7862, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "channel-publisher")?;
    let drift = format!("/api/channels/listings/{listing}/drift");
    // Its nights are read before the listing itself is.
    let path = "/v1/listings/*";
    let held = json!({ "kind": "hold", "account": 7862, "method": "GET", "path_pattern": path, "count": 1 });
    let held = world.sandbox.fault_rule(&held).await?;
    let asking = tokio::spawn({
        let (api, drift) = (api.clone(), drift.clone());
        async move { api.send(Method::POST, &drift, &[], None).await }
    });
    is_held(&world, 7862).await?;
    let mut closed = priced("villa-000", 2, 4_000);
    closed["unit"]["calendar"][0]["available"] = json!(false);
    world.publish(&[closed]).await?;
    world.taken(1, 2).await?;
    world.drained(Duration::from_secs(10)).await?;
    world.sandbox.mend(held).await?;
    let looked = asking.await??.expect(200)?.json();
    assert_eq!((&looked["in_line"], &looked["differences"]), (&json!(false), &json!([])), "{looked:#}");
    assert!(looked["sent_meanwhile"].to_string().contains("availability"), "{looked:#}");
    let words = looked["words"].to_string();
    assert!(words.contains("While it was read, or just after that, availability"), "{words}");
    assert!(!words.contains("is not what") && !words.contains("sends all of it again"), "{words}");
    let looked = api.send(Method::POST, &drift, &[], None).await?.expect(200)?.json();
    assert_eq!((&looked["in_line"], &looked["sent_meanwhile"]), (&json!(true), &json!([])), "{looked:#}");

    // One whose end nobody has told yet.
    let held = json!({ "kind": "hold", "account": 7862, "method": "PUT", "path_prefix": "/v1/listings", "count": 1 });
    let held = world.sandbox.fault_rule(&held).await?;
    world.publish(&[priced("villa-000", 3, 5_500)]).await?;
    world.taken(1, 3).await?;
    is_held(&world, 7862).await?;
    let looked = api.send(Method::POST, &drift, &[], None).await?.expect(200)?.json();
    let sync = looked["under_way_sync_id"].as_str().unwrap_or_default();
    assert_eq!((sync.is_empty(), &looked["pending_sync_id"]), (false, &json!(sync)), "{looked:#}");
    let words = looked["words"].to_string();
    assert!(words.contains(&format!("An attempt of sync {sync} was under way then")), "{words}");
    assert!(!words.contains("waits and may change this"), "{words}");
    world.sandbox.mend(held).await?;
    world.drained(Duration::from_secs(30)).await?;
    drop(service);
    world.close().await
}
