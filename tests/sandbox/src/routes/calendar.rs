//! The calendar: read a window, write one interval, write up to 200 intervals. Wrong body shapes on the one-interval
//! route answer success and write nothing (observed), as do writes on reserved nights.

use axum::{
    body::Bytes,
    extract::{Path, RawQuery},
    response::Response,
};
use chrono::{Days, Utc};
use serde_json::Value;

use super::{id, json_body, listings::refuse_archived};
use crate::{
    calendar::{Day, Interval, Span, date},
    envelope::{Refusal, empty, success},
    gate::Called,
    listing::Listing,
    query,
    store::Books,
};

const MOST_INTERVALS: usize = 200;
/// Window shown when `endDate` is not given (undocumented; clients read a year without trouble).
const DEFAULT_DAYS: u64 = 365;

pub async fn read(caller: Called, Path(listing): Path<String>, RawQuery(raw): RawQuery) -> Result<Response, Refusal> {
    let raw = raw.unwrap_or_default();
    let books = caller.account.books();
    let listing = books.listings.get(&id(&listing, "Listing")?).ok_or(Refusal::NotFound("Listing"))?;
    let span = span(&raw).map_err(Refusal::Invalid)?;
    Ok(success(&days(&books, listing, span, query::include_resources(&raw))))
}

/// The nights of a listing as Hostaway shows them; `includeResources` fills in the reservations.
pub fn days<'a>(books: &'a Books, listing: &'a Listing, span: Span, reservations: bool) -> Vec<Day<'a>> {
    let find = |id| books.reservations.get(&id).filter(|_| reservations);
    listing.calendar.days(span, listing.defaults(), find)
}

/// `startDate` and `endDate` of a query; today, and a year from the first day, when absent.
pub fn span(raw: &str) -> Result<Span, String> {
    let given = |name| query::value(raw, name).map(|text| date(name, &Value::from(text.into_owned()))).transpose();
    let first = given("startDate")?.unwrap_or_else(|| Utc::now().date_naive());
    let last = given("endDate")?.or_else(|| first.checked_add_days(Days::new(DEFAULT_DAYS - 1))).unwrap_or(first);
    Span::new(first, last)
}

pub async fn write_one(caller: Called, Path(listing): Path<String>, body: Bytes) -> Result<Response, Refusal> {
    let listing = id(&listing, "Listing")?;
    let mut books = caller.account.books();
    refuse_archived(books.listings.get(&listing).ok_or(Refusal::NotFound("Listing"))?)?;
    let interval = match json_body(&body)? {
        Value::Object(body) => Interval::read(&body).map_err(Refusal::Invalid)?,
        _ => None,
    };
    let Some(interval) = interval else { return Ok(empty()) };
    if !caller.ignore_writes {
        let _written = books.change(listing, |listing| listing.calendar.write(&interval));
    }
    let listing = books.listings.get(&listing).ok_or(Refusal::NotFound("Listing"))?;
    Ok(success(&days(&books, listing, interval.span, false)))
}

/// All or nothing: one bad interval refuses the request (whether Hostaway writes the good ones is undocumented).
pub async fn write_many(caller: Called, Path(listing): Path<String>, body: Bytes) -> Result<Response, Refusal> {
    let listing = id(&listing, "Listing")?;
    let mut books = caller.account.books();
    refuse_archived(books.listings.get(&listing).ok_or(Refusal::NotFound("Listing"))?)?;
    let intervals = intervals(&json_body(&body)?).map_err(Refusal::Invalid)?;
    if !caller.ignore_writes {
        let write = |listing: &mut Listing| intervals.iter().for_each(|interval| listing.calendar.write(interval));
        let _written = books.change(listing, write);
    }
    Ok(empty())
}

fn intervals(body: &Value) -> Result<Vec<Interval>, String> {
    let rows = body.as_array().ok_or("The request body must be an array of calendar intervals.")?;
    if rows.len() > MOST_INTERVALS {
        return Err(format!("A request may hold at most {MOST_INTERVALS} intervals, not {}.", rows.len()));
    }
    let read = |(index, row): (usize, &Value)| {
        let row = row.as_object().ok_or_else(|| format!("Interval at index {index} must be an object."))?;
        let interval = Interval::read(row).map_err(|reason| format!("Interval at index {index}: {reason}"))?;
        interval.ok_or_else(|| format!("Interval at index {index} needs startDate and endDate."))
    };
    rows.iter().enumerate().map(read).collect()
}
