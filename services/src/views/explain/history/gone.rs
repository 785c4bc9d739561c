//! Whether a listing was found gone at the channel: by the newest of its syncs that has ended, of those since it was linked last.

use domain::ids::ListingId;
use domain::listing::ListingEvent;

use super::History;
use crate::views::gone::Gone;

impl History {
    /// Where the newest of its syncs that has ended found it gone at the channel, with what helps. One that waits tells nothing of that, and
    /// neither does one whose place was taken.
    pub fn gone(&self) -> Option<Gone> {
        let link = self.listing.link().filter(|_| self.found_gone)?;
        let id = ListingId::of(link.target_id, &link.unit_id);
        Some(Gone::of(&id, &link.target_id, &link.unit_id))
    }

    /// Takes what an event tells of that. Of a listing that is linked the outcome in the read model tells the same
    /// (`projections/src/channel_listings/fold.rs`): where it is gone nothing is skipped, as a skip makes no call.
    pub(super) fn hear_of_gone(&mut self, event: &ListingEvent) {
        match event {
            ListingEvent::SyncFailed { attempt, class } => {
                self.found_gone = attempt.found_gone(Some(*class));
            }
            ListingEvent::SyncAccepted { .. }
            | ListingEvent::SyncFoundUnchanged { .. }
            | ListingEvent::ListingLinked { .. } => self.found_gone = false,
            ListingEvent::SyncRequested { .. }
            | ListingEvent::SyncSkipped { .. }
            | ListingEvent::CreationStarted { .. }
            | ListingEvent::SyncDeferred { .. }
            | ListingEvent::SupersededSyncFailed { .. }
            | ListingEvent::LateAttemptRecorded { .. }
            | ListingEvent::ListingPaused { .. }
            | ListingEvent::ListingResumed {}
            | ListingEvent::ListingUnlinked { .. } => {}
        }
    }
}
