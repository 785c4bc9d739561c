//! Slots of the windows as one process has them: what calls wait for one, who gets it, and what is told when a call has ended.
//!
//! A dispatcher's gate takes them for syncs and checks, in rounds over many lanes; [`visitor`] takes them for what belongs to no
//! sync, in whatever process asks. The tables are the same, and so is the arithmetic.

pub(crate) mod allocation;
pub(crate) mod boot_instant;
pub(crate) mod granted;
pub(crate) mod permit;
pub(crate) mod single_slot;
pub mod visitor;
pub(crate) mod waiting;

use std::time::Duration;

use domain::port::LATE_ARRIVAL;

/// From the moment a slot is granted until its call must have started.
pub const START_GRACE: Duration = Duration::from_secs(5);

/// A slot is held for so long beside its window where nobody tells how its call ended: the last moment at which a call of it may
/// reach the channel.
pub(crate) fn hold(call_timeout: Duration) -> Duration {
    START_GRACE + call_timeout + LATE_ARRIVAL
}
