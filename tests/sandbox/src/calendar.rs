//! A listing's nights: what was written on each, and which a reservation holds. Must stay true: price, stay limits and
//! availability of a reserved night do not change by a write, though the write answers success (documented trap).

use std::collections::BTreeMap;

use chrono::{Days, NaiveDate};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::reservations::Reservation;

/// Longest range read or written at once (a guard of the sandbox; Hostaway documents no maximum).
const LONGEST_DAYS: i64 = 3_660;

/// What was written on one night; `None` shows the listing's default.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Night {
    #[serde(skip_serializing_if = "Option::is_none")]
    available: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    price: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    minimum_stay: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    maximum_stay: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    closed_on_arrival: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    closed_on_departure: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<Box<str>>,
}

/// A reservation's hold on a night.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Hold {
    pub reservation: u64,
    /// Airbnb request to book: the night shows `pending`, not `reserved`.
    pub pending: bool,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calendar {
    nights: BTreeMap<NaiveDate, Night>,
    pub holds: BTreeMap<NaiveDate, Hold>,
}

/// The listing's own values for nights without a write.
#[derive(Debug, Clone, Copy)]
pub struct Defaults {
    pub listing: u64,
    pub price: f64,
    pub minimum_stay: u32,
    pub maximum_stay: u32,
}

/// Dates from first to last, both included (observed: equal dates write exactly that night).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub first: NaiveDate,
    pub last: NaiveDate,
}

impl Span {
    pub fn new(first: NaiveDate, last: NaiveDate) -> Result<Self, String> {
        if last < first {
            return Err(format!("endDate {last} is before startDate {first}"));
        }
        if (last - first).num_days() >= LONGEST_DAYS {
            return Err(format!("the range may not be longer than {LONGEST_DAYS} days"));
        }
        Ok(Self { first, last })
    }

    pub fn dates(self) -> impl Iterator<Item = NaiveDate> {
        self.first.iter_days().take_while(move |date| *date <= self.last)
    }
}

/// One interval of a calendar write: fields left out (or null) keep what the nights have.
#[derive(Debug, Clone)]
pub struct Interval {
    pub span: Span,
    change: Night,
}

impl Interval {
    /// `Ok(None)` when the object names no dates: not a calendar write at all.
    pub fn read(body: &Map<String, Value>) -> Result<Option<Self>, String> {
        let (Some(first), Some(last)) = (body.get("startDate"), body.get("endDate")) else { return Ok(None) };
        let span = Span::new(date("startDate", first)?, date("endDate", last)?)?;
        let change = Night {
            available: flag(body, "isAvailable")?,
            price: price(body)?,
            minimum_stay: stay(body, "minimumStay")?,
            maximum_stay: stay(body, "maximumStay")?,
            closed_on_arrival: flag(body, "closedOnArrival")?,
            closed_on_departure: flag(body, "closedOnDeparture")?,
            note: body.get("note").and_then(Value::as_str).map(Into::into),
        };
        Ok(Some(Self { span, change }))
    }
}

impl Calendar {
    pub fn write(&mut self, interval: &Interval) {
        let change = &interval.change;
        for date in interval.span.dates() {
            let held = self.holds.contains_key(&date);
            let night = self.nights.entry(date).or_default();
            if !held {
                night.available = change.available.or(night.available);
                night.price = change.price.or(night.price);
                night.minimum_stay = change.minimum_stay.or(night.minimum_stay);
                night.maximum_stay = change.maximum_stay.or(night.maximum_stay);
            }
            night.closed_on_arrival = change.closed_on_arrival.or(night.closed_on_arrival);
            night.closed_on_departure = change.closed_on_departure.or(night.closed_on_departure);
            if let Some(note) = &change.note {
                night.note = Some(note.clone());
            }
        }
    }

    /// Day objects of the span; `reservations` says what stands in their `reservations`.
    pub fn days<'a>(
        &'a self,
        span: Span,
        defaults: Defaults,
        reservations: impl Fn(u64) -> Option<&'a Reservation>,
    ) -> Vec<Day<'a>> {
        span.dates().map(|date| self.day(date, defaults, &reservations)).collect()
    }

    fn day<'a>(
        &'a self,
        date: NaiveDate,
        defaults: Defaults,
        reservations: &impl Fn(u64) -> Option<&'a Reservation>,
    ) -> Day<'a> {
        let night = self.nights.get(&date);
        let hold = self.holds.get(&date);
        let open = night.and_then(|night| night.available).unwrap_or(true);
        let status = match hold {
            Some(hold) if hold.pending => "pending",
            Some(_) => "reserved",
            None if open => "available",
            None => "blocked",
        };
        let available = u8::from(status == "available");
        Day {
            id: day_id(defaults.listing, date),
            listing_map_id: defaults.listing,
            date,
            is_available: available,
            is_processed: 1,
            status,
            price: night.and_then(|night| night.price).unwrap_or(defaults.price),
            minimum_stay: night.and_then(|night| night.minimum_stay).unwrap_or(defaults.minimum_stay),
            maximum_stay: night.and_then(|night| night.maximum_stay).unwrap_or(defaults.maximum_stay),
            closed_on_arrival: night.and_then(|night| night.closed_on_arrival).map(u8::from),
            closed_on_departure: night.and_then(|night| night.closed_on_departure).map(u8::from),
            note: night.and_then(|night| night.note.as_deref()),
            count_available_units: available,
            available_units_to_sell: available,
            count_pending_units: u8::from(status == "pending"),
            count_blocking_reservations: u8::from(status == "reserved"),
            count_reserved_units: u8::from(status == "reserved"),
            count_blocked_units: u8::from(status == "blocked"),
            desired_units_to_sell: None,
            reservations: hold.and_then(|hold| reservations(hold.reservation)).into_iter().collect(),
        }
    }
}

/// The documented day object of a single-unit listing.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Day<'a> {
    id: u64,
    listing_map_id: u64,
    date: NaiveDate,
    is_available: u8,
    is_processed: u8,
    status: &'static str,
    price: f64,
    minimum_stay: u32,
    maximum_stay: u32,
    closed_on_arrival: Option<u8>,
    closed_on_departure: Option<u8>,
    note: Option<&'a str>,
    count_available_units: u8,
    available_units_to_sell: u8,
    count_pending_units: u8,
    count_blocking_reservations: u8,
    count_reserved_units: u8,
    count_blocked_units: u8,
    desired_units_to_sell: Option<u32>,
    reservations: Vec<&'a Reservation>,
}

/// Stable without being stored: listing and day number.
fn day_id(listing: u64, date: NaiveDate) -> u64 {
    let since_2000 = date.signed_duration_since(NaiveDate::from_ymd_opt(2000, 1, 1).unwrap_or_default()).num_days();
    listing * 100_000 + u64::try_from(since_2000).unwrap_or(0)
}

/// The nights of a stay; the check-out date stays free.
pub fn stay_nights(arrival: NaiveDate, departure: NaiveDate) -> impl Iterator<Item = NaiveDate> {
    let last = departure.checked_sub_days(Days::new(1)).unwrap_or(departure);
    arrival.iter_days().take_while(move |date| *date <= last)
}

pub fn date(key: &str, value: &Value) -> Result<NaiveDate, String> {
    value
        .as_str()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| format!("{key} must be a date (YYYY-MM-DD), not {value}"))
}

fn given<'a>(body: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    body.get(key).filter(|value| !value.is_null())
}

fn flag(body: &Map<String, Value>, key: &str) -> Result<Option<bool>, String> {
    let Some(value) = given(body, key) else { return Ok(None) };
    match (value.as_bool(), value.as_u64()) {
        (Some(on), _) => Ok(Some(on)),
        (_, Some(number @ (0 | 1))) => Ok(Some(number == 1)),
        _ => Err(format!("{key} must be 0 or 1, not {value}")),
    }
}

fn price(body: &Map<String, Value>) -> Result<Option<f64>, String> {
    let Some(value) = given(body, "price") else { return Ok(None) };
    let price = value.as_f64().filter(|price| *price >= 0.0);
    price.map(Some).ok_or_else(|| format!("price must be a number of at least 0, not {value}"))
}

fn stay(body: &Map<String, Value>, key: &str) -> Result<Option<u32>, String> {
    let Some(value) = given(body, key) else { return Ok(None) };
    let nights = value.as_u64().and_then(|nights| u32::try_from(nights).ok()).filter(|nights| *nights > 0);
    nights.map(Some).ok_or_else(|| format!("{key} must be a whole number above 0, not {value}"))
}
