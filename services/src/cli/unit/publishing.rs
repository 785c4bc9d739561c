//! One unit change on its way to JetStream: subject, CloudEvents headers, and the acknowledgement that is awaited.

use std::collections::VecDeque;
use std::future::IntoFuture;

use adapters::nats::Nats;
use adapters::nats::topology::StreamKind;
use anyhow::Context;
use async_nats::HeaderMap;
use async_nats::jetstream::context::PublishAckFuture;
use chrono::{SecondsFormat, Utc};
use domain::ids::{OrgId, UnitId};
use uuid::Uuid;

/// Messages under way at the same time.
const AT_ONCE: usize = 256;

/// Publishes unit changes, many at a time, each acknowledged.
pub(super) struct Publishing {
    nats: Nats,
    under_way: VecDeque<PublishAckFuture>,
    trace_id: Uuid,
    pub(super) acknowledged: u64,
}

impl Publishing {
    /// Makes the stream where it is missing: the service may never have run.
    pub(super) async fn open(nats: Nats) -> anyhow::Result<Self> {
        if nats.stream(StreamKind::Units).await.is_err() {
            nats.ensure_stream(StreamKind::Units).await?;
        }
        Ok(Self { nats, under_way: VecDeque::new(), trace_id: Uuid::new_v4(), acknowledged: 0 })
    }

    /// Publishes a body; waits only when too many are under way.
    pub(super) async fn publish(&mut self, org: &OrgId, unit: &UnitId, body: Vec<u8>) -> anyhow::Result<()> {
        while self.under_way.len() >= AT_ONCE {
            self.settle_one().await?;
        }
        let subject = self.nats.prefix.unit_changed(org, unit);
        let sent = self.nats.jetstream.publish_with_headers(subject, self.headers(), body.into()).await;
        self.under_way.push_back(sent.context("failed to publish")?);
        Ok(())
    }

    /// Waits until everything is acknowledged.
    pub(super) async fn finish(&mut self) -> anyhow::Result<()> {
        while !self.under_way.is_empty() {
            self.settle_one().await?;
        }
        Ok(())
    }

    async fn settle_one(&mut self) -> anyhow::Result<()> {
        if let Some(acknowledgement) = self.under_way.pop_front() {
            let acknowledged = acknowledgement.into_future().await;
            acknowledged.context("NATS did not acknowledge a message; those before it are stored")?;
            self.acknowledged += 1;
        }
        Ok(())
    }

    /// No `Nats-Msg-Id`: a second publication of the same change is meant, and the intake knows duplicates itself.
    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("ce-specversion", "1.0");
        headers.insert("ce-id", Uuid::now_v7().to_string());
        headers.insert("ce-source", "distribution-cli");
        headers.insert("ce-type", "supply.unit.changed.v1");
        headers.insert("ce-time", Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true));
        headers.insert("content-type", "application/json");
        // W3C trace context: one trace for the run, one span for each message, sampled.
        let span = &Uuid::new_v4().simple().to_string()[..16];
        headers.insert("traceparent", format!("00-{}-{span}-01", self.trace_id.simple()));
        headers
    }
}
