//! What workers and the gate say to each other.

use std::time::Duration;

use adapters::dispatch::{FinishedTry, Lease, SlotHold};
use chrono::{DateTime, Utc};
use domain::channel::Section;
use domain::ids::TargetId;
use domain::window::Scope;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::START_GRACE;

/// A slot that was granted, and when.
#[derive(Debug)]
pub(super) struct Granted {
    pub hold: SlotHold,
    pub at: Instant,
    /// The slot is ours for so long, whatever happens; after that it may be another's.
    pub kept_for: Duration,
}

impl Granted {
    /// A call may still start.
    pub(super) fn can_start(&self) -> bool {
        self.at.elapsed() < START_GRACE
    }

    /// What became of the slot. One that has run out is nobody's business any more.
    pub(super) fn told(self, message: impl FnOnce(SlotHold) -> Message) -> Option<Message> {
        (self.at.elapsed() < self.kept_for).then(|| message(self.hold))
    }
}

/// What workers tell the gate.
#[derive(Debug)]
pub(super) enum Message {
    /// A call wants a slot.
    Want { target_id: TargetId, urgency: Section, reply: oneshot::Sender<Granted> },
    /// A call ended just now.
    Answered(SlotHold),
    /// A slot was not used.
    Unused(SlotHold),
    /// A channel paused a scope.
    Throttled { scope: Scope, until: DateTime<Utc> },
    /// A try ended and its outcome is in the journal.
    Finished(FinishedTry),
    /// A listing is given back undone.
    Released(Lease),
}
