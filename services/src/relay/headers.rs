//! What the relay says in the headers of its messages.

use async_nats::HeaderMap;
use domain::recorded::Position;
use uuid::Uuid;

/// The header that tells where an event stands in the journal.
pub const POSITION: &str = "Position";
/// The header that tells where the event before it stands, so that a reader sees a hole.
pub const PREVIOUS_POSITION: &str = "Previous-Position";
/// The header of CHANNELS that tells which event it is; on AUDIT `ce-id` begins with it.
pub(super) const EVENT_ID: &str = "Event-Id";
/// The `ce-source` of what is on AUDIT.
pub(super) const SOURCE: &str = "distribution";
/// On each message of an event but its last one: how many messages of the event are out with it.
pub(super) const CONTINUES: &str = "Event-Continues-After";

/// A position in a message's header.
pub fn position_header(headers: Option<&HeaderMap>, name: &str) -> Option<Position> {
    headers?.get(name)?.as_str().parse().ok().map(Position)
}

/// Which event a message is, or tells of; `None` for one that is not the relay's.
pub fn event_id(headers: &HeaderMap) -> Option<Uuid> {
    let id = headers.get(EVENT_ID).or_else(|| headers.get("ce-id"))?.as_str();
    id.split(':').next()?.parse().ok()
}
