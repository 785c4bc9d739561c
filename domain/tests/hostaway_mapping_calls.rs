//! Calendars as intervals and calls: merging loses no night, no call is empty or above 200 intervals, and each night
//! is sent once per section.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::collections::BTreeMap;

use chrono::{Days, NaiveDate};
use domain::channel::{ChannelKind, ListingPayload, Section};
use domain::ids::{ListingId, TargetId};
use domain::mapping;
use domain::mapping::hostaway::{CalendarCall, MOST_INTERVALS, calendar_calls};
use domain::unit::UnitChanged;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn mapped(calendar: Value) -> ListingPayload {
    let mut body: Value = serde_json::from_str(include_str!("../../nats/examples/unit-changed.v1.json")).unwrap();
    body["unit"]["calendar"] = calendar;
    let change = UnitChanged::from_value(body).unwrap();
    let listing = ListingId::of(TargetId(uuid::Uuid::nil()), &change.unit_id);
    mapping::map(ChannelKind::Hostaway, &change, &listing)
}

fn section(payload: &ListingPayload, section: Section) -> Option<&Value> {
    payload.sections.get(&section).map(|payload| &payload.body)
}

fn date(text: &Value) -> NaiveDate {
    text.as_str().unwrap().parse().unwrap()
}

/// Each night with what the intervals say about it; a night that stands in two of them fails.
fn per_night(intervals: &[Value]) -> BTreeMap<NaiveDate, Map<String, Value>> {
    let mut nights = BTreeMap::new();
    for interval in intervals {
        let mut fields = interval.as_object().unwrap().clone();
        let (mut night, last) = (date(&fields["startDate"]), date(&fields["endDate"]));
        fields.retain(|field, _| !field.ends_with("Date"));
        assert!(night <= last && !fields.is_empty());
        while night <= last {
            assert!(nights.insert(night, fields.clone()).is_none(), "{night} is sent twice");
            night = night + Days::new(1);
        }
    }
    nights
}

/// One night of a generated calendar; `None` is a gap.
type Terms = Option<(bool, Option<i64>, Option<u16>, bool)>;

fn terms() -> impl Strategy<Value = Terms> {
    let price = prop_oneof![Just(None), Just(Some(24_000)), Just(Some(31_050))];
    let stay = prop_oneof![3 => Just(None), 1 => Just(Some(3)), 1 => Just(Some(2))];
    prop_oneof![
        1 => Just(None),
        9 => (any::<bool>(), price, stay, prop::bool::weighted(0.1)).prop_map(Some),
    ]
}

/// Stretches of equal nights, so that there is something to merge.
fn calendars() -> impl Strategy<Value = Vec<Terms>> {
    prop::collection::vec((terms(), 1_usize..4), 0..260)
        .prop_map(|runs| runs.into_iter().flat_map(|(terms, nights)| std::iter::repeat_n(terms, nights)).collect())
}

fn night(index: usize) -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 11, 25).unwrap() + Days::new(u64::try_from(index).unwrap())
}

/// The calendar in ranges of one night each, so that all merging is the mapping's.
fn wire(calendar: &[Terms]) -> Value {
    let rows = calendar.iter().enumerate().filter_map(|(index, terms)| {
        let (available, price, stay, closed) = (*terms)?;
        Some(json!({"first_night": night(index), "last_night": night(index), "available": available,
            "nightly_price": price, "minimum_stay": stay, "closed_to_arrival": closed}))
    });
    rows.collect()
}

fn wanted(calendar: &[Terms], section: Section) -> BTreeMap<NaiveDate, Map<String, Value>> {
    let rows = calendar.iter().enumerate().filter_map(|(index, terms)| {
        let (available, price, stay, closed) = (*terms)?;
        #[expect(clippy::cast_precision_loss, reason = "small prices")]
        let price = price.unwrap_or(24_000) as f64 / 100.0;
        let fields = match section {
            Section::Availability => json!({"isAvailable": u8::from(available)}),
            _ => json!({"price": price, "minimumStay": stay.unwrap_or(2), "maximumStay": 60,
                "closedOnArrival": u8::from(closed), "closedOnDeparture": 0}),
        };
        Some((night(index), fields.as_object().unwrap().clone()))
    });
    rows.collect()
}

fn rows(body: Option<&Value>) -> &[Value] {
    body.map_or(&[], |body| body.as_array().unwrap())
}

/// No two neighbours could have been one.
fn assert_merged(intervals: &[Value]) {
    for pair in intervals.windows(2) {
        let touching = date(&pair[0]["endDate"]) + Days::new(1) == date(&pair[1]["startDate"]);
        let terms = |row: &Value| {
            let mut terms = row.as_object().unwrap().clone();
            terms.retain(|field, _| !field.ends_with("Date"));
            terms
        };
        assert!(!(touching && terms(&pair[0]) == terms(&pair[1])), "{pair:?} are one");
    }
}

fn sent(calls: &[CalendarCall], section: Section) -> Vec<Value> {
    calls.iter().filter(|call| call.sections.contains(&section)).flat_map(|call| call.intervals.clone()).collect()
}

fn assert_bounded(calls: &[CalendarCall]) {
    for call in calls {
        assert!((1..=MOST_INTERVALS).contains(&call.intervals.len()) && !call.sections.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn merging_keeps_every_night(calendar in calendars()) {
        let payload = mapped(wire(&calendar));
        for kind in [Section::Availability, Section::Rates] {
            let intervals = rows(section(&payload, kind));
            assert_merged(intervals);
            prop_assert_eq!(per_night(intervals), wanted(&calendar, kind));
        }
    }

    #[test]
    fn calls_carry_every_night_once_per_section(left in calendars(), right in calendars()) {
        // Two calendars, so that the two sections need not cover the same nights.
        let (left_payload, right_payload) = (mapped(wire(&left)), mapped(wire(&right)));
        let availability = section(&left_payload, Section::Availability);
        let rates = section(&right_payload, Section::Rates);
        let calls = calendar_calls(availability, rates);
        assert_bounded(&calls);
        let mut both = wanted(&left, Section::Availability);
        for (night, fields) in wanted(&right, Section::Rates) {
            both.entry(night).or_default().extend(fields);
        }
        match calls.as_slice() {
            [one] if one.sections == [Section::Availability, Section::Rates] => {
                assert_merged(&one.intervals);
                prop_assert_eq!(per_night(&one.intervals), both);
            }
            _ => {
                for (kind, calendar) in [(Section::Availability, &left), (Section::Rates, &right)] {
                    prop_assert_eq!(per_night(&sent(&calls, kind)), wanted(calendar, kind));
                }
                let first_rates = calls.iter().position(|call| call.sections == [Section::Rates]);
                let last_availability = calls.iter().rposition(|call| call.sections == [Section::Availability]);
                prop_assert!(first_rates.is_none() || last_availability < first_rates);
            }
        }
    }
}

fn intervals(count: u64, field: &str) -> Value {
    let day = |index: u64| NaiveDate::from_ymd_opt(2027, 1, 1).unwrap() + Days::new(index);
    (0..count).map(|index| json!({"startDate": day(index), "endDate": day(index), field: index % 2})).collect()
}

#[test]
fn both_sections_share_a_call_while_they_fit() {
    let calls = calendar_calls(Some(&intervals(200, "isAvailable")), Some(&intervals(200, "minimumStay")));
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].intervals.len(), 200);
    assert_eq!(
        calls[0].intervals[1],
        json!({"startDate": "2027-01-02", "endDate": "2027-01-02", "isAvailable": 1,
        "minimumStay": 1})
    );
}

#[test]
fn sections_that_do_not_fit_together_go_availability_first() {
    let calls = calendar_calls(Some(&intervals(201, "isAvailable")), Some(&intervals(3, "minimumStay")));
    let shape: Vec<(usize, &[Section])> = calls.iter().map(|call| (call.intervals.len(), &call.sections[..])).collect();
    let (availability, rates) = (&[Section::Availability][..], &[Section::Rates][..]);
    assert_eq!(shape, [(200, availability), (1, availability), (3, rates)]);
}

#[test]
fn one_section_alone_and_no_section_at_all() {
    assert_eq!(calendar_calls(None, None), []);
    assert_eq!(calendar_calls(Some(&json!([])), None), []);
    let calls = calendar_calls(Some(&json!([])), Some(&intervals(400, "price")));
    assert_eq!(calls.iter().map(|call| call.intervals.len()).collect::<Vec<_>>(), [200, 200]);
}
