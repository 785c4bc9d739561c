//! Looks for drift: what they tell of themselves in the log and in traces, and what becomes of those that nobody waits for.

use std::time::Duration;

use anyhow::ensure;
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::otlp::Receiver;
use end_to_end::wait::wait_until;
use end_to_end::world::{ORG, World};
use reqwest::Method;
use serde_json::{Value, json};

use crate::why::listed;

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
