//! Every id in the mapping's tables exists in Hostaway's static lists, under the name that the table gives.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::collections::HashMap;

use domain::mapping::hostaway::tables::{AMENITIES, BED_TYPES, FALLBACK_PROPERTY_TYPE, PROPERTY_TYPES, Row, find};
use serde_json::Value;

fn names(list: &str) -> HashMap<u64, String> {
    let rows: Vec<Value> = serde_json::from_str(list).unwrap();
    rows.iter().map(|row| (row["id"].as_u64().unwrap(), row["name"].as_str().unwrap().to_owned())).collect()
}

fn check(table: &'static [Row], list: &str) {
    let names = names(list);
    for row in table {
        assert_eq!(names.get(&u64::from(row.id)).map(String::as_str), Some(row.name), "{row:?}");
        assert_eq!(find(table, row.code), Some(row), "the table is sorted by code and names each code once");
    }
}

#[test]
fn amenities_exist() {
    check(AMENITIES, include_str!("../../tests/sandbox/data/amenities.json"));
}

#[test]
fn bed_types_exist() {
    check(BED_TYPES, include_str!("../../tests/sandbox/data/bed-types.json"));
}

#[test]
fn property_types_exist() {
    let list = include_str!("../../tests/sandbox/data/property-types.json");
    check(PROPERTY_TYPES, list);
    assert_eq!(names(list)[&u64::from(FALLBACK_PROPERTY_TYPE.id)], FALLBACK_PROPERTY_TYPE.name);
}

#[test]
fn an_unknown_code_has_no_row() {
    assert_eq!(find(AMENITIES, "teleporter"), None);
    assert_eq!(find(AMENITIES, ""), None);
}
