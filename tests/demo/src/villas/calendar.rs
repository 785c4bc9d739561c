//! A calendar night by night, and as the merged ranges of the contract: seasons, weekends, bookings, minimum stays and
//! changeover days. A year from ranges to nights and back is the same year.

use chrono::{Datelike as _, Days, NaiveDate, Weekday};
use rand::Rng as _;
use rand::rngs::StdRng;
use serde_json::{Map, Value, json};

use super::place::Place;

const NIGHTS: u64 = 365;

/// One night; what is `None` follows the unit's own prices and stay limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Night {
    /// The civil date on which it begins.
    pub date: NaiveDate,
    /// Whether it can be booked.
    pub available: bool,
    /// Its price in minor units.
    pub price: Option<i64>,
    /// The shortest stay that may begin here.
    pub minimum_stay: Option<i64>,
    /// The longest stay that may begin here.
    pub maximum_stay: Option<i64>,
    /// No stay may begin here.
    pub closed_to_arrival: bool,
    /// No stay may end here.
    pub closed_to_departure: bool,
}

/// The nights of a body's `unit.calendar`, in order.
///
/// # Panics
/// Where a range does not satisfy the contract.
pub fn nights(body: &Value) -> Vec<Night> {
    let ranges = body["unit"]["calendar"].as_array().map_or(&[][..], Vec::as_slice);
    let mut nights: Vec<Night> = ranges.iter().flat_map(nights_of).collect();
    nights.sort_by_key(|night| night.date);
    nights
}

fn nights_of(range: &Value) -> Vec<Night> {
    let date = |field: &str| -> NaiveDate {
        range[field].as_str().and_then(|text| text.parse().ok()).expect("a range of the contract has two dates")
    };
    let (first, last) = (date("first_night"), date("last_night"));
    let night = |date| Night {
        date,
        available: range["available"] == true,
        price: range["nightly_price"].as_i64(),
        minimum_stay: range["minimum_stay"].as_i64(),
        maximum_stay: range["maximum_stay"].as_i64(),
        closed_to_arrival: range["closed_to_arrival"] == true,
        closed_to_departure: range["closed_to_departure"] == true,
    };
    first.iter_days().take_while(|date| *date <= last).map(night).collect()
}

/// Writes nights into a body as ranges: neighbours with equal terms become one.
pub fn set_nights(body: &mut Value, nights: &[Night]) {
    body["unit"]["calendar"] = ranges(nights);
}

fn ranges(nights: &[Night]) -> Value {
    let touch = |one: &Night, next: &Night| {
        one.date.succ_opt() == Some(next.date) && Night { date: one.date, ..next.clone() } == *one
    };
    nights.chunk_by(touch).filter_map(|run| Some(range(run.first()?, run.last()?.date))).collect()
}

fn range(terms: &Night, last: NaiveDate) -> Value {
    let mut fields = Map::new();
    let mut set = |field: &str, value: Value| fields.insert(field.to_owned(), value);
    set("first_night", json!(terms.date));
    set("last_night", json!(last));
    set("available", json!(terms.available));
    if let Some(price) = terms.price {
        set("nightly_price", json!(price));
    }
    if let Some(nights) = terms.minimum_stay {
        set("minimum_stay", json!(nights));
    }
    if let Some(nights) = terms.maximum_stay {
        set("maximum_stay", json!(nights));
    }
    if terms.closed_to_arrival {
        set("closed_to_arrival", json!(true));
    }
    if terms.closed_to_departure {
        set("closed_to_departure", json!(true));
    }
    Value::Object(fields)
}

/// How a villa is priced and let through the year.
struct Habits {
    weekends_dearer: bool,
    /// Every night has a price of its own: more ranges than a channel takes in one call.
    priced_daily: bool,
    /// In peak months stays begin and end on this day.
    changeover: Option<Weekday>,
}

/// The first year of a villa.
pub(super) fn built(place: &Place, nightly: i64, today: NaiveDate, rng: &mut StdRng) -> Value {
    let habits = Habits {
        weekends_dearer: rng.random_bool(0.3),
        priced_daily: rng.random_bool(0.03),
        changeover: rng.random_bool(0.5).then_some(if rng.random_bool(0.8) { Weekday::Sat } else { Weekday::Sun }),
    };
    let dates = (0..NIGHTS).filter_map(|day| today.checked_add_days(Days::new(day)));
    let mut nights: Vec<Night> = dates.map(|date| night(place, &habits, nightly, date, rng)).collect();
    take_bookings(&mut nights, rng);
    ranges(&nights)
}

fn night(place: &Place, habits: &Habits, nightly: i64, date: NaiveDate, rng: &mut StdRng) -> Night {
    let month = usize::try_from(date.month0()).unwrap_or_default();
    let festive = (date.month() == 12 && date.day() >= 22) || (date.month() == 1 && date.day() <= 3);
    let peak = place.is_peak(month) || festive;
    let mut percent = if festive { 185 } else { place.season_percent(month) };
    if habits.priced_daily {
        percent += rng.random_range(-12..=12);
    } else if habits.weekends_dearer && matches!(date.weekday(), Weekday::Fri | Weekday::Sat) {
        percent += 15;
    }
    let price = place.rounded(nightly * percent / 100);
    let closed = peak && habits.changeover.is_some_and(|day| day != date.weekday());
    Night {
        date,
        available: true,
        price: Some(price).filter(|price| *price != nightly),
        minimum_stay: peak.then_some(if festive || habits.changeover.is_some() { 7 } else { 5 }),
        maximum_stay: peak.then_some(28),
        closed_to_arrival: closed,
        closed_to_departure: closed,
    }
}

/// Near nights are taken more often than far ones; now and then the owner keeps a week.
fn take_bookings(nights: &mut [Night], rng: &mut StdRng) {
    let mut day = 0;
    while day < nights.len() {
        let taken = rng.random_range(3..=12);
        let far = day * 100 / nights.len();
        if rng.random_range(0..100) > far {
            for night in nights.iter_mut().skip(day).take(taken) {
                night.available = false;
            }
        }
        day += taken + rng.random_range(2..=14);
    }
}
