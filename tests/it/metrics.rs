//! What `/metrics` says of the work: queues, windows, the intake; and how old it is while nobody can be asked.

use std::time::Duration;

use adapters::nats::topology::StreamKind;
use domain::target::{Configuration, TargetCommand};
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::nats_server::NatsServer;
use end_to_end::process::Process;
use end_to_end::unit::{described, names, unit};
use end_to_end::wait::wait_until;
use end_to_end::world::{Beginning, ORG, World};
use serde_json::json;

use crate::telemetry::metrics_of;

/// The figures are read every 15 s, and a NATS that is away is waited for before that.
const TO_BE_SHOWN: Duration = Duration::from_secs(60);

/// The value of the first series of a metric that has all of these labels.
pub(crate) fn value(text: &str, metric: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let is_it = |line: &&str| {
        line.strip_prefix(metric).is_some_and(|rest| rest.starts_with(['{', ' ']))
            && labels.iter().all(|(name, value)| line.contains(&format!("{name}=\"{value}\"")))
    };
    text.lines().find(is_it)?.rsplit(' ').next()?.parse().ok()
}

/// The page, once it says this.
pub(crate) async fn shown(service: &Process, what: &str, says: impl Fn(&str) -> bool) -> anyhow::Result<String> {
    let address = metrics_of(service).await?;
    wait_until(what, TO_BE_SHOWN, || async {
        let text = reqwest::get(&address).await?.text().await?;
        Ok(if says(&text) { Ok(text) } else { Err(text) })
    })
    .await
}

fn age(text: &str, source: &str) -> f64 {
    value(text, "distribution_figures_age_seconds", &[("source", source)]).unwrap_or(f64::INFINITY)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_waits_is_in_depth_and_age_of_the_queue_and_a_paused_one_is_apart() -> anyhow::Result<()> {
    let world = World::new(&[8220]).await?;
    let target = world.target(8220, RateLimit::new(100, 1_000)?).await?;
    // No dispatcher, and an API with connections of its own.
    let service = world
        .serve_with("intake,relay,projector,api", &["--metrics-listen", "127.0.0.1:0", "--metrics-interval-s", "1"])?;
    let listings = world.link(target, &names(1)).await?;
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    let depth = |text: &str| value(text, "distribution_queue_depth", &[("target_class", "unknown")]);
    let text = shown(&service, "the listing is in the queue", |text| depth(text) == Some(1.0)).await?;
    let id = target.to_string();
    let longest = value(&text, "distribution_target_queue_depth", &[("target_id", id.as_str())]);
    assert_eq!(longest, Some(1.0), "{text}");
    let age_of_queue = |text: &str| value(text, "distribution_queue_age_seconds", &[("target_class", "unknown")]);
    let before = age_of_queue(&text).expect("a queue has an age");
    // The next look is 15 s later.
    let later = shown(&service, "it grows older", |text| age_of_queue(text) > Some(before + 5.0)).await?;
    assert!(age_of_queue(&later) < Some(before + 60.0), "{later}");
    for pool in ["work", "api"] {
        let of = [("db_client_connection_pool_name", pool), ("db_client_connection_state", "idle")];
        assert!(value(&later, "db_client_connections", &of).is_some(), "{pool}: {later}");
    }
    assert!(age(&later, "postgres") < 30.0 && age(&later, "nats") < 30.0, "{later}");
    // A later change of the same listing restarts nothing.
    let long_ago = "UPDATE sync_queue SET requested_at = requested_at - interval '1 hour'";
    sqlx::query(long_ago).execute(&world.pool).await?;
    world.publish(&[described("villa-000", 2, "Changed while it waits.")]).await?;
    world.waits(2).await?;
    shown(&service, "it has waited for an hour", |text| age_of_queue(text) > Some(3_600.0)).await?;
    // From here on it is somebody's wish.
    let (code, _, said) = world.run(&["listing", "pause", &listings[0].to_string(), "--reason", "the owner asks"])?;
    assert_eq!(code, 0, "{said}");
    let apart = |metric: &str, text: &str| value(text, metric, &[("target_class", "listing_paused")]);
    let paused = |text: &str| apart("distribution_queue_age_seconds", text) > Some(3_600.0) && depth(text).is_none();
    let text = shown(&service, "it is paused", paused).await?;
    assert_eq!((age_of_queue(&text), apart("distribution_queue_depth", &text)), (None, Some(1.0)), "{text}");
    let longest = value(&text, "distribution_target_queue_depth", &[("target_id", id.as_str())]);
    assert_eq!(longest, Some(1.0), "{text}");
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_is_full_when_all_slots_of_its_lowered_limit_are_used() -> anyhow::Result<()> {
    let world = World::new(&[8221]).await?;
    let target = world.target(8221, RateLimit::new(100, 1_000)?).await?;
    let arguments = ["--metrics-listen", "127.0.0.1:0", "--metrics-interval-s", "1", "--egress-limit", "20/4s"];
    let service = world.serve_with("intake,relay,projector,dispatcher", &arguments)?;
    world.link(target, &names(1)).await?;
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    world.drained(Duration::from_secs(30)).await?;
    let lower = Configuration { rate_limit: Some(RateLimit::new(12, 1_000)?), ..Configuration::default() };
    world.commands().target(target, TargetCommand::Configure(lower), &world.metadata(target)?).await?;
    world.drained(Duration::from_secs(30)).await?;
    // The limit counts from the next work on.
    world.publish(&[described("villa-000", 2, "Under the lower limit.")]).await?;
    world.taken(1, 2).await?;
    world.drained(Duration::from_secs(30)).await?;
    let scope = format!("target:{target}");
    let slots: i64 = sqlx::query_scalar("SELECT count(*) FROM rate_slots WHERE scope = $1")
        .bind(&scope)
        .fetch_one(&world.pool)
        .await?;
    assert_eq!(slots, 100, "those above the limit stay");
    // Nobody's: the end of the last call may still be on its way, and would give its slot back.
    let taken =
        "UPDATE rate_slots SET hold_id = NULL, free_at = now() + interval '1 h' WHERE scope = $1 AND slot <= 12";
    sqlx::query(taken).bind(&scope).execute(&world.pool).await?;
    let use_of = |text: &str, labels: &[(&str, &str)]| value(text, "distribution_window_use_ratio", labels);
    let full = [("window_scope", "target")];
    let text = shown(&service, "the window is full", |text| use_of(text, &full) == Some(1.0)).await?;
    let egress = use_of(&text, &[("window_scope", "egress")]).expect("the egress has a limit");
    assert!((0.0..1.0).contains(&egress), "{text}");
    drop(service);
    world.close().await
}

/// It is degraded, as something answers, and nothing but its circuit tells that nothing is sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_answers_with_faults_alone_is_among_the_open_circuits() -> anyhow::Result<()> {
    let world = World::new(&[8226]).await?;
    let target = world.target(8226, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve_with(
        "intake,relay,projector,dispatcher",
        &["--metrics-listen", "127.0.0.1:0", "--metrics-interval-s", "1"],
    )?;
    let units = names(6);
    world.link(target, &units).await?;
    let open = |text: &str| value(text, "distribution_circuits_open", &[]);
    let open_for = |text: &str| value(text, "distribution_circuits_age_seconds", &[]);
    shown(&service, "no circuit is open", |text| (open(text), open_for(text)) == (Some(0.0), Some(0.0))).await?;
    world.publish(&units.iter().map(|name| unit(name, 1)).collect::<Vec<_>>()).await?;
    world.taken(6, 1).await?;
    world.drained(Duration::from_secs(60)).await?;
    world.sandbox.fault(json!({"kind": "status", "code": 503, "account": 8226})).await?;
    world.publish(&units.iter().map(|name| described(name, 2, "Nobody takes this.")).collect::<Vec<_>>()).await?;
    world.taken(6, 2).await?;
    let waits = |text: &str| value(text, "distribution_queue_depth", &[("target_class", "circuit_open")]);
    let degraded = |text: &str| value(text, "distribution_targets", &[("target_health", "degraded")]);
    let left_alone = |text: &str| (open(text), waits(text), degraded(text)) == (Some(1.0), Some(6.0), Some(1.0));
    let text = shown(&service, "it is left alone", left_alone).await?;
    let of_degraded = value(&text, "distribution_circuits_open", &[("target_health", "degraded")]);
    assert_eq!(of_degraded, Some(1.0), "{text}");
    let before = open_for(&text);
    assert!(before > Some(0.0), "{text}");
    shown(&service, "it still is", |text| open_for(text) > before).await?;

    let metadata = world.metadata(target)?;
    let pause = TargetCommand::Pause { reason: "test".to_owned() };
    world.commands().target(target, pause, &metadata).await?;
    let paused = |text: &str| value(text, "distribution_queue_depth", &[("target_class", "paused")]);
    let nobodys = |text: &str| (open(text), open_for(text), paused(text)) == (None, None, Some(6.0));
    shown(&service, "it is paused", nobodys).await?;
    world.commands().target(target, TargetCommand::Resume, &metadata).await?;
    world.sandbox.heal().await?;
    world.drained(Duration::from_secs(150)).await?;
    shown(&service, "it is closed", |text| (open(text), open_for(text)) == (Some(0.0), Some(0.0))).await?;
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_by_their_route_and_by_none_where_there_is_none() -> anyhow::Result<()> {
    let world = World::new(&[8227]).await?;
    let service = world.serve_with("api", &["--metrics-listen", "127.0.0.1:0", "--metrics-interval-s", "1"])?;
    let api = Api::of(&service).await?;
    api.get("/sign-in").await?.expect(200)?;
    api.get("/assets/nothing.css").await?.expect(404)?;
    api.get("/nothing/here").await?.expect(404)?;
    let text =
        shown(&service, "they are counted", |text| text.contains("http_server_request_duration_seconds_count")).await?;
    let counted: Vec<&str> =
        text.lines().filter(|line| line.starts_with("http_server_request_duration_seconds_count{")).collect();
    let of_route = |route: &str| counted.iter().any(|line| line.contains(&format!("http_route=\"{route}\"")));
    assert!(of_route("/sign-in") && of_route("/assets/{file}") && !of_route(""), "{counted:#?}");
    let of_none = counted.iter().filter(|line| !line.contains("http_route="));
    assert_eq!(of_none.count(), 1, "{counted:#?}");
    assert!(counted.iter().all(|line| line.contains("url_scheme=\"http\"")), "{counted:#?}");
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_of_postgres_go_on_while_nats_is_away() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut nats = NatsServer::start(folder.path()).await?;
    let world = World::begin(Beginning { nats_url: Some(nats.url()), ..Beginning::default() }, &[8222]).await?;
    let target = world.target(8222, RateLimit::new(100, 1_000)?).await?;
    let service = world
        .serve_with("intake,relay,projector", &["--metrics-listen", "127.0.0.1:0", "--metrics-interval-s", "1"])?;
    world.publish(&[unit("villa-000", 1), unit("villa-001", 1)]).await?;
    let garbage = world.nats.prefix.unit_changed(&ORG.parse()?, &"villa-002".parse()?);
    world.publish_raw(garbage, b"{".to_vec()).await?;
    world.taken(2, 1).await?;
    world.link(target, &["villa-000".to_owned()]).await?;
    let depth = |text: &str| value(text, "distribution_queue_depth", &[("target_class", "unknown")]);
    let lag = |text: &str| value(text, "distribution_lag_events", &[("reader", "relay channels")]);
    let letters = |text: &str| value(text, "distribution_dead_letters", &[]);
    let there = |text: &str| depth(text) == Some(1.0) && lag(text) == Some(0.0) && letters(text) == Some(1.0);
    let text = shown(&service, "one waits, and all of it is published", there).await?;
    let waits = |text: &str| value(text, "distribution_queue_age_seconds", &[("target_class", "unknown")]);
    let before = waits(&text).expect("a queue has an age");

    nats.process.kill();
    world.link(target, &["villa-001".to_owned()]).await?;
    let goes_on = |text: &str| waits(text) > Some(before + 5.0) && lag(text) > Some(0.0) && age(text, "nats") > 12.0;
    let text = shown(&service, "it goes on waiting, and the other link is not published", goes_on).await?;
    assert!(age(&text, "postgres") < 12.0, "{text}");
    assert_eq!(letters(&text), Some(1.0), "what NATS said last: {text}");

    nats.run().await?;
    let again = |text: &str| lag(text) == Some(0.0) && age(text, "nats") < 12.0;
    shown(&service, "NATS is asked again", again).await?;
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn unit_changes_are_counted_by_what_became_of_them() -> anyhow::Result<()> {
    let world = World::new(&[8223]).await?;
    let target = world.target(8223, RateLimit::new(100, 1_000)?).await?;
    world.link(target, &names(1)).await?;
    let service = world.serve_with("intake", &["--metrics-listen", "127.0.0.1:0", "--metrics-interval-s", "1"])?;
    // One after the other: what comes together is taken in together.
    let mut moved = unit("villa-000", 3);
    moved["account_id"] = "another".into();
    for change in [unit("villa-000", 2), unit("villa-000", 2), unit("villa-000", 1), moved, unit("villa-001", 1)] {
        world.publish(&[change]).await?;
        world.taken(1, 1).await?;
    }
    let garbage = world.nats.prefix.unit_changed(&ORG.parse()?, &"villa-002".parse()?);
    world.publish_raw(garbage, b"{".to_vec()).await?;
    world.taken(2, 1).await?;
    let verdicts = ["taken", "duplicate_revision", "older_revision", "other_account", "unlinked", "dead_letter"];
    let one_of_each = |text: &str| {
        let count = |verdict: &str| value(text, "distribution_intake_verdicts_total", &[("verdict", verdict)]);
        verdicts.iter().all(|verdict| count(verdict) == Some(1.0))
    };
    let text = shown(&service, "each is counted once", one_of_each).await?;
    assert!(!text.contains(ORG), "{text}");
    drop(service);
    world.close().await
}

/// Nobody takes anything in or relays, and nobody ever did.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_ever_took_in_or_relayed_waits_and_what_was_dropped_is_told() -> anyhow::Result<()> {
    let world = World::new(&[8224]).await?;
    world.target(8224, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve_with("projector", &["--metrics-listen", "127.0.0.1:0", "--metrics-interval-s", "1"])?;
    world.publish(&names(3).iter().map(|name| unit(name, 1)).collect::<Vec<_>>()).await?;
    let waiting = |text: &str| value(text, "distribution_intake_waiting", &[("intake_state", "waiting")]);
    let dropped = |text: &str| value(text, "distribution_intake_dropped", &[]);
    // The target's event is not published.
    let behind = |text: &str| value(text, "distribution_lag_events", &[("reader", "relay channels")]) > Some(0.0);
    let text = shown(&service, "three wait", |text| waiting(text) == Some(3.0) && behind(text)).await?;
    assert_eq!(dropped(&text), Some(0.0), "{text}");

    // An intake came up and went before it was given anything; then the stream makes room.
    world.nats.ensure_intake().await?;
    let mut full = world.nats.stream_config(StreamKind::Units)?;
    full.max_messages = 3;
    world.nats.jetstream.update_stream(full).await?;
    world.publish(&names(5)[3..].iter().map(|name| unit(name, 1)).collect::<Vec<_>>()).await?;
    let told = |text: &str| waiting(text) == Some(3.0) && dropped(text) == Some(2.0);
    shown(&service, "two were dropped", told).await?;
    drop(service);
    world.close().await
}
