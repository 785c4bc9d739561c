//! An id that the channel gave for a creation, of which nobody knows whether it is ours: the listing with it shows neither our reference
//! nor what was sent. Something was made, so nothing is created again by itself; a person says which it is, with the next link.

use crate::ids::ExternalId;
use crate::listing::{ChannelListing, Creation, Progress};

impl ChannelListing {
    /// The id that a creation was given, while nobody knows whether it is this listing's.
    pub fn unproved(&self) -> Option<&ExternalId> {
        self.unproved.as_ref()
    }

    /// An intent to create of which no attempt has told yet, where that is all that is in doubt: as while the one that wrote it down is
    /// under way.
    pub fn untold_creation(&self) -> Option<Creation> {
        self.creation.filter(|_| !self.unverified && self.unproved.is_none())
    }

    /// Takes what an attempt has learned of the id at the channel. One that is proved, by a later look-up too, ends the doubt.
    pub(super) fn learn_id(&mut self, progress: &Progress) {
        if progress.external_id.is_some() {
            self.external_id.clone_from(&progress.external_id);
            self.unproved = None;
        } else if self.external_id.is_none() && progress.unproved.is_some() {
            self.unproved.clone_from(&progress.unproved);
        }
    }
}
