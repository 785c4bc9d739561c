//! What workers and the gate say to each other.

use adapters::dispatch::{FinishedTry, Lease, SlotHold};
use chrono::{DateTime, Utc};
use domain::channel::Section;
use domain::ids::TargetId;
use domain::window::Scope;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// A slot that was granted, and when.
#[derive(Debug)]
pub(super) struct Granted {
    pub hold: SlotHold,
    pub at: Instant,
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
