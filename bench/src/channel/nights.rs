//! The nights of a listing: what was written last on each, read back day by day as our client asks for it.

use bytes::Bytes;
use chrono::NaiveDate;
use serde_json::{Map, Value, json};

use super::form::{json_bytes, parameter};
use super::state::State;

pub fn write(state: &State, id: u64, one: bool, body: &Bytes) -> Bytes {
    let read: Value = serde_json::from_slice(body).unwrap_or_default();
    let intervals = match read {
        Value::Array(intervals) => intervals,
        interval => vec![interval],
    };
    let span = intervals.first().and_then(span);
    state.listings.borrow_mut().entry(id).or_default().intervals.extend(intervals);
    match span.filter(|_| one) {
        Some((first, last)) => days(state, id, first, last),
        None => json_bytes(&json!({"status": "success", "result": []})),
    }
}

pub fn read(state: &State, id: u64, query: &str) -> Bytes {
    let date = |name| parameter(query, name)?.parse().ok();
    match (date("startDate"), date("endDate")) {
        (Some(first), Some(last)) => days(state, id, first, last),
        _ => json_bytes(&json!({"status": "fail", "result": "startDate and endDate are needed"})),
    }
}

fn span(interval: &Value) -> Option<(NaiveDate, NaiveDate)> {
    let date = |name| interval.get(name)?.as_str()?.parse().ok();
    Some((date("startDate")?, date("endDate")?))
}

fn days(state: &State, id: u64, first: NaiveDate, last: NaiveDate) -> Bytes {
    let listings = state.listings.borrow();
    let intervals = listings.get(&id).map_or(&[][..], |listing| &listing.intervals);
    let spans: Vec<_> =
        intervals.iter().filter_map(|interval| Some((span(interval)?, interval.as_object()?))).collect();
    let day = |date: NaiveDate| {
        let mut day = Map::from_iter([("date".to_owned(), json!(date))]);
        for ((from, to), fields) in &spans {
            if (*from..=*to).contains(&date) {
                let fields = fields.iter().filter(|(field, _)| *field != "startDate" && *field != "endDate");
                day.extend(fields.map(|(field, value)| (field.clone(), value.clone())));
            }
        }
        Value::Object(day)
    };
    let days: Vec<Value> = first.iter_days().take_while(|date| *date <= last).map(day).collect();
    json_bytes(&json!({"status": "success", "result": days}))
}
