//! Where a stream of the relay ends, for whoever only looks.

use std::time::Duration;

use adapters::event_store::PgEventLog;
use adapters::nats::Nats;
use adapters::nats::topology::StreamKind;
use domain::recorded::Position;
use futures::{StreamExt as _, TryStreamExt as _};
use uuid::Uuid;

use super::tail::{COPIES, backwards, told_event};

/// Messages that are looked at for one of ours, from the last one on.
const NEAR: usize = 100;

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
