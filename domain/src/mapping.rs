//! From a unit to what a channel wants, section by section. Pure and deterministic: an equal unit gives equal bodies,
//! so a section whose hash did not change need not be sent.

pub mod hostaway;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::call::CallRecord;
use crate::channel::{Bodies, ChannelKind, ListingPayload, Section};
use crate::difference::staying::Staying;
use crate::difference::{Differences, MOST_FIELDS};
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

/// What differs between what a channel of this kind has and what it is to be brought to. A section that the channel does not have yet
/// is new as a whole; what is left out does not differ, as it stays: see [`staying`].
pub fn differences(kind: ChannelKind, has: &Bodies<'_>, wanted: &Bodies<'_>) -> Differences {
    differences_up_to(kind, has, wanted, MOST_FIELDS)
}

/// The same, with so many fields of each section.
pub fn differences_up_to(kind: ChannelKind, has: &Bodies<'_>, wanted: &Bodies<'_>, most: usize) -> Differences {
    let mut found = Differences::default();
    for (section, body) in wanted {
        let before = has.get(section).copied();
        let fields = match kind {
            ChannelKind::Hostaway => hostaway::section_differences(*section, before, body),
        };
        found.add_up_to(*section, fields, most);
    }
    found
}

/// What a channel of this kind keeps as it is, as the whole payload that is wanted tells nothing of it, though what the channel `has`
/// does.
pub fn staying(kind: ChannelKind, has: &Bodies<'_>, wanted: &Bodies<'_>) -> Vec<Staying> {
    let of = |(section, before): (&Section, &&Value)| match kind {
        ChannelKind::Hostaway => hostaway::staying(*section, before, wanted.get(section).copied()),
    };
    has.iter().filter_map(of).collect()
}

/// The fewest calls that bring a listing to these sections at a channel of this kind.
pub fn fewest_calls(kind: ChannelKind, bodies: &Bodies<'_>, sections: &[Section], exists: bool) -> usize {
    match kind {
        ChannelKind::Hostaway => hostaway::fewest_calls(bodies, sections, exists),
    }
}

/// What an attempt had to send.
#[derive(Debug, Clone, Copy)]
pub struct Sent<'a> {
    /// The sections that differed when it began, most urgent first.
    pub needs: &'a [Section],
    /// The listing had an id at the channel.
    pub exists: bool,
    /// The channel was read first, and what it had was left out.
    pub verified: bool,
}

/// The bodies of an attempt's calls by their place among `calls`, made again from the payload: of those that write and
/// that can only have had this one.
pub fn request_bodies(
    kind: ChannelKind,
    bodies: &Bodies<'_>,
    sent: &Sent<'_>,
    calls: &[CallRecord],
) -> BTreeMap<usize, Value> {
    match kind {
        ChannelKind::Hostaway => hostaway::request_bodies(bodies, sent, calls),
    }
}

/// Whether a channel may have written a part of what a call carried, though it refused the call. Neither a call nor a listing's events name
/// their channel: each is asked by its own paths, and where one says so of another's call, less is claimed of that, and not more.
pub fn may_be_taken_in_part(call: &CallRecord) -> bool {
    ChannelKind::ALL.into_iter().any(|kind| match kind {
        ChannelKind::Hostaway => hostaway::may_be_taken_in_part(call),
    })
}

/// The places of an attempt's calls that the channel refused as a whole, so that what they carried was sent apart after them.
pub fn sent_apart(kind: ChannelKind, bodies: &Bodies<'_>, sent: &Sent<'_>, calls: &[CallRecord]) -> Vec<usize> {
    match kind {
        ChannelKind::Hostaway => hostaway::sent_apart(bodies, sent, calls),
    }
}
