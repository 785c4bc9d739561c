//! The tail of a stream that the relay writes: how far back from its last message one of ours tells where the journal is
//! published up to.

use adapters::event_store::{PgEventLog, StoredEvent};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{RawMessageError, RawMessageErrorKind, Stream};
use async_nats::{HeaderMap, HeaderValue};
use domain::recorded::Position;
use futures::{StreamExt as _, TryStreamExt as _};
use uuid::Uuid;

use super::headers::{CONTINUES, EVENT_ID, POSITION, PREVIOUS_POSITION, SOURCE, event_id, position_header};

/// So many of ours are looked at: positions grow, so where one before the last is further on, the last is a copy of an old one.
pub(super) const COPIES: usize = 10;
/// How far back a last message of ours is looked for. Behind so many foreign ones the retention is published again.
const FURTHEST_BACK: usize = 10_000;

/// Where a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tail {
    /// Everything up to here is in the stream.
    pub position: Position,
    /// Of the event at this position so many messages are out, and more have to follow.
    pub begun: Option<(Position, usize)>,
    /// The event that the message tells of.
    pub last: Option<(Position, Uuid)>,
}

impl Tail {
    /// By the headers of the last message; `None` for a message that is not the relay's.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let position = position_header(Some(headers), POSITION)?;
        let Some(out) = headers.get(CONTINUES) else { return Some(Self { position, begun: None, last: None }) };
        let previous = position_header(Some(headers), PREVIOUS_POSITION)?;
        Some(Self { position: previous, begun: Some((position, out.as_str().parse().ok()?)), last: None })
    }
}

/// What the last message of ours says whose event the journal has. Messages behind it are passed over: foreign ones, which
/// are no reason to begin anew, those of events that the journal has lost, and copies of older ones.
pub(super) async fn find_tail(stream: &Stream, log: &PgEventLog) -> anyhow::Result<Option<Tail>> {
    if stream.cached_info().state.messages == 0 {
        return Ok(None);
    }
    let mut lost = Lost::default();
    let (mut seen, mut found) = (1, None::<Tail>);
    let mut messages = std::pin::pin!(backwards(stream, FURTHEST_BACK));
    // A tail that cannot be read now is no empty stream: its whole retention would be published again.
    while let Some(message) = messages.try_next().await? {
        let Some((tail, told)) = Tail::of(&message.headers).zip(told_event(&message)) else {
            let sequence = message.sequence;
            tracing::warn!(sequence, subject = %message.subject, "a message that the relay did not write");
            continue;
        };
        let (tail, (position, event_id)) = (Tail { last: Some(told), ..tail }, told);
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

/// What a stream has, from its last place back to the one that is so many further; a place may be empty.
pub(super) fn backwards(
    stream: &Stream,
    places: usize,
) -> impl futures::Stream<Item = Result<StreamMessage, RawMessageError>> {
    let state = &stream.cached_info().state;
    let places = futures::stream::iter((state.first_sequence..=state.last_sequence).rev().take(places));
    places.then(|sequence| stream.get_raw_message(sequence)).filter_map(async |read| match read {
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => None,
        read => Some(read),
    })
}

/// Which event a message of ours is, or tells of; `None` for one of somebody else. A position alone may be anybody's.
pub(super) fn told_event(message: &StreamMessage) -> Option<(Position, Uuid)> {
    let position = position_header(Some(&message.headers), POSITION)?;
    // Older builds named the event in the body alone.
    let in_body = || serde_json::from_slice::<StoredEvent>(&message.payload).ok().map(|event| event.event_id);
    // Others have ids like ours: a position that such a one names must not move the journal's.
    let source = message.headers.get("ce-source").map(HeaderValue::as_str);
    let is_ours = message.headers.get(EVENT_ID).is_some() || source == Some(SOURCE);
    Some((position, event_id(&message.headers).filter(|_| is_ours).or_else(in_body)?))
}
