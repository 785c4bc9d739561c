//! A recorded event: an event of either aggregate with its place in the journal. This is what projections read.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::listing::ListingEvent;
use crate::metadata::Metadata;
use crate::target::TargetEvent;

/// A place in the journal. Order of positions is causal order per aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Position(pub i64);

/// An event of either aggregate.
#[derive(Debug, Clone, PartialEq)]
pub enum ChannelEvent {
    /// Of a target.
    Target(TargetEvent),
    /// Of a listing.
    Listing(Box<ListingEvent>),
}

/// An event whose stored form this build cannot read.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableEvent {
    /// An aggregate type that this build does not know.
    #[error("aggregate type {0:?} is not known to this build")]
    AggregateType(String),
    /// A payload that does not fit its type.
    #[error("payload of {event_type} does not fit: {source}")]
    Payload {
        /// The stored event type.
        event_type: String,
        /// What serde says.
        source: serde_json::Error,
    },
}

impl ChannelEvent {
    /// Reads a stored payload, which is JSON.
    pub fn from_stored(aggregate_type: &str, event_type: &str, payload: &str) -> Result<Self, UnreadableEvent> {
        let unreadable = |source| UnreadableEvent::Payload { event_type: event_type.to_owned(), source };
        match aggregate_type {
            "ChannelTarget" => serde_json::from_str(payload).map(Self::Target).map_err(unreadable),
            "ChannelListing" => {
                serde_json::from_str(payload).map(|event| Self::Listing(Box::new(event))).map_err(unreadable)
            }
            other => Err(UnreadableEvent::AggregateType(other.to_owned())),
        }
    }

    /// The event's type as it is stored.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Target(event) => event.type_name(),
            Self::Listing(event) => event.type_name(),
        }
    }
}

/// An event with its place, its time and its metadata.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// Its place in the journal.
    pub position: Position,
    /// Its id (UUIDv7).
    pub event_id: Uuid,
    /// When it was appended, by the database's clock, UTC.
    pub recorded_at: DateTime<Utc>,
    /// The aggregate's id: a target's or a listing's.
    pub aggregate_id: Uuid,
    /// Its sequence within the aggregate, dense from 1.
    pub sequence: i64,
    /// Whose it is, who did it, what caused it.
    pub metadata: Metadata,
    /// The event.
    pub event: ChannelEvent,
}
