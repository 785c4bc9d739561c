//! Slots: what one call holds. They are shared out by the dispatcher's `allocation`, taken by [`super::Round::write`], and given back by
//! [`super::DispatchStore::settle`].

use domain::ids::TargetId;
use uuid::Uuid;

/// A slot of one scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// The scope as text.
    pub scope: String,
    /// Its number within the scope.
    pub number: i32,
}

/// What one call holds: a slot in every limited scope that it falls under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotHold {
    /// Stands on the slots while they are this call's: what is told of a slot that has run out and gone to another
    /// call changes nothing.
    pub hold_id: Uuid,
    /// The target whose lane gave it.
    pub target_id: TargetId,
    /// The slots.
    pub slots: Vec<Slot>,
}
