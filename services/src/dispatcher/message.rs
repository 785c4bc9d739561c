//! What workers tell the gate.

use std::time::Duration;

use adapters::dispatch::{FinishedTry, Lease, SlotHold};
use domain::ids::TargetId;
use domain::window::Scope;
use tokio::time::Instant;

use super::waiting::Want;

/// What workers tell the gate.
#[derive(Debug)]
pub(super) enum Message {
    /// A call wants a slot.
    Want(Want),
    /// A call ended just now.
    Answered(SlotHold),
    /// A slot was not used.
    Unused(SlotHold),
    /// A channel paused a scope.
    Throttled { scope: Scope, until: Instant },
    /// A push ended, and whether it failed in a way that more of the same may do as well.
    Ended(TargetId, bool),
    /// A try ended and its outcome is in the journal.
    Finished(FinishedTry),
    /// A listing is given back undone.
    Released(Lease),
    /// A listing is left alone for so long, by all.
    SetAside(Lease, Duration),
}
