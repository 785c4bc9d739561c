//! Where a listing at Hostaway is not what was sent. The same comparisons as after a push, so spellings that mean the
//! same there are no drift; fields that we do not send are not looked at.

use serde_json::{Value, json};

use super::answer_differences::{ContentDifference, content_differences};
use super::calendar_differences::{CalendarDifference, calendar_differences};
use super::payload_differences::{list_of, name_of, nights_path};
use crate::channel::Section;
use crate::difference::FieldDifference;
use crate::unit::Night;

/// What differs in one section, but for nights that are past. `answer` is the calendar's days for nights, the listing for content and photos.
pub fn drift(section: Section, sent: &Value, answer: &Value, from: Night) -> Vec<FieldDifference> {
    match section {
        Section::Availability | Section::Rates => {
            let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
            let found = calendar_differences(&list(sent), &list(answer)).into_iter();
            found.filter(|one| one.nights.last() >= from).map(of_nights).collect()
        }
        Section::Content => content_differences(sent, answer).into_iter().map(of_listing).collect(),
        Section::Images => {
            // Stored photos have addresses of their own: captions and places tell what can be told.
            let sent = json!({ "listingImages": sent });
            content_differences(&sent, answer).into_iter().map(of_listing).collect()
        }
    }
}

fn of_nights(found: CalendarDifference) -> FieldDifference {
    // To a read the calendar owes no reason but a reservation.
    let reason = found.expected.then(|| found.reason.to_owned());
    let path = nights_path(&found.field, found.nights);
    FieldDifference {
        nights: Some(found.nights.into()),
        reason,
        expected: found.expected,
        ..FieldDifference::new(path, Some(found.sent), Some(found.answered))
    }
}

fn of_listing(found: ContentDifference) -> FieldDifference {
    let there = |value: Value| Some(value).filter(|value| !value.is_null());
    let path = format!("listing.{}", found.field);
    let (sent, answered) = (there(found.sent), there(found.answered));
    let name = list_of(&found.field).and_then(|(key, table)| {
        let row = sent.as_ref().or(answered.as_ref())?;
        name_of(table, row.get(key))
    });
    FieldDifference { name, ..FieldDifference::new(path, sent, answered) }
}
