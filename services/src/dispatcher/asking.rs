//! How a dispatcher itself asks for a sync: of what may have to be sent once more after an attempt.

use std::time::Duration;

use adapters::units::UnitStore;

use super::Shared;
use crate::syncing::Syncing;

/// As often as it is asked for while others change the listing, or the database cannot be asked.
pub(super) const TRIES: usize = 5;
/// Until the database is asked again.
pub(super) const OUTAGE: Duration = Duration::from_secs(1);

/// What asks for syncs with the commands and payloads of the dispatcher.
pub(super) fn syncing(shared: &Shared) -> Syncing {
    let units = UnitStore::new(shared.commands.journal().pool().clone());
    Syncing::new(shared.commands.clone(), units, shared.payloads.clone())
}
