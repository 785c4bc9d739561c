//! From a unit to what a channel wants, section by section. Pure and deterministic: an equal unit gives equal bodies,
//! so a section whose hash did not change need not be sent.

pub mod hostaway;

use crate::channel::{ChannelKind, ListingPayload};
use crate::ids::ListingId;
use crate::unit::UnitChanged;

/// The payload of a unit for one listing at a channel of this kind.
///
/// Never fails: a part that the channel cannot take is left out and named in `rejected`, the rest goes on.
pub fn map(kind: ChannelKind, unit: &UnitChanged, listing: &ListingId) -> ListingPayload {
    match kind {
        ChannelKind::Hostaway => hostaway::map(unit, listing),
    }
}
