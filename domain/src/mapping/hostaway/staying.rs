//! What one payload of ours tells nothing of, though the one before it did. Hostaway keeps it: nights in no interval, and fields that are
//! left out, lists among them. Of a list that is sent it keeps nothing else.

use serde_json::Value;

use super::payload_differences::by_night;
use super::runs::Runs;
use crate::channel::Section;
use crate::difference::staying::Staying;
use crate::unit::{Night, NightRange};

/// What stays of a section; without a state after, all of it.
pub fn staying(section: Section, before: &Value, after: Option<&Value>) -> Option<Staying> {
    match section {
        Section::Availability | Section::Rates => Staying::nights(section, &nights(before, after)),
        Section::Content => {
            let is_told = |field: &str| after.is_some_and(|after| after.get(field).is_some());
            let left_out = before.as_object().into_iter().flatten().filter(|(field, _)| !is_told(field));
            Staying::fields(section, left_out.map(|(field, value)| (format!("listing.{field}"), value)))
        }
        Section::Images => {
            let left_out = after.is_none().then_some(before);
            Staying::fields(section, left_out.map(|photos| ("listing.listingImages".to_owned(), photos)))
        }
    }
}

/// The nights of which something is told no more, in rows.
fn nights(before: &Value, after: Option<&Value>) -> Vec<NightRange> {
    let (before, after) = (by_night(Some(before)), by_night(after));
    let is_told = |night: &Night, field: &str| after.get(night).is_some_and(|fields| fields.contains_key(field));
    let mut untold = Runs::new();
    for (night, _) in before.iter().filter(|(night, fields)| !fields.keys().all(|field| is_told(night, field))) {
        // Whichever of its fields it is.
        untold.add("", *night, ());
    }
    untold.into_vec().into_iter().map(|run| run.nights).collect()
}
