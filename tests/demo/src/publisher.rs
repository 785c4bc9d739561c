//! Publishes unit changes as an organisation's own system would: CloudEvents on NATS JetStream, acknowledged.

use anyhow::Context as _;
use async_nats::HeaderMap;
use async_nats::jetstream::{self, ErrorCode};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;
use uuid::Uuid;

use crate::stage::Stage;

/// Streams that a service with our prefix has.
const STREAMS: [&str; 4] = ["UNITS", "CHANNELS", "AUDIT", "DEAD_LETTERS"];
/// Messages whose acknowledgement is awaited at the same time.
const IN_FLIGHT: usize = 64;

/// A connection to NATS.
#[derive(Debug, Clone)]
pub struct Publisher {
    jetstream: jetstream::Context,
    prefix: String,
}

impl Publisher {
    /// Connects.
    pub async fn connect(stage: &Stage) -> anyhow::Result<Self> {
        let client = async_nats::connect(&stage.nats_url).await.context("cannot reach NATS at NATS_URL")?;
        Ok(Self { jetstream: jetstream::new(client), prefix: stage.prefix.clone() })
    }

    /// Whether the service has set up its stream and listens to it.
    pub async fn intake_is_up(&self) -> bool {
        match self.jetstream.get_stream(self.stream("UNITS")).await {
            Ok(stream) => stream.get_consumer::<jetstream::consumer::pull::Config>("intake").await.is_ok(),
            Err(_) => false,
        }
    }

    /// Deletes our streams.
    pub async fn delete_streams(&self) -> anyhow::Result<()> {
        for name in STREAMS {
            let name = self.stream(name);
            if let Err(error) = self.jetstream.delete_stream(&name).await {
                let missing = matches!(error.kind(), jetstream::context::DeleteStreamErrorKind::JetStream(ref error)
                    if error.error_code() == ErrorCode::STREAM_NOT_FOUND);
                anyhow::ensure!(missing, "cannot delete stream {name}: {error}");
            }
        }
        Ok(())
    }

    /// Publishes bodies, many at a time; those of one unit must not be in one call.
    pub async fn publish_all(&self, bodies: &[Value]) -> anyhow::Result<()> {
        stream::iter(bodies).map(|body| self.publish(body)).buffer_unordered(IN_FLIGHT).try_collect().await
    }

    /// Publishes one body and waits until it is stored.
    pub async fn publish(&self, body: &Value) -> anyhow::Result<()> {
        let (org, unit) = (text(body, "org_id")?, text(body, "unit_id")?);
        let subject = format!("{}.supply.unit.changed.v1.{org}.{unit}", self.prefix);
        let id = Uuid::now_v7().to_string();
        let mut headers = HeaderMap::new();
        headers.insert("ce-specversion", "1.0");
        headers.insert("ce-type", "supply.unit.changed.v1");
        headers.insert("ce-source", "urn:demo");
        headers.insert("ce-id", id.as_str());
        headers.insert("ce-time", chrono::Utc::now().to_rfc3339());
        headers.insert("content-type", "application/json");
        headers.insert("Nats-Msg-Id", id.as_str());
        let payload = serde_json::to_vec(body)?;
        let stored = self.jetstream.publish_with_headers(subject, headers, payload.into()).await?;
        stored.await.with_context(|| format!("the change of {unit} was not stored"))?;
        Ok(())
    }

    fn stream(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }
}

fn text<'a>(body: &'a Value, field: &str) -> anyhow::Result<&'a str> {
    body[field].as_str().with_context(|| format!("a body has no {field}"))
}
