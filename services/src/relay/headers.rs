//! What the relay says in the headers of its messages, and how the last one says where to go on.

use async_nats::HeaderMap;
use domain::recorded::Position;

/// The header that tells where an event stands in the journal.
pub const POSITION: &str = "Position";
/// The header that tells where the event before it stands, so that a reader sees a hole.
pub const PREVIOUS_POSITION: &str = "Previous-Position";
/// On the last message of a batch that ends in the middle of an event: how many messages of the event are out.
pub(super) const CONTINUES: &str = "Event-Continues-After";

/// A position in a message's header.
pub fn position_header(headers: Option<&HeaderMap>, name: &str) -> Option<Position> {
    headers?.get(name)?.as_str().parse().ok().map(Position)
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
