//! One stream that the relay writes: from its tail on, in batches, behind the fence on its last sequence.

use adapters::event_store::{PgEventLog, StoredEvent};
use adapters::nats::Nats;
use adapters::nats::batch::{BatchError, BatchMessage, MAX_BATCH};
use adapters::nats::topology::StreamKind;
use domain::recorded::Position;

use super::headers::CONTINUES;
use super::messages::messages;
use super::tail::{Tail, find_tail};
use super::{Chunk, Place};

/// The size of a batch, in bytes: its answer has to come within the time of a request.
const MOST_BYTES: usize = 8 * 1024 * 1024;
/// So many messages go one after the other: for a batch the server opens files of its own first, which takes it longer.
const FEW: usize = 4;

pub(super) struct StreamWriter<'a> {
    nats: &'a Nats,
    kind: StreamKind,
    /// The sequence of the stream's last message.
    last_sequence: u64,
    /// Everything up to here is in the stream.
    place: Place,
    /// Of the event at this position so many messages are in the stream already.
    begun: Option<(Position, usize)>,
    /// When the stream that this writer knows was made; another time means another stream.
    created_at: i128,
    failure: Option<anyhow::Error>,
}

impl<'a> StreamWriter<'a> {
    /// Opens a stream at its tail. An empty one begins where its retention begins.
    pub(super) async fn open(nats: &'a Nats, log: &PgEventLog, kind: StreamKind) -> anyhow::Result<Self> {
        let stream = nats.ensure_stream(kind).await?;
        let info = stream.cached_info();
        let last_sequence = info.state.last_sequence;
        let created_at = info.created.unix_timestamp_nanos();
        let tail = match find_tail(&stream, log).await? {
            Some(tail) => tail,
            None => {
                let position = log.before_age(info.config.max_age.as_secs_f64()).await?;
                Tail { position, begun: None, last: None }
            }
        };
        let Tail { position, begun, last } = tail;
        tracing::info!(stream = %info.config.name, position = position.0, "the relay is at the tail of its stream");
        let place = Place { position, last };
        Ok(Self { nats, kind, last_sequence, place, begun, created_at, failure: None })
    }

    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// Sees a stream that was deleted, made anew or cut behind our back, even while nothing is to be published.
    pub(super) async fn check_tail(&mut self) -> anyhow::Result<()> {
        let stream = self.nats.stream(self.kind).await?;
        let info = stream.cached_info();
        anyhow::ensure!(
            info.created.unix_timestamp_nanos() == self.created_at && info.state.last_sequence == self.last_sequence,
            "stream {} is not the one that was written",
            info.config.name
        );
        Ok(())
    }

    /// There is nothing to do up to a position: everything is in the stream, or the writer has failed.
    pub(super) fn rests_at(&self, settled: Position) -> bool {
        self.place.position >= settled || self.failure.is_some()
    }

    /// Why nothing is published any more, if so.
    pub(super) fn failure(&mut self) -> anyhow::Result<()> {
        self.failure.take().map_or(Ok(()), Err)
    }

    /// Publishes events that follow the stream's position; with them everything up to a position is in the stream. After
    /// a failure it does nothing: the stream is to be opened anew, and goes on from its tail.
    pub(super) async fn publish_events(&mut self, chunk: &Chunk) {
        if self.rests_at(chunk.up_to.position) {
            return;
        }
        match self.publish_all(&chunk.events, chunk.up_to.position).await {
            Ok(()) => self.place.last = chunk.up_to.last,
            Err(failure) => self.failure = Some(failure),
        }
    }

    async fn publish_all(&mut self, events: &[StoredEvent], up_to: Position) -> anyhow::Result<()> {
        let (mut batch, mut batch_bytes) = (Vec::new(), 0);
        let mut previous = self.place.position;
        let mut stages = Vec::new();
        for event in events {
            let at = Position(event.position);
            let mut messages = match messages(self.nats, self.kind, event, previous, &mut stages) {
                Ok(messages) => messages,
                Err(error) => {
                    // What this build cannot read holds back what comes after it, and nothing before it.
                    self.publish(batch, previous).await?;
                    return Err(error);
                }
            };
            let out = self.begun.take().filter(|(begun, _)| *begun == at).map_or(0, |(_, out)| out);
            if let Some((_, not_last)) = messages.split_last_mut() {
                for (so_far, message) in (1_usize..).zip(not_last) {
                    message.headers.insert(CONTINUES, so_far.to_string());
                }
            }
            messages.drain(..out.min(messages.len()));
            let bytes: usize = messages.iter().map(|message| message.payload.len()).sum();
            if batch.len() + messages.len() > MAX_BATCH || batch_bytes + bytes > MOST_BYTES {
                self.publish(std::mem::take(&mut batch), previous).await?;
                batch_bytes = 0;
            }
            while messages.len() > MAX_BATCH {
                let rest = messages.split_off(MAX_BATCH);
                self.publish(std::mem::replace(&mut messages, rest), previous).await?;
            }
            batch_bytes += bytes;
            batch.extend(messages);
            previous = at;
        }
        self.publish(batch, up_to).await
    }

    async fn publish(&mut self, batch: Vec<BatchMessage>, up_to: Position) -> anyhow::Result<()> {
        if !batch.is_empty() {
            let after = self.last_sequence;
            // Wherever one after the other ends, its last message says how to go on.
            let published = match batch.len() {
                ..=FEW => self.nats.publish_in_turn(after, batch).await,
                _ => self.nats.publish_batch(Some(after), batch).await,
            };
            match published {
                Ok(sequence) => self.last_sequence = sequence,
                Err(error @ (BatchError::Fenced { .. } | BatchError::Unknown(_))) => {
                    tracing::warn!(error = %error, "the relay reads the tail of its stream again");
                    return Err(error.into());
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.place.position = up_to;
        Ok(())
    }
}
