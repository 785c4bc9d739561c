//! Where a stream of the relay ends, for whoever only looks.

use std::time::Duration;

use adapters::event_store::{PgEventLog, StoredEvent};
use adapters::nats::Nats;
use adapters::nats::topology::StreamKind;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{RawMessageError, RawMessageErrorKind, Stream};
use domain::recorded::Position;
use futures::{StreamExt as _, TryStreamExt as _};
use uuid::Uuid;

use super::headers::{EVENT_ID, POSITION, SOURCE, event_id, position_header};

/// Messages that are looked at for one of ours, from the last one on.
const NEAR: usize = 100;
/// So many of ours are looked at: positions grow, so where one before the last is further on, the last is a copy of an old one.
pub(super) const COPIES: usize = 10;

/// The end of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamEnd {
    /// With a message of this event, which the journal may have lost.
    Event {
        /// Where it stands, or stood, in the journal.
        position: Position,
        /// Which it is.
        event_id: Uuid,
    },
    /// Somebody else wrote there, so often that none of ours is near.
    Foreign,
    /// It is empty, and keeps what is as young as this.
    Empty {
        /// How long a message stays.
        kept: Duration,
    },
}

impl StreamEnd {
    /// Asks for it.
    pub async fn of(nats: &Nats, kind: StreamKind) -> anyhow::Result<Self> {
        let stream = nats.stream(kind).await?;
        let info = stream.cached_info();
        if info.state.messages == 0 {
            return Ok(Self::Empty { kept: info.config.max_age });
        }
        let own = backwards(&stream, NEAR).try_filter_map(async |message| Ok(told_event(&message)));
        let found = own.take(COPIES).try_fold(None, async |found, told| Ok(found.max(Some(told)))).await?;
        Ok(found.map_or(Self::Foreign, |(position, event_id)| Self::Event { position, event_id }))
    }

    /// Up to where the journal is published, as far as that can be seen. Of an empty stream a relay publishes what it would
    /// keep.
    pub async fn position(self, log: &PgEventLog) -> Result<Option<Position>, sqlx::Error> {
        match self {
            Self::Event { position, .. } => Ok(Some(position)),
            Self::Foreign => Ok(None),
            Self::Empty { kept } => log.before_age(kept.as_secs_f64()).await.map(Some),
        }
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
    // Builds of before named the event in the body alone.
    let in_body = || serde_json::from_slice::<StoredEvent>(&message.payload).ok().map(|event| event.event_id);
    // Others have ids like ours: a position that such a one names must not move the journal's.
    let source = message.headers.get("ce-source").map(async_nats::HeaderValue::as_str);
    let is_ours = message.headers.get(EVENT_ID).is_some() || source == Some(SOURCE);
    Some((position, event_id(&message.headers).filter(|_| is_ours).or_else(in_body)?))
}
