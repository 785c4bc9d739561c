//! What differs between two payloads of ours, field by field. Exact, unlike a comparison with what Hostaway answers: a
//! section is sent again when anything in it is another value.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::intervals::{fields_of, nights_of};
use super::photo_differences::photo_differences;
use super::runs::{Run, Runs};
use super::tables::{AMENITIES, BED_TYPES, PROPERTY_TYPES, Row};
use crate::channel::Section;
use crate::difference::FieldDifference;
use crate::unit::{Night, NightRange};

/// What differs in one section; without a state before, all of it is new. What is left out afterwards stays, so it does not differ.
pub fn section_differences(section: Section, before: Option<&Value>, after: &Value) -> Vec<FieldDifference> {
    match section {
        Section::Availability | Section::Rates => nights(before, after),
        Section::Content => content(before, after),
        Section::Images => photo_differences(before, after),
    }
}

/// The place of a field on nights, as in a refused part.
pub(super) fn nights_path(field: &str, nights: NightRange) -> String {
    format!("calendar[{}..{}].{field}", nights.first(), nights.last())
}

pub(super) type NightFields<'a> = BTreeMap<Night, BTreeMap<&'a str, &'a Value>>;

/// What is told of each night.
pub(super) fn by_night(intervals: Option<&Value>) -> NightFields<'_> {
    let mut nights = NightFields::new();
    for interval in intervals.and_then(Value::as_array).into_iter().flatten() {
        for night in nights_of(interval).into_iter().flat_map(NightRange::nights) {
            nights.entry(night).or_default().extend(fields_of(interval).map(|(field, value)| (field.as_str(), value)));
        }
    }
    nights
}

fn nights(before: Option<&Value>, after: &Value) -> Vec<FieldDifference> {
    let is_first = before.is_none();
    let (before, after) = (by_night(before), by_night(Some(after)));
    let mut runs = Runs::new();
    for (night, fields) in &after {
        for (&field, &is) in fields {
            let was = before.get(night).and_then(|fields| fields.get(field)).copied();
            if was != Some(is) {
                runs.add(field, *night, (was.cloned(), is.clone()));
            }
        }
    }
    let difference = |run: Run<'_, (Option<Value>, Value)>| {
        let (was, is) = run.found;
        let is_untold = !is_first && was.is_none();
        let found = FieldDifference::new(nights_path(run.field, run.nights), was, Some(is));
        let found = if is_untold { found.told_of_now() } else { found };
        FieldDifference { nights: Some(run.nights.into()), ..found }
    };
    runs.into_vec().into_iter().map(difference).collect()
}

fn content(before: Option<&Value>, after: &Value) -> Vec<FieldDifference> {
    let (is_first, none) = (before.is_none(), Map::new());
    let before = before.and_then(Value::as_object).unwrap_or(&none);
    let mut found = Vec::new();
    for (field, is) in after.as_object().unwrap_or(&none) {
        let was = before.get(field);
        if was == Some(is) {
            continue;
        }
        let differing = match list_of(field) {
            Some(list) => rows(field, list, was, is),
            None => vec![FieldDifference {
                name: (field == "propertyTypeId").then(|| name_of(PROPERTY_TYPES, Some(is))).flatten(),
                ..FieldDifference::new(format!("listing.{field}"), was.cloned(), Some(is.clone()))
            }],
        };
        let is_untold = !is_first && was.is_none();
        found.extend(differing.into_iter().map(|field| if is_untold { field.told_of_now() } else { field }));
    }
    found
}

/// The field that tells the rows of a list apart, and what its ids mean.
pub(super) fn list_of(field: &str) -> Option<(&'static str, &'static [Row])> {
    match field {
        "listingAmenities" => Some(("amenityId", AMENITIES)),
        "listingBedTypes" => Some(("bedTypeId", BED_TYPES)),
        // Stored photos have addresses of their own.
        "listingImages" => Some(("sortOrder", &[])),
        _ => None,
    }
}

/// Hostaway's name for an id of a table.
pub(super) fn name_of(table: &'static [Row], id: Option<&Value>) -> Option<String> {
    let id = id?.as_u64()?;
    table.iter().find(|row| u64::from(row.id) == id).map(|row| row.name.to_owned())
}

/// What a row of a list is known by; a number in quotes is the number.
pub(super) fn key_of(key: &str, row: &Value) -> Option<String> {
    let value = row.get(key)?;
    Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

/// The place of a row of a list.
pub(super) fn row_path(field: &str, key: &str, id: &str) -> String {
    format!("listing.{field}[{key}={id}]")
}

fn rows(
    field: &str,
    (key, table): (&'static str, &'static [Row]),
    was: Option<&Value>,
    is: &Value,
) -> Vec<FieldDifference> {
    let by_key = |list: Option<&Value>| -> BTreeMap<String, Value> {
        let rows = list.and_then(Value::as_array).into_iter().flatten();
        rows.filter_map(|row| Some((key_of(key, row)?, row.clone()))).collect()
    };
    let (was, is) = (by_key(was), by_key(Some(is)));
    let ids: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    let differing = ids.into_iter().filter_map(|id| {
        let (was, is) = (was.get(id).cloned(), is.get(id).cloned());
        (was != is).then(|| {
            let name = name_of(table, is.as_ref().or(was.as_ref()).and_then(|row| row.get(key)));
            FieldDifference { name, ..FieldDifference::new(row_path(field, key, id), was, is) }
        })
    });
    differing.collect()
}
