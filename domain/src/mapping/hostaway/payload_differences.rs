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

/// What differs in one section; without a state before, all of it is new.
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

type NightFields<'a> = BTreeMap<Night, BTreeMap<&'a str, &'a Value>>;

fn by_night(intervals: Option<&Value>) -> NightFields<'_> {
    let mut nights = NightFields::new();
    for interval in intervals.and_then(Value::as_array).into_iter().flatten() {
        for night in nights_of(interval).into_iter().flat_map(NightRange::nights) {
            nights.entry(night).or_default().extend(fields_of(interval).map(|(field, value)| (field.as_str(), value)));
        }
    }
    nights
}

fn nights(before: Option<&Value>, after: &Value) -> Vec<FieldDifference> {
    let (before, after) = (by_night(before), by_night(Some(after)));
    let all: BTreeSet<Night> = before.keys().chain(after.keys()).copied().collect();
    let mut runs = Runs::new();
    for night in all {
        let (was, is) = (before.get(&night), after.get(&night));
        let fields: BTreeSet<&str> = [was, is].into_iter().flatten().flat_map(|side| side.keys().copied()).collect();
        for field in fields {
            let value = |side: Option<&BTreeMap<&str, &Value>>| side.and_then(|side| side.get(field)).copied().cloned();
            let (was, is) = (value(was), value(is));
            if was != is {
                runs.add(field, night, (was, is));
            }
        }
    }
    let difference = |run: Run<'_, (Option<Value>, Option<Value>)>| FieldDifference {
        nights: Some(run.nights.into()),
        ..FieldDifference::new(nights_path(run.field, run.nights), run.found.0, run.found.1)
    };
    runs.into_vec().into_iter().map(difference).collect()
}

fn content(before: Option<&Value>, after: &Value) -> Vec<FieldDifference> {
    let none = Map::new();
    let before = before.and_then(Value::as_object).unwrap_or(&none);
    let after = after.as_object().unwrap_or(&none);
    let fields: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let mut found = Vec::new();
    for field in fields {
        let (was, is) = (before.get(field), after.get(field));
        if was == is {
            continue;
        }
        match list_of(field) {
            Some(list) => rows(field, list, was, is, &mut found),
            None => found.push(FieldDifference {
                name: (field == "propertyTypeId").then(|| name_of(PROPERTY_TYPES, is.or(was))).flatten(),
                ..FieldDifference::new(format!("listing.{field}"), was.cloned(), is.cloned())
            }),
        }
    }
    found
}

/// The field that tells the rows of a list apart, and what its ids mean.
pub(super) fn list_of(field: &str) -> Option<(&'static str, &'static [Row])> {
    match field {
        "listingAmenities" => Some(("amenityId", AMENITIES)),
        "listingBedTypes" => Some(("bedTypeId", BED_TYPES)),
        _ => None,
    }
}

/// Hostaway's name for an id of a table.
pub(super) fn name_of(table: &'static [Row], id: Option<&Value>) -> Option<String> {
    let id = id?.as_u64()?;
    table.iter().find(|row| u64::from(row.id) == id).map(|row| row.name.to_owned())
}

fn rows(
    field: &str,
    (key, table): (&'static str, &'static [Row]),
    was: Option<&Value>,
    is: Option<&Value>,
    found: &mut Vec<FieldDifference>,
) {
    let by_key = |list: Option<&Value>| -> BTreeMap<String, Value> {
        let rows = list.and_then(Value::as_array).into_iter().flatten();
        rows.filter_map(|row| Some((row.get(key)?.to_string(), row.clone()))).collect()
    };
    let (was, is) = (by_key(was), by_key(is));
    let ids: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    for id in ids {
        let (was, is) = (was.get(id).cloned(), is.get(id).cloned());
        if was != is {
            let name = name_of(table, is.as_ref().or(was.as_ref()).and_then(|row| row.get(key)));
            let path = format!("listing.{field}[{key}={id}]");
            found.push(FieldDifference { name, ..FieldDifference::new(path, was, is) });
        }
    }
}
