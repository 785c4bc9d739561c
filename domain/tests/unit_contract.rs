//! The unit contract: the example passes schema and parser, broken documents fail in both, and each finding names its
//! field. Where a schema cannot state a rule the table says so.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use domain::hash::SnapshotHash;
use domain::unit::{LARGEST_BODY, UnitChanged, parse};
use serde_json::{Value, json};

fn example() -> Value {
    serde_json::from_str(include_str!("../../nats/examples/unit-changed.v1.json")).unwrap()
}

fn schema() -> jsonschema::Validator {
    let schema = serde_json::from_str(include_str!("../../nats/schemas/unit-changed.v1.json")).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

/// The example with the value at a JSON pointer replaced, or with the key taken away.
fn broken(pointer: &str, value: Option<Value>) -> Value {
    let mut body = example();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match (body.pointer_mut(parent).unwrap(), value) {
        (Value::Object(fields), Some(value)) => drop(fields.insert(key.to_owned(), value)),
        (Value::Object(fields), None) => drop(fields.remove(key).unwrap()),
        (Value::Array(items), Some(value)) => items[key.parse::<usize>().unwrap()] = value,
        (other, _) => panic!("{pointer} is in {other}"),
    }
    body
}

fn fields_of(body: Value) -> Vec<String> {
    UnitChanged::from_value(body).unwrap_err().problems.into_iter().map(|problem| problem.field).collect()
}

#[test]
fn the_example_satisfies_schema_and_parser() {
    let body = example();
    assert!(schema().validate(&body).is_ok());
    let change = parse(&serde_json::to_vec(&body).unwrap()).unwrap();
    assert_eq!(change.revision.get(), 7);
    assert_eq!(change.unit_id.as_str(), "villa-0042");
    assert_eq!(change.unit.calendar.ranges().len(), 5);
    assert_eq!(change.unit.time_zone.name(), "Asia/Makassar");
}

/// Both the parser and the schema refuse these; the parser names the field.
#[test]
fn broken_documents_fail_in_schema_and_parser() {
    let night = |first: &str, last: &str| json!({"first_night": first, "last_night": last, "available": true});
    let table: Vec<(&str, Option<Value>, &str)> = vec![
        ("/org_id", None, "org_id"),
        ("/org_id", Some(json!("sun stay")), "org_id"),
        ("/unit_id", Some(json!("")), "unit_id"),
        ("/account_id", Some(json!("x".repeat(65))), "account_id"),
        ("/revision", Some(json!(0)), "revision"),
        ("/revision", Some(json!(-3)), "revision"),
        ("/revision", Some(json!(9_007_199_254_740_992_u64)), "revision"),
        ("/unit", Some(json!([])), "unit"),
        ("/unit/name", Some(json!({})), "unit.name"),
        ("/unit/name", Some(json!("Villa Kayu")), "unit.name"),
        ("/unit/name/en", Some(json!("  ")), "unit.name.en"),
        ("/unit/name/english", Some(json!("Villa")), "unit.name.english"),
        ("/unit/name/en_US", Some(json!("Villa")), "unit.name.en_US"),
        ("/unit/description", None, "unit.description"),
        ("/unit/default_locale", Some(json!("12")), "unit.default_locale"),
        ("/unit/room_type", Some(json!("castle")), "unit.room_type"),
        ("/unit/capacity/guests", Some(json!(0)), "unit.capacity.guests"),
        ("/unit/capacity/guests", Some(json!("four")), "unit.capacity.guests"),
        ("/unit/capacity/guests", None, "unit.capacity.guests"),
        ("/unit/capacity/beds/1/quantity", Some(json!(-1)), "unit.capacity.beds[1].quantity"),
        ("/unit/address/country", Some(json!("Bali")), "unit.address.country"),
        ("/unit/address/city", Some(json!("")), "unit.address.city"),
        ("/unit/coordinates/latitude", Some(json!(90.01)), "unit.coordinates.latitude"),
        ("/unit/coordinates/longitude", Some(json!(-181)), "unit.coordinates.longitude"),
        ("/unit/check_in/from", Some(json!("24:00")), "unit.check_in.from"),
        ("/unit/check_in/until", Some(json!("9:00")), "unit.check_in.until"),
        ("/unit/check_out", Some(json!({})), "unit.check_out.until"),
        ("/unit/amenities/0", Some(json!(3)), "unit.amenities[0]"),
        ("/unit/photos/0/captions/e", Some(json!("x")), "unit.photos[0].captions.e"),
        ("/unit/photos/1", Some(json!({"captions": {}})), "unit.photos[1].url"),
        ("/unit/prices/currency", Some(json!("usd")), "unit.prices.currency"),
        ("/unit/prices/nightly", Some(json!(-1)), "unit.prices.nightly"),
        ("/unit/prices/nightly", Some(json!(240.5)), "unit.prices.nightly"),
        ("/unit/prices/cleaning_fee", Some(json!(-1)), "unit.prices.cleaning_fee"),
        ("/unit/prices/guests_included", Some(json!(0)), "unit.prices.guests_included"),
        ("/unit/prices/weekly_discount_percent", Some(json!(100)), "unit.prices.weekly_discount_percent"),
        ("/unit/prices/weekly_discount_percent", Some(json!(-5)), "unit.prices.weekly_discount_percent"),
        ("/unit/stay_limits/maximum_nights", Some(json!(1126)), "unit.stay_limits.maximum_nights"),
        ("/unit/cancellation_policy", Some(json!("lenient")), "unit.cancellation_policy"),
        ("/unit/calendar", None, "unit.calendar"),
        ("/unit/calendar/3", Some(night("2027-13-01", "2027-01-04")), "unit.calendar[3].first_night"),
        ("/unit/calendar/3/last_night", Some(json!("2027-1-4")), "unit.calendar[3].last_night"),
        ("/unit/calendar/3/last_night", Some(json!("2027-01-04T00:00:00Z")), "unit.calendar[3].last_night"),
        ("/unit/calendar/3/available", Some(json!(1)), "unit.calendar[3].available"),
        ("/unit/calendar/2/nightly_price", Some(json!(0)), "unit.calendar[2].nightly_price"),
        ("/unit/calendar/2/minimum_stay", Some(json!(0)), "unit.calendar[2].minimum_stay"),
    ];
    let schema = schema();
    for (pointer, value, field) in table {
        let body = broken(pointer, value.clone());
        assert!(!schema.is_valid(&body), "the schema takes {pointer} = {value:?}");
        assert_eq!(fields_of(body), [field], "{pointer} = {value:?}");
    }
}

/// Rules that a schema cannot state: it takes these, the parser does not.
#[test]
fn documents_that_only_the_parser_refuses() {
    let night = |first: &str, last: &str| json!({"first_night": first, "last_night": last, "available": true});
    let table = [
        ("/unit/default_locale", json!("fr"), vec!["unit.name.fr", "unit.description.fr"]),
        ("/unit/name/EN", json!("Villa"), vec!["unit.name.en"]),
        ("/unit/address/country", json!("XX"), vec!["unit.address.country"]),
        ("/unit/time_zone", json!("Asia/Bali"), vec!["unit.time_zone"]),
        ("/unit/prices/currency", json!("XYZ"), vec!["unit.prices.currency"]),
        ("/unit/stay_limits/minimum_nights", json!(61), vec!["unit.stay_limits.minimum_nights"]),
        ("/unit/calendar/3", night("2027-02-30", "2027-03-01"), vec!["unit.calendar[3].first_night"]),
        ("/unit/calendar/3", night("2027-01-04", "2027-01-03"), vec!["unit.calendar[3].last_night"]),
        ("/unit/calendar/3", night("2027-01-03", "2027-01-04"), vec!["unit.calendar[3]"]),
        ("/unit/calendar/4", night("2027-01-05", "2029-12-31"), vec!["unit.calendar"]),
        ("/unit/calendar/2/minimum_stay", json!(61), vec!["unit.calendar[2].minimum_stay"]),
        ("/unit/calendar/4/maximum_stay", json!(1), vec!["unit.calendar[4].maximum_stay"]),
        ("/unit/house_rules/en", json!("no\u{0}"), vec!["unit.house_rules.en"]),
        ("/unit/unknown\u{0}field", json!(1), vec!["unit.unknown\\u{0}field"]),
    ];
    let schema = schema();
    for (pointer, value, fields) in table {
        let body = broken(pointer, Some(value.clone()));
        assert!(schema.is_valid(&body), "the schema refuses {pointer} = {value}: it belongs into the other table");
        assert_eq!(fields_of(body), fields, "{pointer} = {value}");
    }
}

#[test]
fn overlaps_name_both_ranges_and_the_nights() {
    let range = |first: &str, last: &str| json!({"first_night": first, "last_night": last, "available": true});
    let calendar = json!([
        range("2026-06-10", "2026-06-12"),
        range("2026-06-01", "2026-06-30"),
        range("2026-06-13", "2026-06-13"),
        range("2026-07-01", "2026-07-02"),
    ]);
    let problems = UnitChanged::from_value(broken("/unit/calendar", Some(calendar))).unwrap_err().problems;
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told[0].starts_with("unit.calendar[1]: overlaps unit.calendar[0] from 2026-06-10 to 2026-06-12"));
    assert!(told[1].starts_with("unit.calendar[2]: overlaps unit.calendar[1] from 2026-06-13 to 2026-06-13"));
}

#[test]
fn every_problem_is_told_at_once() {
    let mut body = example();
    body["revision"] = json!(0);
    body["unit"]["capacity"]["guests"] = json!(0);
    body["unit"]["address"]["country"] = json!("ZZ");
    body["unit"]["prices"]["currency"] = json!("EURO");
    body["unit"]["prices"]["nightly"] = json!(-5);
    body["unit"]["stay_limits"] = json!({"minimum_nights": 9, "maximum_nights": 3});
    body["unit"]["calendar"][0]["last_night"] = json!("2020-01-01");
    let error = UnitChanged::from_value(body).unwrap_err();
    let fields: Vec<&str> = error.problems.iter().map(|problem| problem.field.as_str()).collect();
    let wanted = [
        "revision",
        "unit.capacity.guests",
        "unit.address.country",
        "unit.prices.currency",
        "unit.prices.nightly",
        "unit.stay_limits.minimum_nights",
        "unit.calendar[0].last_night",
    ];
    assert_eq!(fields, wanted);
    assert!(error.to_string().contains("unit.capacity.guests: is 0; it must lie between 1 and 500"));
}

#[test]
fn a_text_of_a_wrong_form_is_told_what_is_right() {
    let mut body = example();
    // The shape breaks here, so that the schema tells the rest.
    body["revision"] = json!("7");
    body["unit"]["address"]["street"] = json!("  ");
    body["unit"]["address"]["country"] = json!("Austria");
    let told = UnitChanged::from_value(body).unwrap_err().to_string();
    for right in [
        "unit.address.street: is blank; give a text with at least one character that is no blank",
        "unit.address.country: is no code of a country: give its two capital letters, such as AT",
    ] {
        assert!(told.contains(right), "{told}");
    }
}

#[test]
fn the_list_of_problems_is_bounded() {
    let ranges: Vec<Value> =
        (0..500).map(|_| json!({"first_night": "x", "last_night": "2026-01-01", "available": true})).collect();
    let problems = UnitChanged::from_value(broken("/unit/calendar", Some(json!(ranges)))).unwrap_err().problems;
    assert_eq!(problems.len(), 101);
    assert_eq!(problems[100].reason, "has 400 more problems; mend these first");
}

#[test]
fn unknown_fields_are_kept_and_bad_parts_are_not_fatal() {
    let mut body = example();
    body["unit"]["star_rating"] = json!(4.5);
    body["unit"]["calendar"][0]["note"] = json!("owner");
    body["unit"]["huge"] = json!([u64::MAX, i64::MIN, 1e300]);
    body["unit"]["amenities"] = json!(["teleporter", ""]);
    body["unit"]["photos"][0]["url"] = json!("ftp://nowhere");
    body["unit"]["property_type"] = json!("submarine");
    body["unit"]["summary"] = Value::Null;
    assert!(schema().is_valid(&body));
    let change = UnitChanged::from_value(body.clone()).unwrap();
    assert_eq!(change.raw, body);
    assert_eq!(SnapshotHash::of_json(&change.raw), SnapshotHash::of_json(&body), "any JSON has a hash");
    assert_eq!(change.unit.amenities[0].as_str(), "teleporter");
}

#[test]
fn a_body_that_cannot_be_read_is_told_in_plain_words() {
    let told = |body: &[u8]| parse(body).unwrap_err().to_string();
    assert!(told(b"{\"org_id\":").starts_with("body: is not JSON in UTF-8: EOF"));
    assert!(told(b"\xff\xfe").starts_with("body: is not JSON in UTF-8"));
    assert!(told(b"[]").starts_with("body: invalid"));
    assert!(told(b"null").contains("expected an object with org_id"));
    for nul in [&br#""a\u0000b""#[..], br#"{"": "a\u0000b"}"#] {
        assert!(told(nul).starts_with("body: holds the character U+0000"));
    }
    let missing = ["org_id", "account_id", "unit_id", "revision", "unit"];
    let all = missing.map(|field| format!("{field}: is missing; the contract requires it")).join("; ");
    assert_eq!(told(b"{}"), all);
    let large = vec![b' '; LARGEST_BODY + 1];
    assert_eq!(told(&large), "body: has 900001 bytes; 900000 are the most, so send fewer texts or ranges");
}

#[test]
fn what_a_long_text_says_or_one_where_none_belongs_is_not_told() {
    let said = "Annabel, \"anna@example.com\", expected a number";
    let mut body = example();
    body["revision"] = json!([said]);
    body["unit"]["capacity"]["guests"] = json!(said);
    body["unit"]["capacity"]["bedrooms"] = json!(said);
    body["unit"]["prices"]["nightly"] = json!({ "guestName": said });
    body["unit"]["room_type"] = json!(said.repeat(9));
    body["unit"]["name"] = json!({ said.repeat(9): "Villa", "en": "Villa" });
    let told = UnitChanged::from_value(body).unwrap_err();
    for field in ["revision", "unit.capacity.guests", "unit.capacity.bedrooms", "unit.prices.nightly", "unit.room_type"]
    {
        assert!(told.problems.iter().any(|problem| problem.field == field), "{told}");
    }
    assert!(!told.to_string().contains("anna") && !told.to_string().contains("Annabel"), "{told}");
    let told = |pointer: &str, text: &str| {
        UnitChanged::from_value(broken(pointer, Some(json!(text)))).unwrap_err().to_string()
    };
    let guests = told("/unit/capacity/guests", said);
    assert_eq!(guests, "unit.capacity.guests: invalid type: a text, expected a whole number");
    let short = told("/unit/room_type", "castle");
    assert!(short.starts_with("unit.room_type: \"castle\" is not known; use one of"), "{short}");
    let long = told("/unit/room_type", &"castle".repeat(20));
    assert!(long.starts_with("unit.room_type: a text of 120 characters is not known; use one of"), "{long}");
}

#[test]
fn locales_are_kept_in_canonical_spelling() {
    let mut body = example();
    body["unit"]["name"] = json!({"EN": "Villa", "zh-hant-tw": "別墅"});
    body["unit"]["default_locale"] = json!("eN");
    let unit = UnitChanged::from_value(body).unwrap().unit;
    let tags: Vec<&str> = unit.name.iter().map(|(locale, _)| locale.as_str()).collect();
    assert_eq!(tags, ["en", "zh-Hant-TW"]);
    assert_eq!(unit.name.get(&unit.default_locale), Some("Villa"));
}

#[test]
fn every_place_where_the_shape_breaks_is_named() {
    let body = serde_json::json!({"org_id": "tvl", "unit_id": 7, "revision": "7", "unit": {"amenities": "wifi"}});
    let invalid = domain::unit::UnitChanged::from_value(body).expect_err("it has no shape");
    let fields: Vec<&str> = invalid.problems.iter().map(|problem| problem.field.as_str()).collect();
    for wanted in ["account_id", "unit_id", "revision", "unit.name", "unit.calendar", "unit.amenities"] {
        assert!(fields.contains(&wanted), "{wanted} in {fields:?}");
    }
}
