//! What the relay says in the headers of its messages, and how the last one says where to go on.

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

/// Where a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tail {
    /// Everything up to here is in the stream.
    pub position: Position,
    /// Of the event at this position so many messages are out, and more have to follow.
    pub begun: Option<(Position, usize)>,
}

impl Tail {
    /// By the headers of the last message; `None` for a message that is not the relay's.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let position = position_header(Some(headers), POSITION)?;
        let Some(out) = headers.get(CONTINUES) else { return Some(Self { position, begun: None }) };
        let previous = position_header(Some(headers), PREVIOUS_POSITION)?;
        Some(Self { position: previous, begun: Some((position, out.as_str().parse().ok()?)) })
    }
}
