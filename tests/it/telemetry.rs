//! What the service tells about itself: a trace from a unit's message to the audit event, metrics, log lines.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_nats::HeaderMap;
use domain::ids::{ListingId, TargetId};
use domain::target::TargetCommand;
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::otlp::Receiver;
use end_to_end::process::Process;
use end_to_end::unit::{described, unit};
use end_to_end::wait::wait_until;
use end_to_end::world::{ORG, World};
use opentelemetry_proto::tonic::trace::v1::Span;
use reqwest::Method;
use serde_json::{Value, json};
use services::telemetry::SERVED;

pub(crate) const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A service whose telemetry goes to a receiver. Of traces it keeps those alone that their flag or a failure keeps.
pub(crate) fn telling(world: &World, receiver: &Receiver, roles: &str, further: &[&str]) -> anyhow::Result<Process> {
    let receiving = ["--otlp-endpoint", receiver.endpoint.as_str(), "--trace-ratio", "0"];
    world.serve_with(roles, &[&receiving[..], further].concat())
}

/// A unit that is linked, and services that tell a receiver.
struct Told {
    world: World,
    target: TargetId,
    listing: ListingId,
    services: Vec<Process>,
}

impl Told {
    /// Each of `processes` has these roles; all have further arguments.
    async fn to(receiver: &Receiver, account: u64, processes: &[&str], further: &[&str]) -> anyhow::Result<Self> {
        let world = World::new(&[account]).await?;
        let target = world.target(account, RateLimit::new(100, 1_000)?).await?;
        let services = processes.iter().map(|roles| telling(&world, receiver, roles, further));
        let services = services.collect::<anyhow::Result<Vec<_>>>()?;
        let listing = world.link(target, &["villa-000".to_owned()]).await?[0];
        Ok(Self { world, target, listing, services })
    }
}

/// Publishes a unit with a `traceparent` of this flag, and waits until its sync has ended.
pub(crate) async fn publish_traced(world: &World, message: &Value, trace: &str, flags: &str) -> anyhow::Result<()> {
    let name = message["unit_id"].as_str().unwrap_or_default();
    let subject = world.nats.prefix.unit_changed(&ORG.parse()?, &name.parse()?);
    let mut headers = HeaderMap::new();
    headers.insert("traceparent", format!("00-{trace}-00f067aa0ba902b7-{flags}"));
    world.publish_with(subject, headers, serde_json::to_vec(message)?).await?;
    world.taken(1, message["revision"].as_i64().unwrap_or_default()).await?;
    world.drained(Duration::from_secs(30)).await
}

/// The spans of a trace by name, with the names of their parents.
pub(crate) fn tree(receiver: &Receiver, trace: &str) -> BTreeMap<String, BTreeSet<String>> {
    let spans = receiver.received.spans_of(trace);
    let names: BTreeMap<&[u8], &str> = spans.iter().map(|span| (span.span_id.as_slice(), span.name.as_str())).collect();
    let mut tree: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for span in &spans {
        let parent = names.get(span.parent_span_id.as_slice()).copied().unwrap_or("the message");
        tree.entry(span.name.clone()).or_default().insert(parent.to_owned());
    }
    tree
}

/// Each part of the work on a sync says whose it is and what it is of.
fn under_their_names(spans: &[Span]) {
    let parts =
        ["append to the journal", "publish to CHANNELS", "publish to AUDIT", "apply to the read models", "claim"];
    for part in parts {
        let of_part: Vec<BTreeSet<&str>> = spans
            .iter()
            .filter(|span| span.name == part)
            .map(|span| span.attributes.iter().map(|attribute| attribute.key.as_str()).collect())
            .collect();
        let whose = ["distribution.org.id", "distribution.target.id"];
        assert!(of_part.iter().all(|keys| whose.iter().all(|key| keys.contains(key))), "{part}: {of_part:#?}");
        // A change of the target's health is of no listing.
        let of_what = ["distribution.listing.id", "distribution.unit.id", "distribution.sync.id"];
        assert!(of_part.iter().any(|keys| of_what.iter().all(|key| keys.contains(key))), "{part}: {of_part:#?}");
    }
}

async fn one_trace_is_told(receiver: Receiver, protocol: &str, account: u64) -> anyhow::Result<()> {
    // Without checks: of the health of its target a sync tells.
    let roles = "intake,relay,projector,dispatcher,api";
    let Told { world, mut services, .. } =
        Told::to(&receiver, account, &[roles], &["--otlp-protocol", protocol]).await?;
    let mut service = services.remove(0);
    publish_traced(&world, &unit("villa-000", 1), TRACE, "01").await?;
    // Nobody has asked for this one to be kept.
    let quiet = TRACE.replace('4', "5");
    publish_traced(&world, &described("villa-000", 2, "Nobody looks."), &quiet, "00").await?;
    // This one neither, but it fails.
    let failing = TRACE.replace('4', "6");
    world.sandbox.fault(json!({"kind": "status", "code": 422, "method": "PUT"})).await?;
    publish_traced(&world, &described("villa-000", 3, "This is refused."), &failing, "00").await?;
    // Nor for this one, which the service cannot answer.
    let unanswered = TRACE.replace('4', "7");
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    sqlx::query("REVOKE SELECT ON channel_listings FROM distribution_reader").execute(&world.pool).await?;
    let trace = format!("00-{unanswered}-00f067aa0ba902b7-00");
    let answer = api.send(Method::GET, "/api/channels/listings", &[("traceparent", &trace)], None).await?;
    assert!(answer.status.is_server_error(), "{}: {}", answer.status, answer.text);
    assert!(service.stop()?, "it ends by itself:\n{}", service.printed());

    let request = receiver.received.spans_of(&unanswered);
    let names: Vec<_> = request.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["GET /api/channels/listings"], "what fails is kept");
    let told = tree(&receiver, TRACE);
    let under = |name: &str, parent: &str| {
        assert!(
            told.get(name).is_some_and(|parents| parents.contains(parent)),
            "{name} is not under {parent}: {told:#?}"
        );
    };
    under("take a unit change in", "the message");
    under("append to the journal", "take a unit change in");
    under("publish to CHANNELS", "take a unit change in");
    under("apply to the read models", "publish to CHANNELS");
    under("sync", "take a unit change in");
    under("claim", "sync");
    under("POST create", "sync");
    under("append to the journal", "sync");
    under("publish to CHANNELS", "sync");
    under("publish to AUDIT", "sync");
    let healthy: Vec<String> = sqlx::query_scalar(
        "SELECT split_part(metadata ->> 'traceparent', '-', 3) FROM events WHERE event_type = 'HealthChanged'",
    )
    .fetch_all(&world.pool)
    .await?;
    let hex = |id: &[u8]| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut of_trace = receiver.received.spans_of(TRACE).into_iter();
    let sync = of_trace.find(|span| span.name == "sync").map(|span| hex(&span.span_id));
    assert_eq!(healthy, sync.into_iter().collect::<Vec<_>>(), "what it tells of its target is under the sync");
    assert!(receiver.received.spans_of(&quiet).is_empty(), "{:#?}", tree(&receiver, &quiet));
    let failed = tree(&receiver, &failing);
    assert!(failed.contains_key("sync") && failed.contains_key("publish to AUDIT"), "{failed:#?}");
    // How long it waited is told from the journal.
    let waited = failed["sync"].contains("asked for") && failed["asked for"].contains("take a unit change in");
    assert!(waited, "{failed:#?}");
    let sync = receiver.received.spans_of(&failing).into_iter().find(|span| span.name == "sync");
    assert!(sync.and_then(|span| span.status).is_some_and(|status| status.code == 2), "its status is an error");
    under_their_names(&receiver.received.spans_of(TRACE));
    let units = receiver.received.units();
    assert!(units.values().all(|unit| !unit.is_empty()), "{units:?}");
    let told = ["distribution.syncs", "db.client.connection.count"].map(|name| units.get(name).map(String::as_str));
    assert_eq!(told, [Some("{sync}"), Some("{connection}")], "{units:?}");
    let metrics = receiver.received.metrics();
    for name in ["http.client.request.duration", "distribution.syncs", "distribution.sync.attempts"] {
        assert!(metrics.contains(name), "{metrics:?}");
    }
    assert!(!receiver.received.text().contains(&format!("secret-{account}")), "a secret is in the telemetry");
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_leads_from_the_message_to_the_audit_over_grpc() -> anyhow::Result<()> {
    one_trace_is_told(Receiver::grpc().await?, "grpc", 8200).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_leads_from_the_message_to_the_audit_over_http() -> anyhow::Result<()> {
    one_trace_is_told(Receiver::http().await?, "http/protobuf", 8201).await
}

/// Each of `processes` has these roles. Nobody asks for a trace to be kept.
async fn one_failure_keeps_its_trace(processes: &[&str], account: u64) -> anyhow::Result<()> {
    let receiver = Receiver::grpc().await?;
    let Told { world, mut services, .. } = Told::to(&receiver, account, processes, &[]).await?;
    // The first one makes the listing, with a new token.
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    world.drained(Duration::from_secs(30)).await?;
    let quiet = TRACE.replace('4', "5");
    publish_traced(&world, &described("villa-000", 2, "Nobody looks."), &quiet, "00").await?;
    world.sandbox.fault(json!({"kind": "status", "code": 503, "method": "PUT", "count": 1})).await?;
    publish_traced(&world, &described("villa-000", 3, "It takes two tries."), TRACE, "00").await?;
    wait_until("what came before is sent", Duration::from_secs(20), || async {
        let told = tree(&receiver, TRACE);
        Ok(if told.contains_key("take a unit change in") { Ok(()) } else { Err(format!("{told:#?}")) })
    })
    .await?;
    for service in &mut services {
        assert!(service.stop()?, "it ends by itself:\n{}", service.printed());
    }

    let told = tree(&receiver, TRACE);
    for (name, parent) in [
        ("take a unit change in", "the message"),
        ("append to the journal", "take a unit change in"),
        ("publish to CHANNELS", "take a unit change in"),
        ("apply to the read models", "publish to CHANNELS"),
        // The try that fails, what it was told by, and the one that follows it.
        ("asked for", "take a unit change in"),
        ("sync", "asked for"),
        ("sync", "take a unit change in"),
        ("claim", "sync"),
        ("PUT content", "sync"),
        ("append to the journal", "sync"),
        ("publish to CHANNELS", "sync"),
        ("publish to AUDIT", "sync"),
    ] {
        let parents = told.get(name);
        assert!(parents.is_some_and(|parents| parents.contains(parent)), "{name} is not under {parent}: {told:#?}");
    }
    let spans = receiver.received.spans_of(TRACE);
    let ends = |name: &str| {
        let mut failed: Vec<bool> = spans
            .iter()
            .filter(|span| span.name == name)
            .map(|span| span.status.as_ref().is_some_and(|status| status.code == 2))
            .collect();
        failed.sort_unstable();
        failed
    };
    assert_eq!((ends("sync"), ends("PUT content")), (vec![false, true], vec![false, true]), "{told:#?}");
    assert!(receiver.received.spans_of(&quiet).is_empty(), "{:#?}", tree(&receiver, &quiet));
    drop(services);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_sync_that_fails_once_the_whole_trace_is_sent_and_of_one_that_does_not_nothing() -> anyhow::Result<()> {
    one_failure_keeps_its_trace(&[""], 8205).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_in_one_process_keeps_what_the_others_have_of_its_trace() -> anyhow::Result<()> {
    one_failure_keeps_its_trace(&["intake", "relay", "projector", "dispatcher"], 8206).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_is_a_trace_and_one_that_fails_is_kept_and_named_in_the_log() -> anyhow::Result<()> {
    let receiver = Receiver::grpc().await?;
    let world = World::new(&[8207]).await?;
    let target = world.target(8207, RateLimit::new(100, 1_000)?).await?.to_string();
    let mut service = telling(&world, &receiver, "relay,projector,dispatcher", &["--log-format", "json"])?;
    let check = ["target", "check", target.as_str()];
    let (code, printed, error) = world.run(&check)?;
    assert_eq!(code, 0, "{printed}{error}");
    world.sandbox.fault(json!({"kind": "status", "code": 503})).await?;
    let (code, printed, error) = world.run(&check)?;
    assert_eq!(code, 1, "{printed}{error}");
    assert!(service.stop()?, "it ends by itself:\n{}", service.printed());

    let log = service.printed();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let failed: Vec<Value> = lines.filter(|line| line["message"] == "a check failed").collect();
    let [line] = failed.as_slice() else { panic!("one check failed:\n{log}") };
    assert_eq!((&line["span"], &line["target_id"]), (&json!("check"), &json!(target)), "{line}");
    // As lines of each call do, which know no org themselves.
    assert_eq!((&line["org_id"], &line["module"]), (&json!(ORG), &json!("services::dispatcher::checks")), "{line}");
    let trace = line["trace_id"].as_str().unwrap_or_default();
    let told = tree(&receiver, trace);
    assert_eq!(told.keys().collect::<Vec<_>>(), ["GET probe", "check"], "{line}");
    assert!(told["GET probe"].contains("check"), "{told:#?}");
    let checks = receiver.received.spans_of(trace).into_iter().filter(|span| span.name == "check");
    let statuses: Vec<i32> = checks.filter_map(|span| span.status).map(|status| status.code).collect();
    assert_eq!(statuses, [2], "its status is an error");
    // Nobody has asked for the one before.
    assert_eq!(receiver.received.text().matches("name: \"check\"").count(), 1);
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_at_the_command_line_is_a_trace_that_is_found_by_its_id() -> anyhow::Result<()> {
    let receiver = Receiver::grpc().await?;
    let Told { world, target, listing, mut services } = Told::to(&receiver, 8209, &[""], &[]).await?;
    let (mut service, listing) = (services.remove(0), listing.to_string());
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    world.drained(Duration::from_secs(30)).await?;
    let sync = ["--output", "json", "listing", "sync", &listing, "--reason", "edited by hand"];
    let receiving = [("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint.as_str())];
    let (code, printed, error) = world.run_with(&receiving, &sync)?;
    assert_eq!(code, 0, "{error}");
    let sync = serde_json::from_str::<Value>(&printed)?["sync_id"].as_str().unwrap_or_default().to_owned();
    world.drained(Duration::from_secs(30)).await?;

    let (_, printed, error) = world.run(&["--output", "json", "explain", &sync])?;
    let explained: Value = serde_json::from_str(&printed)?;
    let traceparent = explained["sync"]["by"]["traceparent"].as_str().unwrap_or_default();
    let trace = traceparent.split('-').nth(1).unwrap_or_default().to_owned();
    assert!(traceparent.ends_with("-01"), "{printed}{error}");
    assert!(explained["words"].to_string().contains(&format!("traceparent 00-{trace}")), "{explained:#}");
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "viewer")?;
    let found = api.get(&format!("/api/channels/audit?trace_id={trace}")).await?.expect(200)?.json();
    assert_eq!((&found["items"][0]["sync_id"], &found["items"][1]), (&json!(sync), &Value::Null), "{found}");
    let page = api.get(&format!("/search?q={trace}")).await?.expect(303)?;
    assert_eq!(page.header("location"), format!("/syncs/{sync}"));
    assert!(service.stop()?, "it ends by itself:\n{}", service.printed());
    let told = tree(&receiver, &trace);
    for (name, parent) in [
        ("append to the journal", "ask for a sync"),
        ("publish to CHANNELS", "ask for a sync"),
        ("sync", "ask for a sync"),
        ("publish to AUDIT", "sync"),
    ] {
        assert!(told.get(name).is_some_and(|parents| parents.contains(parent)), "{name}: {told:#?}");
    }
    let root = receiver.received.spans_of(&trace).into_iter().find(|span| span.name == "ask for a sync");
    assert!(root.is_some_and(|root| root.parent_span_id.is_empty()), "{told:#?}");

    // Without a receiver, or with a wrong one, whoever goes on with it still has its id.
    let target = target.to_string();
    let commands: [&[&str]; 6] = [
        &["listing", "link", "--target", &target, "--unit", "villa-001"],
        &["listing", "pause", &listing],
        &["listing", "replay", &listing, "--sync-id", &sync, "--reason", "once more"],
        &["target", "pause", &target, "--reason", "for the night"],
        &["target", "rate-limit", &target, "50/1s"],
        &["target", "resume", &target],
    ];
    for command in commands {
        let wrong = [("OTEL_EXPORTER_OTLP_ENDPOINT", "nowhere")];
        let (code, printed, error) = world.run_with(&wrong, &[&["--as", "ops"][..], command].concat())?;
        assert_eq!(code, 0, "{command:?}: {printed}{error}");
        assert!(error.contains("the trace of this command is not sent"), "{error}");
    }
    let traces: Vec<Option<String>> = sqlx::query_scalar(
        "SELECT metadata ->> 'traceparent' FROM events WHERE metadata ->> 'actor' = 'ops' ORDER BY position",
    )
    .fetch_all(&world.pool)
    .await?;
    let kept = traces.iter().flatten().filter(|trace| trace.starts_with("00-") && trace.ends_with("-01"));
    assert_eq!((traces.len(), kept.collect::<BTreeSet<_>>().len()), (6, 6), "{traces:?}");
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_names_a_version_appends_to_the_journal_under_its_request() -> anyhow::Result<()> {
    let receiver = Receiver::grpc().await?;
    let Told { world, target, listing, mut services } =
        Told::to(&receiver, 8211, &["relay,projector,api"], &[]).await?;
    let mut service = services.remove(0);
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let (of_target, of_listing) =
        (format!("/api/channels/targets/{target}"), format!("/api/channels/listings/{listing}"));
    wait_until("they are shown", Duration::from_secs(20), || async {
        let shown = [api.get(&of_target).await?.status, api.get(&of_listing).await?.status];
        Ok(if shown.iter().all(reqwest::StatusCode::is_success) { Ok(()) } else { Err(format!("{shown:?}")) })
    })
    .await?;
    let (_, target_version) = world.commands().load_target_at(target).await?;
    let (_, listing_version) = world.commands().load_listing_at(listing).await?;
    let changes = [
        (of_target, target_version, TRACE.replace('4', "5"), "POST /api/channels/targets/{target_id}/pause"),
        (of_listing, listing_version, TRACE.replace('4', "6"), "POST /api/channels/listings/{listing_id}/pause"),
    ];
    for (path, version, trace, _) in &changes {
        let (path, tag) = (format!("{path}/pause"), format!("\"{version}\""));
        let trace = format!("00-{trace}-00f067aa0ba902b7-01");
        let headers = [("if-match", tag.as_str()), ("traceparent", trace.as_str())];
        api.send(Method::POST, &path, &headers, Some(&json!({ "reason": "for the night" }))).await?.expect(200)?;
    }
    assert!(service.stop()?, "it ends by itself:\n{}", service.printed());
    for (_, _, trace, request) in &changes {
        let told = tree(&receiver, trace);
        let parents = told.get("append to the journal");
        assert!(parents.is_some_and(|parents| parents.contains(*request)), "not under {request}: {told:#?}");
    }
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_away_stops_nothing() -> anyhow::Result<()> {
    let world = World::new(&[8202]).await?;
    let target = world.target(8202, RateLimit::new(100, 1_000)?).await?;
    // The discard port: nobody is there.
    let arguments = ["--otlp-endpoint", "http://127.0.0.1:9", "--trace-ratio", "1"];
    let service = world.serve_with("", &arguments)?;
    let units = end_to_end::unit::names(20);
    world.link(target, &units).await?;
    world.publish(&units.iter().map(|name| unit(name, 1)).collect::<Vec<_>>()).await?;
    world.taken(20, 1).await?;
    world.drained(Duration::from_secs(60)).await?;
    assert_eq!(world.sandbox.listings(8202).await?.len(), 20);
    drop(service);
    world.close().await
}

/// Also of one that carries no trace and no unit that can be read: its subject names it.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_named_in_the_log_and_in_the_trace_that_is_kept() -> anyhow::Result<()> {
    let receiver = Receiver::grpc().await?;
    let world = World::new(&[8210]).await?;
    let mut service = telling(&world, &receiver, "intake,relay,projector", &["--log-format", "json"])?;
    let subject = world.nats.prefix.unit_changed(&ORG.parse()?, &"villa-000".parse()?);
    world.publish_raw(subject, b"{".to_vec()).await?;
    wait_until("it is buried", Duration::from_secs(30), || async {
        let printed = service.printed();
        Ok(if printed.contains("took unit changes in") { Ok(()) } else { Err(printed) })
    })
    .await?;
    assert!(service.stop()?, "it ends by itself:\n{}", service.printed());

    let log = service.printed();
    let named = |message: &str| {
        let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let line = lines.find(|line| line["message"].as_str().is_some_and(|told| told.contains(message)));
        let line = line.unwrap_or_else(|| panic!("{message:?} is not logged:\n{log}"));
        ["trace_id", "org_id", "unit_id"].map(|name| line[name].as_str().unwrap_or_default().to_owned())
    };
    let [trace, org, unit] = named("it is a dead letter now");
    assert_eq!((org.as_str(), unit.as_str()), (ORG, "villa-000"), "{log}");
    assert_eq!(named("took unit changes in"), [trace.clone(), org, unit]);
    let spans = receiver.received.spans_of(&trace);
    let span = spans.iter().find(|span| span.name == "take a unit change in").expect("its trace is kept");
    let names: BTreeSet<&str> = span.attributes.iter().map(|attribute| attribute.key.as_str()).collect();
    assert!(names.contains("distribution.org.id") && names.contains("distribution.unit.id"), "{span:?}");
    drop(service);
    world.close().await
}

/// Where a process shows its metrics.
pub(crate) async fn metrics_of(service: &Process) -> anyhow::Result<String> {
    wait_until("metrics are served", Duration::from_secs(10), || async {
        let log = service.printed();
        let address = log.rsplit("metrics are at ").next().and_then(|rest| rest.split_whitespace().next());
        Ok(address.filter(|address| address.starts_with("http")).map(str::to_owned).ok_or(log))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_stream_is_not_behind_while_there_is_nothing_to_tell() -> anyhow::Result<()> {
    let world = World::new(&[8204]).await?;
    let target = world.target(8204, RateLimit::new(100, 1_000)?).await?;
    let mut service = world.serve("")?;
    world.link(target, &["villa-000".to_owned()]).await?;
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    world.drained(Duration::from_secs(30)).await?;
    assert!(service.stop()?);
    let pause = TargetCommand::Pause { reason: "for the night".to_owned() };
    world.commands().target(target, pause, &world.metadata(target)?).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let lag = |text: &str| {
        let series = "distribution_lag_time_seconds{reader=\"relay audit\"";
        let line = text.lines().find(|line| line.starts_with(series))?;
        line.rsplit(' ').next()?.parse::<f64>().ok()
    };
    let shown = async |roles| {
        let service = world.serve_with(roles, &["--metrics-listen", "127.0.0.1:0", "--metrics-interval-s", "1"])?;
        let address = metrics_of(&service).await?;
        wait_until("the lag is shown", Duration::from_secs(10), || async {
            let text = reqwest::get(&address).await?.text().await?;
            Ok(lag(&text).ok_or(text))
        })
        .await
    };
    assert_eq!(shown("relay").await?, 0.0, "a pause is nothing that AUDIT tells of");

    // A sync that is superseded while no relay runs is.
    let _intake = world.serve("intake")?;
    world.link(target, &["villa-001".to_owned()]).await?;
    for revision in 1..=2 {
        world.publish(&[described("villa-001", revision, &format!("Revision {revision}."))]).await?;
        wait_until("it is taken in", Duration::from_secs(20), || async {
            let sql = format!("SELECT count(*) FROM units WHERE unit_id = 'villa-001' AND revision = {revision}");
            Ok(if world.count(&sql).await? == 1 { Ok(()) } else { Err("not yet".to_owned()) })
        })
        .await?;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(shown("health").await? > 1.0, "a superseded sync waits to be told");
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_shown_as_text_and_name_no_organisation() -> anyhow::Result<()> {
    let world = World::new(&[8203]).await?;
    let target = world.target(8203, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve_with("", &["--metrics-listen", "127.0.0.1:0", "--metrics-interval-s", "1"])?;
    world.link(target, &["villa-000".to_owned()]).await?;
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    world.drained(Duration::from_secs(30)).await?;
    let address = metrics_of(&service).await?;
    let text = wait_until("the syncs are counted", Duration::from_secs(30), || async {
        let text = reqwest::get(&address).await?.text().await?;
        let there =
            text.contains("distribution_syncs_total{outcome=\"accepted\"") && text.contains("distribution_targets{");
        Ok(if there { Ok(text) } else { Err(text) })
    })
    .await?;
    for series in [
        "http_client_request_duration_seconds_bucket{",
        "distribution_call_start_delay_seconds_bucket{",
        "distribution_lag_events{",
        "distribution_lag_time_seconds{",
        "distribution_dead_letters",
        "distribution_journal_batch_commits_bucket",
        "db_client_connections{",
    ] {
        assert!(text.contains(series), "{series} is missing:\n{text}");
    }
    assert!(!text.contains(ORG), "{text}");
    // Each call once, and for as long as the clock says: the audit has whole milliseconds.
    let of_creation = |part: &str| -> f64 {
        let name = format!("http_client_request_duration_seconds_{part}{{");
        let lines = text.lines().filter(|line| line.starts_with(&name) && line.contains("purpose=\"create\""));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    };
    let ms = of_creation("sum") * 1_000.0;
    assert!(of_creation("count") == 1.0 && (ms - ms.round()).abs() > 1e-6, "{text}");
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_logged_changes_while_the_service_runs() -> anyhow::Result<()> {
    let world = World::new(&[8204]).await?;
    let target = world.target(8204, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve_with("", &["--log-format", "json"])?;
    world.link(target, &["villa-000".to_owned()]).await?;
    let (code, _, error) = world.run(&["log-level", "services=loud=er"])?;
    assert_eq!(code, 2, "{error}");
    let (code, printed, error) = world.run(&["log-level", "services::dispatcherr=debug,services=info,sqlx=info"])?;
    let told = "warning: the service logs nothing as services::dispatcherr:";
    assert!(code == 0 && error.contains(told) && error.matches("warning").count() == 1, "{error}");
    assert!(printed.starts_with(&format!("{SERVED},services::dispatcherr=debug,services=info,sqlx=info")), "{printed}");
    // The rest is logged as before.
    let filter = "services::dispatcher::work=debug,services::dispatcher=debug,services::intake=debug";
    let (code, printed, error) = world.run(&["--output", "json", "log-level", filter])?;
    assert!(code == 0 && !error.contains("warning"), "{error}");
    let answer: Value = serde_json::from_str(&printed)?;
    assert_eq!(answer["unknown_targets"], json!([]), "{answer}");
    wait_until("it is followed", Duration::from_secs(10), || async {
        let printed = service.printed();
        let lines = printed.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut changes = lines.filter(|line| line["message"] == "what is logged was changed");
        let followed = changes.any(|line| line["filter"] == format!("{SERVED},{filter}"));
        Ok(if followed { Ok(()) } else { Err(printed) })
    })
    .await?;
    publish_traced(&world, &unit("villa-000", 1), TRACE, "00").await?;
    let printed = service.printed();
    let line = |message: &str| -> Value {
        let mut lines = printed.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.find(|line| line["message"] == message).unwrap_or_else(|| panic!("{message:?} is not logged:\n{printed}"))
    };
    for (message, verdict, told) in
        [("judged a unit change", "verdict", "taken"), ("took unit changes in", "verdicts", "taken 1")]
    {
        let line = line(message);
        assert_eq!((&line["trace_id"], &line["org_id"]), (&json!(TRACE), &json!(ORG)), "{line}");
        assert_eq!((&line["unit_id"], &line["revision"]), (&json!("villa-000"), &json!(1)), "{line}");
        assert_eq!(line[verdict], told, "{line}");
    }
    let pushed = line("pushed");
    assert_eq!((&pushed["span"], &pushed["module"]), (&json!("sync"), &json!("services::dispatcher::record")));
    for (name, told) in [("trace_id", TRACE), ("org_id", ORG), ("unit_id", "villa-000")] {
        assert_eq!(pushed[name], told, "{pushed}");
    }
    assert_eq!(pushed["target_id"], json!(target), "{pushed}");
    assert!(pushed["sync_id"].is_string() && pushed["listing_id"].is_string(), "{pushed}");
    // One query by the trace finds the lines of the intake and of the sync.
    let found = printed.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let found = found.filter(|line| line["trace_id"] == TRACE).map(|line| line["message"].clone());
    let found: Vec<Value> = found.collect();
    for message in ["judged a unit change", "took unit changes in", "pushed"] {
        assert!(found.contains(&json!(message)), "{message:?} is not among {found:?}");
    }
    drop(service);
    world.close().await
}
