//! What workers tell the gate.

use std::time::Duration;

use adapters::dispatch::{FinishedTry, Lease};
use domain::ids::TargetId;
use tokio::sync::mpsc;

use crate::slots::permit::SlotEnd;
use crate::slots::waiting::Want;

/// What workers tell the gate.
#[derive(Debug)]
pub(super) enum Message {
    /// A call wants a slot.
    Want(Want),
    /// A slot is done with.
    Slot(SlotEnd),
    /// A push ended, and whether it failed in a way that counts for the target's circuit.
    Ended(TargetId, bool),
    /// A try ended and its outcome is in the journal.
    Finished(FinishedTry),
    /// A listing is given back undone.
    Released(Lease),
    /// A listing is left alone for so long, by all.
    SetAside(Lease, Duration),
}

/// Tells the gate what became of a slot. A gate that is gone leaves it to run out by itself: late, never early.
pub(super) fn tell(gate: mpsc::UnboundedSender<Message>) -> impl Fn(SlotEnd) + Send + 'static {
    move |end| _ = gate.send(Message::Slot(end))
}
