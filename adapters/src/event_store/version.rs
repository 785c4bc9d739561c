//! Which version of an aggregate somebody has seen.

use uuid::Uuid;

/// The last event of an aggregate that somebody has seen, by its number and by its id.
///
/// The id tells: a journal that was put back to an earlier state, by a restore or by a standby that lacked its end, gives the numbers
/// of what it lost a second time, to other events. Who still knows the lost ones has seen no version that there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Version {
    pub sequence: i64,
    pub event_id: Uuid,
}

/// The number of a version, 0 for an aggregate without events.
pub(super) fn sequence_of(version: Option<Version>) -> i64 {
    version.map_or(0, |version| version.sequence)
}
