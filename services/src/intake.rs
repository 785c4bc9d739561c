//! The intake: unit changes from NATS become sync requests of the listings that follow the unit.
//!
//! A message is acknowledged when everything that it stands for is in Postgres. What cannot be used goes to the dead
//! letters with its field and reason; what changes nothing is counted; what fails comes again. None stops the stream.

mod decode;
mod followers;
#[cfg(any(test, fuzzing))]
pub mod fuzz_door;
mod look;
mod take;
mod unasked;
mod verdict;

use std::collections::BTreeMap;
use std::time::Duration;

use adapters::masking::MaskedProblems;
use adapters::nats::Nats;
use adapters::nats::topology::{StreamKind, TopologyError};
use adapters::telemetry::intake_done;
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::{AckKind, Message};
use domain::counted::counted;
use domain::hash::SnapshotHash;
use futures::StreamExt;
use tokio::time::Interval;
use tokio_util::sync::CancellationToken;

use crate::syncing::Syncing;
use decode::{Incoming, decode};
use look::Look;
use take::{Named, Taken};
use verdict::{Verdict, wait_after};

/// Messages that are taken in together.
const BATCH: usize = 256;
/// Their size together, in bytes, where one of them alone is not larger: 256 usual ones are in it, which have some five thousand each. What
/// is made of them takes many times as much.
const MOST_BYTES: usize = 2 * 1024 * 1024;
/// What the server counts beside the largest message that it takes: its subject, and where it is answered.
const BESIDE: usize = 64 * 1024;
/// The longest wait for the first of them, before it is asked for anew.
const WAIT: Duration = Duration::from_secs(3);
/// How often the server hears that work goes on. It sends a message again after 30 s of silence.
const PROGRESS: Duration = Duration::from_secs(10);
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

    /// Works until `stop`. A lost stream, server or database is waited for. A batch that is being taken ends first.
    pub async fn run(self, stop: CancellationToken) {
        tokio::join!(self.take_in(&stop), unasked::run(&self.syncing, &stop));
    }

    async fn take_in(&self, stop: &CancellationToken) {
        let mut look = Look::default();
        while !stop.is_cancelled() {
            if let Err(error) = self.consume(stop, &mut look).await {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "the intake lost its stream or its database; it starts again"
                );
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(Duration::from_millis(500)) => {}
            }
        }
    }

    async fn consume(&self, stop: &CancellationToken, look: &mut Look) -> anyhow::Result<()> {
        let consumer = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            consumer = self.ensure_streams() => consumer?,
        };
        look.begin();
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                looked = look.look(&self.nats) => looked?,
            }
            let (arrived, lost) = self.fetch(&consumer, stop).await?;
            if stop.is_cancelled() {
                // Others, or the next process, have them at once instead of after the acknowledgement's time-out.
                answer(&arrived, AckKind::Nak(None)).await;
                // Answers are written in the background, and the process is about to end.
                let _ = tokio::time::timeout(Duration::from_secs(1), self.nats.client.flush()).await;
                return Ok(());
            }
            look.see(&arrived);
            self.take_all(&arrived).await?;
            if let Some(error) = lost {
                anyhow::bail!(error);
            }
        }
        Ok(())
    }

    /// Also the stream of dead letters, which is lost with NATS's store: a message that cannot be buried would come again
    /// for ever, and with it all that came beside it. Streams that are there are used as they are.
    async fn ensure_streams(&self) -> Result<PullConsumer, TopologyError> {
        self.nats.stream_or_new(StreamKind::DeadLetters).await?;
        self.nats.ensure_intake().await
    }

    /// What is there, or the first that comes. Nothing is fetched ahead: it would wait unacknowledged.
    async fn fetch(&self, consumer: &PullConsumer, stop: &CancellationToken) -> anyhow::Result<Fetched> {
        // At least the largest: else the server would never give it out.
        let most_bytes = MOST_BYTES.max(self.nats.max_payload() + BESIDE);
        let pull = consumer.fetch().max_messages(BATCH).max_bytes(most_bytes).expires(WAIT).messages().await;
        let mut pull = pull?;
        let mut arrived = Vec::new();
        loop {
            let message = tokio::select! {
                biased;
                message = pull.next() => message,
                () = stop.cancelled() => None,
            };
            match message {
                Some(Ok(message)) => arrived.push(message),
                // The end of a batch that is full by its bytes is told as an error.
                Some(Err(_)) if !arrived.is_empty() => return Ok((arrived, None)),
                Some(Err(error)) => return Ok((arrived, Some(error))),
                None => return Ok((arrived, None)),
            }
        }
    }

    /// Some after the others, where a server that takes larger messages has given more than is taken in together.
    async fn take_all(&self, arrived: &[Message]) -> anyhow::Result<()> {
        let mut beats = tokio::time::interval(PROGRESS);
        beats.reset();
        let mut left = arrived;
        while !left.is_empty() {
            let (batch, later) = left.split_at(together(left));
            self.take_batch(batch, left, &mut beats).await?;
            left = later;
        }
        Ok(())
    }

    /// Takes the first of those that are left.
    async fn take_batch(&self, batch: &[Message], left: &[Message], beats: &mut Interval) -> anyhow::Result<()> {
        let work = self.take(batch);
        tokio::pin!(work);
        let taken = loop {
            tokio::select! {
                taken = &mut work => break taken,
                // A unit that thousands follow takes its time; nobody else is to begin with it meanwhile.
                _ = beats.tick() => answer(left, AckKind::Progress).await,
            }
        };
        if taken.is_err() {
            for message in left {
                answer(std::slice::from_ref(message), AckKind::Nak(Some(wait_after(deliveries(message))))).await;
            }
        }
        taken
    }

    async fn take(&self, arrived: &[Message]) -> anyhow::Result<()> {
        let incoming: Vec<Incoming> = arrived.iter().map(|message| decode(&self.nats.prefix, message)).collect();
        let mut taken = Taken::take(&self.syncing, incoming, CONCURRENT).await?;
        for (message, (verdict, named)) in arrived.iter().zip(taken.verdicts.iter_mut().zip(&taken.named)) {
            verdict.end_after(deliveries(message));
            match verdict {
                Verdict::DeadLetter(problems) => {
                    if let Err(error) = self.bury(message, named, problems).await {
                        taken.fail_stages(&error);
                        return Err(error);
                    }
                }
                Verdict::Failed(failed) => {
                    let (Named { trace_id, org_id, unit_id, .. }, error) = (named, failed.reason());
                    tracing::warn!(subject = %message.subject, trace_id, org_id, unit_id, error, "a unit change comes again later");
                }
                _ => {}
            }
        }
        let counts = taken.counts();
        if let Err(error) = self.count(&counts, &taken.kept).await {
            taken.fail_stages(&error);
            return Err(error);
        }
        taken.end_stages();
        taken.log_each();
        let taken_in = counts.iter().fold(BTreeMap::<&str, i64>::new(), |mut all, ((_, verdict), count)| {
            *all.entry(verdict).or_default() += count;
            all
        });
        let verdicts =
            taken_in.iter().map(|(verdict, count)| format!("{verdict} {count}")).collect::<Vec<_>>().join(", ");
        let Named { trace_id, org_id, unit_id, revision } = taken.in_common();
        tracing::info!(messages = arrived.len(), verdicts, trace_id, org_id, unit_id, revision, "took unit changes in");
        for (verdict, count) in taken_in {
            intake_done(verdict, u64::try_from(count).unwrap_or_default());
        }
        for (message, verdict) in arrived.iter().zip(&taken.verdicts) {
            let kind = match verdict {
                Verdict::Failed(_) => AckKind::Nak(Some(wait_after(deliveries(message)))),
                _ => AckKind::Ack,
            };
            answer(std::slice::from_ref(message), kind).await;
        }
        Ok(())
    }

    /// Counts what was taken in, which is the last word before it is acknowledged. The units were kept first: a failover since then may have
    /// lost them, and left the syncs that were asked for after it, of which nobody would have anything to send.
    async fn count(&self, counts: &BTreeMap<(String, &'static str), i64>, kept: &[SnapshotHash]) -> anyhow::Result<()> {
        let lost = self.syncing.units().count(counts, kept).await?;
        anyhow::ensure!(
            lost == 0,
            "the database lacks {} of those stored a moment ago: all that came with them comes again",
            counted(lost, "unit")
        );
        Ok(())
    }

    async fn bury(&self, message: &Message, named: &Named, problems: &MaskedProblems) -> anyhow::Result<()> {
        let id = message.info().map_or_else(
            |_| domain::hash::PayloadHash::of_bytes(&message.payload).to_string(),
            |info| format!("{}-{}", info.stream_sequence, info.published.unix_timestamp_nanos()),
        );
        let listed = problems.as_slice();
        let reason = listed.iter().take(3).map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let reason = domain::text::cut(&reason, LONGEST_REASON);
        let Named { trace_id, org_id, unit_id, .. } = named;
        tracing::warn!(subject = %message.subject, trace_id, org_id, unit_id, problems = listed.len(), reason, "a unit change cannot be used: it is a dead letter now");
        let payload = message.payload.clone();
        let headers = message.headers.as_ref();
        Ok(self.nats.bury(&id, &message.subject, headers, payload, problems, trace_id.as_deref()).await?)
    }
}

/// Messages, and what ended the pull if that was an error.
type Fetched = (Vec<Message>, Option<async_nats::Error>);

/// How many of the first ones are taken in together; one in any case.
fn together(messages: &[Message]) -> usize {
    let mut bytes = 0;
    let fits = |message: &&Message| {
        bytes += message.payload.len();
        bytes <= MOST_BYTES
    };
    messages.iter().take_while(fits).count().max(1)
}

/// How often a message was delivered, this time included.
fn deliveries(message: &Message) -> i64 {
    message.info().map_or(1, |info| info.delivered)
}

async fn answer(messages: &[Message], kind: AckKind) {
    for message in messages {
        if let Err(error) = message.ack_with(kind).await {
            // It comes again and is found to be a duplicate.
            tracing::debug!(error = %error, "failed to answer a unit change");
        }
    }
}
