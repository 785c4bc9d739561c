//! The calendar as Hostaway's intervals: nights in a row with equal terms become one, both dates included. Nights that
//! the unit's calendar does not name are not sent.

use serde_json::{Map, Value};

use crate::unit::{Calendar, NightRange, Unit};

/// What a night costs and which stays it takes, all of it in force.
#[derive(Clone, Copy, PartialEq)]
struct Terms {
    price_minor: i64,
    minimum_stay: u16,
    maximum_stay: u16,
    closed_to_arrival: bool,
    closed_to_departure: bool,
}

/// `[{startDate, endDate, isAvailable}]`, or nothing for an empty calendar.
pub(super) fn availability(calendar: &Calendar) -> Option<Value> {
    let runs = merged(calendar.ranges().iter().map(|range| (range.nights, range.available)));
    array(runs, |row, available| set(row, "isAvailable", u8::from(available)))
}

/// `[{startDate, endDate, price, minimumStay, maximumStay, closedOnArrival, closedOnDeparture}]` in major units, or
/// nothing for an empty calendar.
pub(super) fn rates(unit: &Unit) -> Option<Value> {
    let terms = unit.calendar.ranges().iter().map(|range| {
        let terms = Terms {
            price_minor: range.nightly_price.unwrap_or(unit.prices.nightly).minor(),
            minimum_stay: range.minimum_stay.unwrap_or(unit.stay_limits.minimum_nights),
            maximum_stay: range.maximum_stay.unwrap_or(unit.stay_limits.maximum_nights),
            closed_to_arrival: range.closed_to_arrival,
            closed_to_departure: range.closed_to_departure,
        };
        (range.nights, terms)
    });
    let currency = unit.prices.currency;
    array(merged(terms), |row, terms| {
        let price = crate::money::Money { minor: terms.price_minor, currency };
        set(row, "closedOnArrival", u8::from(terms.closed_to_arrival));
        set(row, "closedOnDeparture", u8::from(terms.closed_to_departure));
        set(row, "maximumStay", terms.maximum_stay);
        set(row, "minimumStay", terms.minimum_stay);
        set(row, "price", price.major());
    })
}

/// Joins ranges that touch and carry the same; the input is sorted and free of overlaps.
fn merged<T: PartialEq>(ranges: impl Iterator<Item = (NightRange, T)>) -> Vec<(NightRange, T)> {
    let mut runs: Vec<(NightRange, T)> = Vec::new();
    for (nights, terms) in ranges {
        if let Some((last, known)) = runs.last_mut()
            && *known == terms
            && let Some(joined) = last.joined(nights)
        {
            *last = joined;
        } else {
            runs.push((nights, terms));
        }
    }
    runs
}

fn array<T>(runs: Vec<(NightRange, T)>, fill: impl Fn(&mut Map<String, Value>, T)) -> Option<Value> {
    if runs.is_empty() {
        return None;
    }
    let rows = runs.into_iter().map(|(nights, terms)| {
        let mut row = Map::new();
        fill(&mut row, terms);
        set_dates(&mut row, nights);
        Value::Object(row)
    });
    Some(rows.collect())
}

fn set(row: &mut Map<String, Value>, field: &str, value: impl Into<Value>) {
    row.insert(field.to_owned(), value.into());
}

/// Writes the two dates of an interval.
pub(super) fn set_dates(row: &mut Map<String, Value>, nights: NightRange) {
    set(row, "startDate", nights.first().to_string());
    set(row, "endDate", nights.last().to_string());
}

/// The nights of an interval; `None` where its dates are no range of nights.
pub(super) fn nights_of(interval: &Value) -> Option<NightRange> {
    let night = |field: &str| interval.get(field)?.as_str()?.parse().ok();
    NightRange::new(night("startDate")?, night("endDate")?)
}

/// What an interval says of each of its nights.
pub(super) fn fields_of(interval: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let fields = interval.as_object().into_iter().flatten();
    fields.filter(|(field, _)| *field != "startDate" && *field != "endDate")
}
