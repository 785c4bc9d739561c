//! One unit change on its way to JetStream: subject, CloudEvents headers, the trace that begins with it, and the
//! acknowledgement that is awaited. Where nobody takes it for a moment, as while a cluster elects a leader, it is sent again.

use std::collections::VecDeque;
use std::pin::pin;

use adapters::nats::Nats;
use adapters::nats::topology::{StreamKind, TopologyError};
use adapters::telemetry::Stage;
use async_nats::HeaderMap;
use async_nats::header::NATS_MESSAGE_ID;
use bytes::Bytes;
use chrono::{SecondsFormat, Utc};
use domain::counted::{agreeing, counted};
use domain::ids::{OrgId, UnitId};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::sending::{AGAIN, PATIENCE, Sending, Unsent};
use crate::cli::failure::Failure;
use crate::cli::output::note;
use crate::cli::session::Session;

/// Messages under way at the same time.
const AT_ONCE: usize = 256;

/// Publishes unit changes, many at a time, each acknowledged.
pub(super) struct Publishing<'a> {
    session: &'a Session,
    nats: Nats,
    /// Each with the root of its trace, which ends with the acknowledgement.
    under_way: VecDeque<(Sending, Stage)>,
    pub(super) acknowledged: u64,
}

impl<'a> Publishing<'a> {
    /// Makes the stream where it is missing: the service may never have run.
    pub(super) async fn open(session: &'a Session) -> anyhow::Result<Self> {
        let nats = session.nats().await?;
        let began = Instant::now();
        let mut told = false;
        while let Err(error) = nats.stream_or_new(StreamKind::Units).await {
            let nothing = |why: &str| {
                let nothing = format!("nothing was published: {why}; run `distribution doctor`");
                Failure::Unreachable(nothing)
            };
            if !matches!(error, TopologyError::Away { .. }) {
                return Err(error.into());
            }
            // It will have none in a moment either.
            if !nats.client.server_info().jetstream {
                return Err(anyhow::Error::new(error).context(nothing("this NATS server has no JetStream")));
            }
            if began.elapsed() >= PATIENCE {
                let silent = nothing("JetStream does not answer for the stream of unit changes");
                return Err(anyhow::Error::new(error).context(silent));
            }
            if !told && !session.out.is_json() {
                note(&format!("JetStream does not answer yet: trying for {} s", PATIENCE.as_secs()));
                told = true;
            }
            sleep(AGAIN).await;
        }
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
        let mut sending = Sending::new(subject, headers, Bytes::from(body));
        if let Err(unsent) = sending.begin(&self.nats.jetstream).await {
            stage.fail(unsent.error.to_string());
            return Err(self.given_up(unsent));
        }
        self.under_way.push_back((sending, stage));
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
        let Some((sending, stage)) = self.under_way.front_mut() else { return Ok(()) };
        let settled = sending.settle(&self.nats.jetstream).await;
        if let Err(unsent) = &settled {
            stage.fail(unsent.error.to_string());
        }
        self.under_way.pop_front();
        settled.map_err(|unsent| self.given_up(unsent))?;
        self.acknowledged += 1;
        Ok(())
    }

    /// What is stored and what is not, as far as that is known.
    fn given_up(&self, unsent: Unsent) -> anyhow::Error {
        let Unsent { error, may_pass, may_be_stored } = unsent;
        let fate = if may_be_stored { "whether it is stored is not known" } else { "it is not stored" };
        let (before, others) = (self.acknowledged, self.under_way.len());
        let before = format!("{} before it {} stored", counted(before, "message"), agreeing(before, "is", "are"));
        let others = if others == 0 { String::new() } else { format!(", {others} more may be") };
        let words = format!(
            "NATS did not acknowledge a message: {fate}; {before}{others}. To publish all of them again does no harm"
        );
        let error = anyhow::Error::new(error);
        if may_pass { error.context(Failure::Unreachable(words)) } else { error.context(words) }
    }
}

/// The stream takes what is sent again once, by its id. A second publication of the same change has another one: it is meant, and the intake
/// knows duplicates itself.
fn headers(id: &str, traceparent: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(NATS_MESSAGE_ID, id);
    headers.insert("ce-specversion", "1.0");
    headers.insert("ce-id", id);
    headers.insert("ce-source", "distribution-cli");
    headers.insert("ce-type", "supply.unit.changed.v1");
    headers.insert("ce-time", Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true));
    headers.insert("content-type", "application/json");
    headers.insert("traceparent", traceparent);
    headers
}
