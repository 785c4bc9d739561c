//! An event as it is stored, and as it travels over NATS.

use chrono::{DateTime, Utc};
use cqrs_es::persist::SerializedEvent;
use domain::metadata::{InvalidMetadata, Metadata};
use domain::recorded::{ChannelEvent, Position, Recorded, UnreadableEvent};
use domain::upcast::upcasters;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

/// A row of the journal. Its JSON is the body of a message on the CHANNELS stream (`nats/schemas/event.v1.json`).
///
/// Its payload and its metadata stay text: the relay passes them on, and others read them into the event without a tree in between.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the columns of the events table")]
pub struct StoredEvent {
    pub position: i64,
    pub event_id: Uuid,
    pub org_id: String,
    pub account_id: String,
    pub aggregate_type: String,
    pub aggregate_id: String,
    pub sequence: i64,
    pub event_type: String,
    pub event_version: String,
    pub payload: Box<RawValue>,
    pub metadata: Box<RawValue>,
    pub recorded_at: DateTime<Utc>,
}

/// A stored event that this build cannot read.
#[derive(Debug, thiserror::Error)]
#[error("event at position {position} cannot be read")]
pub struct Unreadable {
    /// Where it stands.
    pub position: i64,
    /// Why.
    #[source]
    pub reason: Reason,
}

/// Why an event cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// Its type or payload is not known.
    #[error(transparent)]
    Event(#[from] UnreadableEvent),
    /// Its metadata lacks something.
    #[error(transparent)]
    Metadata(#[from] InvalidMetadata),
    /// Its aggregate id is malformed.
    #[error("its aggregate id is no UUID")]
    AggregateId(#[from] uuid::Error),
}

impl StoredEvent {
    /// What stands beside it, typed.
    pub fn beside(&self) -> Result<Metadata, InvalidMetadata> {
        Metadata::from_json(self.metadata.get())
    }

    /// The typed event. Old versions are lifted on the way.
    pub fn recorded(&self) -> Result<Recorded, Unreadable> {
        self.read().map_err(|reason| Unreadable { position: self.position, reason })
    }

    fn read(&self) -> Result<Recorded, Reason> {
        let event = if upcasters().iter().any(|lifts| lifts.can_upcast(&self.event_type, &self.event_version)) {
            self.upcast()?
        } else {
            ChannelEvent::from_stored(&self.aggregate_type, &self.event_type, self.payload.get())?
        };
        Ok(Recorded {
            position: Position(self.position),
            event_id: self.event_id,
            recorded_at: self.recorded_at,
            aggregate_id: Uuid::parse_str(&self.aggregate_id)?,
            sequence: self.sequence,
            metadata: self.beside()?,
            event,
        })
    }

    fn upcast(&self) -> Result<ChannelEvent, UnreadableEvent> {
        let unreadable = |source| UnreadableEvent::Payload { event_type: self.event_type.clone(), source };
        let stored = SerializedEvent::new(
            String::new(),
            0,
            self.aggregate_type.clone(),
            self.event_type.clone(),
            self.event_version.clone(),
            serde_json::from_str(self.payload.get()).map_err(unreadable)?,
            Value::Null,
        );
        let current = upcasters().iter().fold(stored, |event, upcaster| {
            if upcaster.can_upcast(&event.event_type, &event.event_version) { upcaster.upcast(event) } else { event }
        });
        ChannelEvent::from_stored(&current.aggregate_type, &current.event_type, &current.payload.to_string())
    }
}
