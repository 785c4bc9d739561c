//! A slot in a worker's hands.

use adapters::dispatch::SlotHold;
use tokio::time::Instant;

use super::START_GRACE;

/// A slot that was granted, and when: taken before the grant was written, so that the shared table keeps the slot for
/// longer than this process does.
#[derive(Debug)]
pub(crate) struct Granted {
    pub hold: SlotHold,
    pub at: Instant,
}

impl Granted {
    /// A call may still start.
    pub(crate) fn can_start(&self) -> bool {
        self.at.elapsed() < START_GRACE
    }
}
