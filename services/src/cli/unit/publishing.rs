//! One unit change on its way to JetStream: subject, CloudEvents headers, the trace that begins with it, and the
//! acknowledgement that is awaited.

use std::collections::VecDeque;
use std::pin::pin;

use adapters::nats::Nats;
use adapters::nats::topology::StreamKind;
use adapters::telemetry::Stage;
use anyhow::Context;
use async_nats::HeaderMap;
use async_nats::jetstream::context::PublishAckFuture;
use chrono::{SecondsFormat, Utc};
use domain::ids::{OrgId, UnitId};
use uuid::Uuid;

use crate::cli::session::Session;

/// Messages under way at the same time.
const AT_ONCE: usize = 256;

/// Whoever stops waiting for it, goes on with it later.
type Acknowledgement = <PublishAckFuture as IntoFuture>::IntoFuture;

/// Publishes unit changes, many at a time, each acknowledged.
pub(super) struct Publishing<'a> {
    session: &'a Session,
    nats: Nats,
    /// Each with the root of its trace, which ends with the acknowledgement.
    under_way: VecDeque<(Acknowledgement, Stage)>,
    pub(super) acknowledged: u64,
}

impl<'a> Publishing<'a> {
    /// Makes the stream where it is missing: the service may never have run.
    pub(super) async fn open(session: &'a Session) -> anyhow::Result<Self> {
        let nats = session.nats().await?;
        nats.stream_or_new(StreamKind::Units).await?;
        Ok(Self { session, nats, under_way: VecDeque::new(), acknowledged: 0 })
    }

    /// Publishes a body; waits only when too many are under way.
    pub(super) async fn publish(&mut self, org: &OrgId, unit: &UnitId, body: Vec<u8>) -> anyhow::Result<()> {
        while self.under_way.len() >= AT_ONCE {
            self.settle_one().await?;
        }
        let (subject, id) = (self.nats.prefix.unit_changed(org, unit), Uuid::now_v7().to_string());
        // A trace for each change: of a file with thousands one that fails keeps its own alone.
        let (traceparent, mut stage) = self.session.publishes("publish a unit change");
        stage.set("messaging.system", "nats");
        stage.set("messaging.operation.name", "publish");
        stage.set("messaging.operation.type", "send");
        stage.set("messaging.destination.name", self.nats.prefix.strip(&subject).to_owned());
        stage.set("messaging.message.id", id.clone());
        stage.set("messaging.message.body.size", i64::try_from(body.len()).unwrap_or(i64::MAX));
        stage.set("distribution.org.id", org.to_string());
        stage.set("distribution.unit.id", unit.to_string());
        let headers = headers(&id, &traceparent);
        let sent = self.nats.jetstream.publish_with_headers(subject, headers, body.into()).await;
        if let Err(error) = &sent {
            stage.fail(error.to_string());
        }
        self.under_way.push_back((sent.context("failed to publish")?.into_future(), stage));
        Ok(())
    }

    /// Waits for something else, and settles what is acknowledged until then: whoever pipes changes in may pause for hours.
    pub(super) async fn meanwhile<T>(&mut self, other: impl Future<Output = T>) -> anyhow::Result<T> {
        let mut other = pin!(other);
        loop {
            tokio::select! {
                biased;
                done = &mut other => return Ok(done),
                settled = self.settle_one(), if !self.under_way.is_empty() => settled?,
            }
        }
    }

    /// Waits until everything is acknowledged.
    pub(super) async fn finish(&mut self) -> anyhow::Result<()> {
        while !self.under_way.is_empty() {
            self.settle_one().await?;
        }
        Ok(())
    }

    /// It stays under way until its acknowledgement is there, so that nothing is lost where this is given up in between.
    async fn settle_one(&mut self) -> anyhow::Result<()> {
        let Some((acknowledgement, stage)) = self.under_way.front_mut() else { return Ok(()) };
        let acknowledged = acknowledgement.await;
        if let Err(error) = &acknowledged {
            stage.fail(error.to_string());
        }
        self.under_way.pop_front();
        acknowledged.context("NATS did not acknowledge a message; those before it are stored")?;
        self.acknowledged += 1;
        Ok(())
    }
}

/// No `Nats-Msg-Id`: a second publication of the same change is meant, and the intake knows duplicates itself.
fn headers(id: &str, traceparent: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("ce-specversion", "1.0");
    headers.insert("ce-id", id);
    headers.insert("ce-source", "distribution-cli");
    headers.insert("ce-type", "supply.unit.changed.v1");
    headers.insert("ce-time", Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true));
    headers.insert("content-type", "application/json");
    headers.insert("traceparent", traceparent);
    headers
}
