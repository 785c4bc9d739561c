//! Where a listing at Hostaway is not what was sent. The same comparisons as after a push, so spellings that mean the
//! same there are no drift; fields that we do not send are not looked at.

use serde_json::{Value, json};

use super::answer_differences::{ContentDifference, content_differences};
use super::calendar_differences::{CalendarDifference, calendar_differences};
use super::payload_differences::{key_of, list_of, name_of, nights_path, row_path};
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
        Section::Content => of_listing(content_differences(sent, answer)),
        Section::Images => {
            // Stored photos have addresses of their own: captions and places tell what can be told.
            let sent = json!({ "listingImages": sent });
            of_listing(content_differences(&sent, answer))
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

/// Rows are told by what they are known by, as those of payloads are: what was sent of one and what is there of it are one difference.
fn of_listing(differences: Vec<ContentDifference>) -> Vec<FieldDifference> {
    let mut found: Vec<FieldDifference> = Vec::new();
    for ContentDifference { field, sent, answered } in differences {
        let there = |value: Value| Some(value).filter(|value| !value.is_null());
        let (sent, answered) = (there(sent), there(answered));
        let row = list_of(&field).and_then(|(key, table)| {
            let row = sent.as_ref().or(answered.as_ref())?;
            Some((row_path(&field, key, &key_of(key, row)?), name_of(table, row.get(key))))
        });
        let (path, name) = row.unwrap_or_else(|| (format!("listing.{field}"), None));
        let of_it = |one: &FieldDifference| sent.is_none() && one.after.is_none() && one.path == path;
        let before = match found.iter().position(of_it) {
            Some(place) => found.remove(place).before,
            None => sent,
        };
        found.push(FieldDifference { name, ..FieldDifference::new(path, before, answered) });
    }
    found
}
