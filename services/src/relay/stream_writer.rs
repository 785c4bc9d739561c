//! One stream that the relay writes: where its tail is, and how events become its messages.

use adapters::event_store::{PgEventLog, StoredEvent};
use adapters::nats::Nats;
use adapters::nats::batch::{BatchError, BatchMessage, MAX_BATCH};
use adapters::nats::topology::StreamKind;
use async_nats::jetstream::stream::Stream;
use domain::recorded::Position;
use futures::TryStreamExt as _;
use uuid::Uuid;

use super::Chunk;
use super::headers::{CONTINUES, Tail};
use super::messages::messages;
use super::stream_end::{COPIES, backwards, told_event};

/// The size of a batch, in bytes: its answer has to come within the time of a request.
const MOST_BYTES: usize = 8 * 1024 * 1024;
/// So many messages go one after the other: for a batch the server opens files of its own first, which takes it longer.
const FEW: usize = 4;
/// How far back a last message of ours is looked for. Behind so many foreign ones the retention is published again.
const FURTHEST_BACK: usize = 10_000;

pub(super) struct StreamWriter<'a> {
    nats: &'a Nats,
    kind: StreamKind,
    /// The sequence of the stream's last message.
    last_sequence: u64,
    /// Everything up to here is in the stream.
    position: Position,
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
            None => Tail { position: log.before_age(info.config.max_age.as_secs_f64()).await?, begun: None },
        };
        let Tail { position, begun } = tail;
        tracing::info!(stream = %info.config.name, position = position.0, "the relay is at the tail of its stream");
        Ok(Self { nats, kind, last_sequence, position, begun, created_at, failure: None })
    }

    pub(super) fn position(&self) -> Position {
        self.position
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
        self.position >= settled || self.failure.is_some()
    }

    /// Why nothing is published any more, if so.
    pub(super) fn failure(&mut self) -> anyhow::Result<()> {
        self.failure.take().map_or(Ok(()), Err)
    }

    /// Publishes events that follow the stream's position; with them everything up to a position is in the stream. After
    /// a failure it does nothing: the stream is to be opened anew, and goes on from its tail.
    pub(super) async fn publish_events(&mut self, chunk: &Chunk) {
        if !self.rests_at(chunk.up_to)
            && let Err(failure) = self.publish_all(&chunk.events, chunk.up_to).await
        {
            self.failure = Some(failure);
        }
    }

    async fn publish_all(&mut self, events: &[StoredEvent], up_to: Position) -> anyhow::Result<()> {
        let (mut batch, mut batch_bytes) = (Vec::new(), 0);
        let mut previous = self.position;
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
        self.position = up_to;
        Ok(())
    }
}

/// What the last message of ours says whose event the journal has. Messages behind it are passed over: foreign ones, which
/// are no reason to begin anew, those of events that the journal has lost, and copies of older ones.
async fn find_tail(stream: &Stream, log: &PgEventLog) -> anyhow::Result<Option<Tail>> {
    if stream.cached_info().state.messages == 0 {
        return Ok(None);
    }
    let mut lost = Lost::default();
    let (mut seen, mut found) = (1, None::<Tail>);
    let mut messages = std::pin::pin!(backwards(stream, FURTHEST_BACK));
    // A tail that cannot be read now is no empty stream: its whole retention would be published again.
    while let Some(message) = messages.try_next().await? {
        let Some((tail, (position, event_id))) = Tail::of(&message.headers).zip(told_event(&message)) else {
            let sequence = message.sequence;
            tracing::warn!(sequence, subject = %message.subject, "a message that the relay did not write");
            continue;
        };
        let Some(newest) = found else {
            found = lost.is_in(log, position, event_id).await?.then_some(tail);
            continue;
        };
        if tail.position > newest.position && log.has(position, event_id).await? {
            found = Some(tail);
        }
        seen += 1;
        if seen == COPIES {
            break;
        }
    }
    lost.leave_behind(log, &stream.cached_info().config.name).await?;
    Ok(found)
}

/// Messages of events that the journal does not have: it was put back to an earlier state.
#[derive(Debug, Default)]
struct Lost {
    messages: usize,
    up_to: Position,
}

impl Lost {
    /// Whether the journal has an event of which a message of ours tells; remembers it if not.
    async fn is_in(&mut self, log: &PgEventLog, position: Position, event_id: Uuid) -> anyhow::Result<bool> {
        let there = log.has(position, event_id).await?;
        if !there {
            self.messages += 1;
            self.up_to = self.up_to.max(position);
        }
        Ok(there)
    }

    /// Their positions are not given to other events: whoever reads the stream drops what is not beyond what it has seen.
    async fn leave_behind(&self, log: &PgEventLog, stream: &str) -> anyhow::Result<()> {
        if self.messages > 0 {
            log.skip_to(self.up_to).await?;
            let (messages, up_to) = (self.messages, self.up_to.0);
            tracing::warn!(
                stream,
                messages,
                up_to,
                "the stream has events that the journal lost: it was put back to an earlier state. They stay, and what is new \
                 follows beyond them; `distribution unit reread` takes the unit changes of that time in again"
            );
        }
        Ok(())
    }
}
