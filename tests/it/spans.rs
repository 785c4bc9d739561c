//! Spans by OpenTelemetry's conventions: where a call to a channel went.

use anyhow::Context as _;
use domain::target::{Configuration, TargetCommand};
use domain::window::RateLimit;
use end_to_end::otlp::Receiver;
use end_to_end::unit::{names, unit};
use end_to_end::world::World;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use crate::metrics::value;
use crate::telemetry::{TRACE, metrics_of, publish_traced, telling};

/// What a span says under a name.
fn told(span: &Span, name: &str) -> String {
    let attribute = span.attributes.iter().find(|attribute| attribute.key == name);
    match attribute.and_then(|attribute| attribute.value.clone()?.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("{name} is {other:?} in {span:#?}"),
    }
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
