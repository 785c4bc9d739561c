//! Hostaway's public API v1: the bodies of listing, photos and calendar, how a calendar is cut into calls, and what the
//! channel answered with success but did not take. The only place in the domain that knows Hostaway's fields.

mod answer_differences;
mod apart;
mod calendar_differences;
mod calls;
mod content;
mod drift;
mod hours;
mod images;
mod intervals;
mod lenient;
mod payload_differences;
mod photo_differences;
mod rejections;
mod requests;
mod runs;
mod staying;
pub mod tables;
mod vocabulary;

pub use answer_differences::{ContentDifference, content_differences, kept_texts};
pub use apart::sent_apart;
pub use calendar_differences::{CalendarDifference, calendar_differences};
pub use calls::{CalendarCall, MOST_INTERVALS, calendar_calls, fewest_calls, may_be_taken_in_part};
pub use drift::drift;
pub use payload_differences::section_differences;
pub use requests::request_bodies;
pub use staying::staying;

use serde_json::Value;

use crate::channel::{ListingPayload, Section, SectionPayload};
use crate::ids::{ListingId, UnitId};
use crate::unit::UnitChanged;
use rejections::Rejections;

/// What our listing carries at Hostaway as `internalListingName`.
///
/// Hostaway has no idempotency key and no field for a foreign id: this text is how a listing whose creation was cut off
/// is found again before anything is created a second time.
pub fn reference(unit_id: &UnitId, listing_id: &ListingId) -> String {
    format!("{unit_id} {listing_id}")
}

/// The payload of a unit for one listing at Hostaway.
pub fn map(unit: &UnitChanged, listing: &ListingId) -> ListingPayload {
    let mut rejections = Rejections::default();
    let content = content::listing(unit, listing, &mut rejections);
    let images = images::images(&unit.unit, &mut rejections);
    let bodies: [(Section, Option<Value>); 4] = [
        (Section::Availability, intervals::availability(&unit.unit.calendar)),
        (Section::Rates, intervals::rates(&unit.unit)),
        (Section::Content, Some(content)),
        (Section::Images, images),
    ];
    let sections = bodies.into_iter().filter_map(|(section, body)| Some((section, SectionPayload::new(body?))));
    ListingPayload { sections: sections.collect(), rejected: rejections.into_parts() }
}
