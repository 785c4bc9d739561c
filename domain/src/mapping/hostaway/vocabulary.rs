//! Codes of the unit's open vocabularies as Hostaway's ids. An unknown code is rejected alone; rows come sorted by id
//! and without repeats, so that a new order of codes is no change.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::rejections::Rejections;
use super::tables::{AMENITIES, BED_TYPES, FALLBACK_PROPERTY_TYPE, PROPERTY_TYPES, Row, find};
use crate::channel::Section;
use crate::unit::{Beds, OpenCode};

/// `listingAmenities`, or nothing where no amenity is usable: an empty array would delete those at the channel.
pub(super) fn amenities(codes: &[OpenCode], rejections: &mut Rejections) -> Option<Value> {
    let known = |(index, code): (usize, &OpenCode)| {
        lookup(AMENITIES, code, || format!("unit.amenities[{index}]"), "amenity", rejections)
    };
    let mut ids: Vec<u32> = codes.iter().enumerate().filter_map(known).map(|row| row.id).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() {
        let reason = "no amenity is usable; those at the channel stay, because an empty list would delete them";
        rejections.add(Section::Content, "unit.amenities".to_owned(), "", reason);
        return None;
    }
    Some(ids.into_iter().map(|id| json!({ "amenityId": id })).collect())
}

/// `listingBedTypes`, or nothing where no bed is usable.
pub(super) fn beds(beds: &[Beds], rejections: &mut Rejections) -> Option<Value> {
    let mut quantities: BTreeMap<u32, u32> = BTreeMap::new();
    for (index, bed) in beds.iter().enumerate() {
        let part = || format!("unit.capacity.beds[{index}].type");
        if let Some(row) = lookup(BED_TYPES, &bed.kind, part, "bed type", rejections) {
            *quantities.entry(row.id).or_default() += u32::from(bed.quantity);
        }
    }
    let rows = quantities.iter().map(|(id, quantity)| json!({ "bedTypeId": id, "quantity": quantity }));
    (!quantities.is_empty()).then(|| rows.collect())
}

/// `propertyTypeId`; an unknown type goes up as [`FALLBACK_PROPERTY_TYPE`] and is told.
pub(super) fn property_type(code: &OpenCode, rejections: &mut Rejections) -> u32 {
    if let Some(row) = find(PROPERTY_TYPES, code.as_str()) {
        return row.id;
    }
    let Row { id, name, .. } = FALLBACK_PROPERTY_TYPE;
    let reason = format!("Hostaway knows no such property type; {name:?} (id {id}) was sent");
    rejections.add(Section::Content, "unit.property_type".to_owned(), code.as_str(), reason);
    id
}

fn lookup(
    table: &'static [Row],
    code: &OpenCode,
    part: impl FnOnce() -> String,
    what: &str,
    rejections: &mut Rejections,
) -> Option<&'static Row> {
    let row = find(table, code.as_str());
    if row.is_none() {
        let reason = format!("Hostaway knows no such {what}; it was left out");
        rejections.add(Section::Content, part(), code.as_str(), reason);
    }
    row
}
