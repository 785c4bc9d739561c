//! Every villa and every change of one satisfies the unit contract and is wholly understood by the mapping.

use std::collections::HashSet;

use chrono::NaiveDate;
use demo::villas::calendar::{nights, set_nights};
use demo::villas::{Change, ORG, own, small_villa, villa};
use domain::channel::Section;
use domain::ids::{ListingId, TargetId};
use domain::mapping::hostaway::{calendar_calls, map};
use domain::unit::UnitChanged;
use serde_json::Value;
use uuid::Uuid;

fn today() -> NaiveDate {
    NaiveDate::from_ymd_opt(2031, 1, 15).unwrap()
}

fn parsed(body: &Value) -> UnitChanged {
    UnitChanged::from_value(body.clone()).unwrap_or_else(|invalid| panic!("{:?}\n{body:#}", invalid.problems))
}

fn payload(body: &Value) -> domain::channel::ListingPayload {
    let unit = parsed(body);
    let listing = ListingId::of(TargetId(Uuid::nil()), &unit.unit_id);
    map(&unit, &listing)
}

#[test]
fn two_hundred_villas_are_valid_and_nothing_of_them_is_rejected() {
    let mut names = HashSet::new();
    for index in 0..220 {
        let body = villa(index, 1, today());
        let rejected = payload(&body).rejected;
        assert!(rejected.is_empty(), "{rejected:?}");
        assert_eq!(nights(&body).len(), 365);
        names.insert(body["unit"]["name"]["en"].to_string());
    }
    assert_eq!(names.len(), 220);
}

#[test]
fn amenities_are_eight_to_twenty_different_things() {
    for index in 0..220 {
        let body = villa(index, 1, today());
        let codes = body["unit"]["amenities"].as_array().unwrap().len();
        let sent = payload(&body).sections[&Section::Content].body["listingAmenities"].as_array().unwrap().len();
        assert!((8..=20).contains(&codes), "{codes}");
        assert_eq!(sent, codes);
    }
}

#[test]
fn most_calendars_take_one_call_and_some_take_more() {
    let calls = |index| {
        let sections = payload(&villa(index, 1, today())).sections;
        let body = |section| sections.get(&section).map(|payload| &payload.body);
        calendar_calls(body(Section::Availability), body(Section::Rates)).len()
    };
    let calls: Vec<usize> = (0..200).map(calls).collect();
    let one = calls.iter().filter(|calls| **calls == 1).count();
    assert!((180..200).contains(&one), "{one} of 200 take one call: {calls:?}");
}

#[test]
fn a_villa_is_made_again_the_same() {
    assert_eq!(villa(42, 9, today()), villa(42, 9, today()));
    assert_ne!(villa(42, 9, today())["unit"], villa(42, 8, today())["unit"]);
    assert_eq!(villa(42, 9, today())["revision"], 9);
}

#[test]
fn every_change_reaches_the_channel_but_the_internal_note() {
    let changes = [
        Change::Booking,
        Change::Cancellation,
        Change::SeasonPrice,
        Change::BasePrice,
        Change::MinimumStay,
        Change::Description,
        Change::Photo,
        Change::Amenity,
        Change::InternalNote,
    ];
    for change in changes {
        for seed in 0..40 {
            let mut body = villa(usize::try_from(seed).unwrap(), 1, today());
            let before = payload(&body);
            let words = change.apply(&mut body, seed);
            let after = payload(&body);
            assert!(after.rejected.is_empty(), "{change:?}: {:?}", after.rejected);
            assert_eq!(before.sections == after.sections, change == Change::InternalNote, "{change:?} {seed}: {words}");
            assert_eq!(body["revision"], 2);
        }
    }
}

#[test]
fn a_calendar_survives_its_nights() {
    for index in 0..30 {
        let mut body = villa(index, 1, today());
        let before = body.clone();
        let year = nights(&body);
        set_nights(&mut body, &year);
        assert_eq!(body, before);
    }
}

#[test]
fn units_that_somebody_added_are_not_counted_among_the_villas() {
    let villas: Vec<Value> = (0..3).map(|index| villa(index, 1, today())).collect();
    let mut units = villas.clone();
    units.push(small_villa("sunstay", "villa-001", 1));
    units.push(small_villa(ORG, "bungalow-1", 1));
    units.push(small_villa(ORG, "villa-004", 1));
    units.reverse();
    assert_eq!(own(units.clone(), 3), villas);
    units.retain(|unit| unit["unit_id"] != "villa-002");
    assert_eq!(own(units, 3).len(), 2);
}

#[test]
fn small_villas_are_valid_and_differ_by_revision() {
    let one = small_villa("tvl", "unit-1", 1);
    assert!(payload(&one).rejected.is_empty());
    assert_ne!(payload(&one).sections, payload(&small_villa("tvl", "unit-1", 2)).sections);
}
