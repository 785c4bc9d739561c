//! The sequence of an aggregate, checked against the version of its row: dense, so a missing event is seen.

use domain::recorded::Recorded;

use crate::error::Error;

/// Whether the event is the next one of its aggregate; `false` where it was applied before.
pub(crate) fn is_next(projection: &'static str, event: &Recorded, version: i64) -> Result<bool, Error> {
    if event.sequence <= version {
        return Ok(false);
    }
    if event.sequence == version + 1 {
        return Ok(true);
    }
    Err(Error::Hole { projection, aggregate_id: event.aggregate_id, have: version, got: event.sequence })
}
