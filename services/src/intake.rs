//! The intake: unit changes from NATS become sync requests of the listings that follow the unit.
//!
//! A message is acknowledged when everything that it stands for is in Postgres. What cannot be used goes to the dead
//! letters with its field and reason; what changes nothing is counted. Neither ever stops the stream.

mod decode;
mod take;

use std::sync::Arc;
use std::time::Duration;

use adapters::nats::Nats;
use async_nats::jetstream::{AckKind, Message};
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::syncing::Syncing;
use decode::{Incoming, decode};
use take::{Taken, Verdict};

/// Messages that are taken in together.
const BATCH: usize = 256;
/// Commands that run at the same time, to be gathered by the journal.
const CONCURRENT: usize = 256;

/// Characters of what is wrong with a message in the log; the dead letter has more.
const LONGEST_REASON: usize = 500;

/// The intake role.
#[derive(Debug)]
pub struct Intake {
    nats: Nats,
    syncing: Syncing,
}

impl Intake {
    /// An intake over this connection.
    pub fn new(nats: Nats, syncing: Syncing) -> Self {
        Self { nats, syncing }
    }

    /// Works until `stop`. A lost stream, server or database is waited for.
    pub async fn run(self, stop: CancellationToken) {
        let intake = Arc::new(self);
        while !stop.is_cancelled() {
            let worked = tokio::select! {
                () = stop.cancelled() => return,
                worked = intake.consume(&stop) => worked,
            };
            if let Err(error) = worked {
                tracing::warn!(error = %error, "the intake lost its stream or its database; it starts again");
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    async fn consume(&self, stop: &CancellationToken) -> anyhow::Result<()> {
        let consumer = self.nats.ensure_intake().await?;
        let messages = consumer
            .stream()
            .max_messages_per_batch(2 * BATCH)
            .expires(Duration::from_secs(10))
            .heartbeat(Duration::from_secs(3))
            .messages()
            .await?;
        let mut batches = messages.ready_chunks(BATCH);
        while let Some(batch) = batches.next().await {
            let mut arrived = Vec::with_capacity(batch.len());
            let mut lost = None;
            for message in batch {
                match message {
                    Ok(message) => arrived.push(message),
                    Err(error) => lost = Some(error),
                }
            }
            self.take_batch(arrived).await?;
            if let Some(error) = lost {
                return Err(error.into());
            }
            if stop.is_cancelled() {
                return Ok(());
            }
        }
        anyhow::bail!("the stream of unit changes ended")
    }

    async fn take_batch(&self, arrived: Vec<Message>) -> anyhow::Result<()> {
        if arrived.is_empty() {
            return Ok(());
        }
        let incoming: Vec<Incoming> = arrived.iter().map(|message| decode(&self.nats.prefix, message)).collect();
        let taken = Taken::take(&self.syncing, incoming, CONCURRENT).await?;
        for (message, verdict) in arrived.iter().zip(&taken.verdicts) {
            if let Verdict::DeadLetter(problems) = verdict {
                self.bury(message, problems).await?;
            }
        }
        let counts = taken.counts();
        tracing::info!(messages = arrived.len(), ?counts, "took unit changes in");
        self.syncing.units().count(&counts).await?;
        for message in &arrived {
            if let Err(error) = message.ack_with(AckKind::Ack).await {
                // It comes again and is found to be a duplicate.
                tracing::debug!(error = %error, "failed to acknowledge a unit change");
            }
        }
        Ok(())
    }

    async fn bury(&self, message: &Message, problems: &[domain::unit::Problem]) -> anyhow::Result<()> {
        let id = message.info().map_or_else(
            |_| domain::hash::PayloadHash::of_bytes(&message.payload).to_string(),
            |info| format!("{}-{}", info.stream_sequence, info.published.unix_timestamp_nanos()),
        );
        let reason = problems.iter().take(3).map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let reason = domain::text::cut(&reason, LONGEST_REASON);
        tracing::warn!(subject = %message.subject, problems = problems.len(), reason, "a unit change cannot be used: it is a dead letter now");
        let payload = message.payload.clone();
        Ok(self.nats.bury(&id, &message.subject, message.headers.as_ref(), payload, problems).await?)
    }
}
