//! Spans by OpenTelemetry's conventions, and where a trace begins: a unit change that the command line publishes, and where a
//! call to a channel went.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::{Duration, Instant};

use adapters::nats::topology::StreamKind;
use anyhow::Context as _;
use domain::target::{Configuration, TargetCommand};
use domain::window::RateLimit;
use end_to_end::otlp::Receiver;
use end_to_end::process::binary;
use end_to_end::unit::{names, unit};
use end_to_end::wait::wait_until;
use end_to_end::world::{ORG, World};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::metrics::value;
use crate::telemetry::{TRACE, metrics_of, publish_traced, telling, tree};

const RECEIVER: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const RATIO: &str = "DISTRIBUTION_TRACE_RATIO";
const ROOT: &str = "publish a unit change";

/// What a span says under a name.
fn told(span: &Span, name: &str) -> String {
    let attribute = span.attributes.iter().find(|attribute| attribute.key == name);
    match attribute.and_then(|attribute| attribute.value.clone()?.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("{name} is {other:?} in {span:#?}"),
    }
}

/// What a message carries.
#[derive(Debug)]
struct Carried {
    trace: String,
    span: String,
    flags: String,
}

impl Carried {
    fn of(traceparent: &str) -> Option<Self> {
        let mut parts = traceparent.split('-').skip(1).map(str::to_owned);
        Some(Self { trace: parts.next()?, span: parts.next()?, flags: parts.next()? })
    }

    fn is_kept(&self) -> bool {
        self.flags == "01"
    }
}

/// Publishes so many units by the command, with this in its environment; gives what their messages carry, and what was said.
async fn publish(world: &World, count: usize, variables: &[(&str, &str)]) -> anyhow::Result<(Vec<Carried>, String)> {
    let file = world.path("changes.ndjson").display().to_string();
    let lines: Vec<String> = names(count).iter().map(|name| unit(name, 1).to_string()).collect();
    std::fs::write(&file, lines.join("\n"))?;
    let (code, printed, said) = world.run_with(variables, &["unit", "publish", &file])?;
    assert_eq!(code, 0, "{printed}{said}");
    let messages = world.messages(StreamKind::Units).await?;
    let newest = messages.iter().rev().take(count);
    let carried = newest.map(|message| Carried::of(message.headers.get("traceparent")?.as_str()));
    Ok((carried.collect::<Option<Vec<_>>>().context("each carries a trace")?, said))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_published_change_begins_a_trace_which_is_kept_by_the_ratio_with_its_root() -> anyhow::Result<()> {
    let receiver = Receiver::grpc().await?;
    let world = World::new(&[8228]).await?;
    // Else nobody knows its organisation, and each change would be a failure.
    world.target(8228, RateLimit::new(100, 1_000)?).await?;
    let mut service = telling(&world, &receiver, "intake", &[])?;
    let receiving = (RECEIVER, receiver.endpoint.as_str());
    let (published, said) = publish(&world, 64, &[receiving, (RATIO, "0.5")]).await?;
    let traces: BTreeSet<&str> = published.iter().map(|carried| carried.trace.as_str()).collect();
    assert_eq!(traces.len(), 64, "one for each change");
    let (kept, quiet): (Vec<_>, Vec<_>) = published.iter().partition(|carried| carried.is_kept());
    assert!(!kept.is_empty() && !quiet.is_empty(), "half of them: {published:#?}");
    // The command has sent them before it ended.
    for carried in &kept {
        let spans = receiver.received.spans_of(&carried.trace);
        let root = spans.iter().find(|span| span.name == ROOT).with_context(|| format!("{carried:?}: {said}"))?;
        let id: String = root.span_id.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((id.as_str(), root.kind()), (carried.span.as_str(), SpanKind::Producer));
        assert!(root.parent_span_id.is_empty(), "{root:#?}");
        let subject = format!("supply.unit.changed.v1.{ORG}.{}", told(root, "distribution.unit.id"));
        assert_eq!(told(root, "messaging.destination.name"), subject);
        let operation = ["messaging.system", "messaging.operation.name", "messaging.operation.type"];
        assert_eq!(operation.map(|name| told(root, name)), ["nats", "publish", "send"]);
    }
    let (none, _) = publish(&world, 8, &[receiving, (RATIO, "0")]).await?;
    assert!(none.iter().all(|carried| carried.flags == "00"), "{none:#?}");
    wait_until("all are taken in", Duration::from_secs(30), || async {
        let taken = world.count("SELECT coalesce(sum(count), 0)::bigint FROM intake_tally").await?;
        Ok(if taken == 72 { Ok(()) } else { Err(format!("{taken} are")) })
    })
    .await?;
    assert!(service.stop()?, "it ends by itself:\n{}", service.printed());
    for carried in &kept {
        let told = tree(&receiver, &carried.trace);
        assert!(told.get("take a unit change in").is_some_and(|under| under.contains(ROOT)), "{told:#?}");
    }
    for Carried { trace, .. } in quiet.into_iter().chain(&none) {
        assert!(receiver.received.spans_of(trace).is_empty(), "{:#?}", tree(&receiver, trace));
    }
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_waits_for_no_receiver_and_without_one_says_of_no_trace_that_it_is_kept() -> anyhow::Result<()> {
    let world = World::new(&[8230]).await?;
    let all = (RATIO, "1");
    let (published, _) = publish(&world, 2, &[all]).await?;
    assert!(published.iter().all(|carried| carried.flags == "00"), "{published:?}");
    let (published, said) = publish(&world, 2, &[all, (RECEIVER, "nowhere")]).await?;
    assert!(published.iter().all(|carried| carried.flags == "00"), "{published:?}");
    assert!(said.contains("the trace of this command is not sent"), "{said}");
    // Nobody is at the discard port, and the other one takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0")?;
    for endpoint in ["http://127.0.0.1:9".to_owned(), format!("http://{}", silent.local_addr()?)] {
        let began = Instant::now();
        let (published, said) = publish(&world, 2, &[all, (RECEIVER, endpoint.as_str())]).await?;
        assert!(published.iter().all(Carried::is_kept), "{published:?}: {said}");
        assert!(began.elapsed() < Duration::from_secs(15), "{endpoint}: {:?}", began.elapsed());
    }
    world.close().await
}

/// Whoever pipes changes in may pause for hours.
#[tokio::test(flavor = "multi_thread")]
async fn the_root_of_a_published_change_ends_with_its_acknowledgement_and_not_with_the_command() -> anyhow::Result<()> {
    let receiver = Receiver::grpc().await?;
    let world = World::new(&[8231]).await?;
    let mut command = Command::new(binary("distribution")?)
        .args(["unit", "publish", "-"])
        .envs(world.environment()?)
        .envs([(RECEIVER, receiver.endpoint.as_str()), (RATIO, "1"), ("OTEL_BSP_SCHEDULE_DELAY", "200")])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let mut changes = command.stdin.take().context("it reads them")?;
    changes.write_all(format!("{}\n", unit("villa-000", 1)).as_bytes()).await?;
    wait_until("its root is received", Duration::from_secs(20), || async {
        let text = receiver.received.text();
        Ok(if text.contains(&format!("name: \"{ROOT}\"")) { Ok(()) } else { Err(text) })
    })
    .await?;
    assert!(command.try_wait()?.is_none(), "it waits for the next one");
    drop(changes);
    assert!(command.wait().await?.success());
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_names_its_server_and_its_address_without_what_looks_like_a_secret() -> anyhow::Result<()> {
    let receiver = Receiver::grpc().await?;
    let world = World::new(&[8229]).await?;
    let target = world.target(8229, RateLimit::new(100, 1_000)?).await?;
    let mut service = telling(&world, &receiver, "", &["--metrics-listen", "127.0.0.1:0"])?;
    world.link(target, &names(1)).await?;
    publish_traced(&world, &unit("villa-000", 1), TRACE, "01").await?;
    let root = world.sandbox.url.clone();
    let port = root.rsplit(':').next().context("it has a port")?;
    let text = reqwest::get(&metrics_of(&service).await?).await?.text().await?;
    let of_creation = [("server_address", "127.0.0.1"), ("server_port", port), ("distribution_call_purpose", "create")];
    let counted = value(&text, "http_client_request_duration_seconds_count", &of_creation);
    assert_eq!(counted, Some(1.0), "{text}");
    // It fails, so its trace is kept.
    let leaky = format!("{root}/api_key=hunter22/v1");
    let leaky = Configuration { base_url: Some(leaky), ..Configuration::default() };
    world.commands().target(target, TargetCommand::Configure(leaky), &world.metadata(target)?).await?;
    let (code, printed, said) = world.run(&["target", "check", &target.to_string()])?;
    assert_eq!(code, 1, "{printed}{said}");
    assert!(service.stop()?, "it ends by itself:\n{}", service.printed());

    let spans = receiver.received.spans_of(TRACE);
    let calls: Vec<&Span> = spans.iter().filter(|span| span.kind() == SpanKind::Client).collect();
    let create = calls.iter().find(|call| call.name == "POST create").context("it was created")?;
    assert_eq!(told(create, "url.full"), format!("{root}/v1/listings?includeResources=1"));
    for call in calls {
        assert_eq!([told(call, "server.address"), told(call, "server.port")], ["127.0.0.1", port], "{call:#?}");
        let begins = format!("{root}{}", told(call, "url.path"));
        assert!(told(call, "url.full").starts_with(&begins), "{call:#?}");
    }
    let text = receiver.received.text();
    assert!(text.contains(&format!("\"{root}/api_key=•••\"")) && !text.contains("hunter22"), "{text}");
    drop(service);
    world.close().await
}
