//! What stands for an event that is too large for a message: where to find it. Contract: `nats/schemas/in-journal.v1.json`.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::event_store::StoredEvent;

/// The header of such a message; its value is the size, in bytes, of the body that did not fit.
pub const IN_JOURNAL: &str = "Body-In-Journal";

/// The body of such a message. The event itself is in the journal's table, at the position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the columns of the events table")]
pub struct InJournal {
    pub position: i64,
    pub event_id: Uuid,
    pub org_id: String,
    pub aggregate_type: String,
    pub aggregate_id: String,
    pub sequence: i64,
    pub event_type: String,
}

impl From<&StoredEvent> for InJournal {
    fn from(event: &StoredEvent) -> Self {
        Self {
            position: event.position,
            event_id: event.event_id,
            org_id: event.org_id.clone(),
            aggregate_type: event.aggregate_type.clone(),
            aggregate_id: event.aggregate_id.clone(),
            sequence: event.sequence,
            event_type: event.event_type.clone(),
        }
    }
}
