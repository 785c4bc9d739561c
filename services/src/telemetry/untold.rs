//! How far AUDIT is behind: most events say nothing there, so that its tail stands still while there is nothing to tell.

use adapters::event_store::{PgEventLog, StoredEvent};
use domain::audit::audit_events;
use domain::recorded::Position;
use sqlx::PgPool;

/// Events that are read at once.
const READ: i64 = 500;

/// What follows the tail of AUDIT in the journal. Each event is looked at once.
pub(super) struct Untold {
    log: PgEventLog,
    /// Where the stream ended when it was last asked for.
    tail: Position,
    /// From the tail up to here no event has anything to tell.
    silent_up_to: Position,
}

impl Untold {
    pub(super) fn new(pool: PgPool) -> Self {
        Self { log: PgEventLog::new(pool), tail: Position::default(), silent_up_to: Position::default() }
    }

    /// The position before the first event beyond the tail that has something to tell, or the journal's end.
    pub(super) async fn before_first(&mut self, tail: i64) -> anyhow::Result<i64> {
        let tail = Position(tail);
        // A stream that was lost begins again further back.
        self.silent_up_to = if tail < self.tail { tail } else { self.silent_up_to.max(tail) };
        self.tail = tail;
        let head = self.log.head().await?;
        loop {
            let events = self.log.stored(self.silent_up_to, head, READ).await?;
            if events.is_empty() {
                return Ok(self.silent_up_to.0);
            }
            for event in events {
                let position = Position(event.position);
                if tells(&event) {
                    return Ok(self.silent_up_to.0);
                }
                self.silent_up_to = position;
            }
        }
    }
}

/// An event that this build cannot read holds the relay up, as one that was not told does.
fn tells(event: &StoredEvent) -> bool {
    event.aggregate_type == "ChannelListing"
        && event.recorded().map_or(true, |recorded| !audit_events(&recorded).is_empty())
}
