//! Which nights are not what was sent. Hostaway answers success for prices on nights that a reservation holds and does
//! not apply them; those are expected and need no retry while the reservation stands.

use std::collections::HashMap;

use serde_json::Value;

use super::intervals::{fields_of, nights_of};
use super::lenient::same;
use super::runs::{Run, Runs};
use crate::channel::{RejectedPart, Section};
use crate::unit::{Night, NightRange};

/// One field of some nights in a row that is not what was sent.
#[derive(Debug, Clone, PartialEq)]
pub struct CalendarDifference {
    /// Hostaway's name of the field, e.g. `price`.
    pub field: String,
    /// The nights.
    pub nights: NightRange,
    /// What was sent for each of them.
    pub sent: Value,
    /// What the channel has for each of them; null where it has nothing.
    pub answered: Value,
    /// Why, as far as the answer tells.
    pub reason: &'static str,
    /// Whether the rules of the channel explain it: a reservation holds the nights.
    pub expected: bool,
}

impl CalendarDifference {
    /// The same as a rejected part of the listing.
    pub fn to_rejected_part(&self) -> RejectedPart {
        let section = if self.field == "isAvailable" { Section::Availability } else { Section::Rates };
        RejectedPart {
            section,
            part: format!("calendar[{}..{}].{}", self.nights.first(), self.nights.last(), self.field),
            value: self.sent.to_string(),
            reason: format!("{}; it has {}", self.reason, self.answered),
        }
    }
}

/// Compares what was sent with the days that the channel answers, night by night; nights in a row with the same
/// difference come as one. Intervals whose dates cannot be read are passed over.
pub fn calendar_differences(intervals_sent: &[Value], days_answered: &[Value]) -> Vec<CalendarDifference> {
    let days: HashMap<Night, &Value> =
        days_answered.iter().filter_map(|day| Some((day.get("date")?.as_str()?.parse().ok()?, day))).collect();
    let mut runs = Runs::new();
    for interval in intervals_sent {
        for night in nights_of(interval).into_iter().flat_map(NightRange::nights) {
            let day = days.get(&night).copied();
            for (field, sent) in fields_of(interval) {
                if let Some(found) = compared(field, sent, day) {
                    runs.add(field, night, found);
                }
            }
        }
    }
    runs.into_vec().into_iter().map(difference).collect()
}

/// What was sent, what is answered, why, and whether that was to be expected.
type Found = (Value, Value, &'static str, bool);

fn compared(field: &str, sent: &Value, day: Option<&Value>) -> Option<Found> {
    let answered = day.and_then(|day| day.get(field)).unwrap_or(&Value::Null);
    // A day that was never closed says null instead of 0.
    let open = field.starts_with("closedOn") && day.is_some() && answered.is_null();
    if same(sent, if open { &Value::Bool(false) } else { answered }) {
        return None;
    }
    let status = day.and_then(|day| day.get("status")).and_then(Value::as_str);
    let expected = matches!(status, Some("reserved" | "mreserved"));
    let reason = match day {
        None => "the channel's calendar does not show the night",
        Some(_) if expected => "reserved at the channel",
        Some(_) => "the channel answered with success but did not take the value",
    };
    Some((sent.clone(), answered.clone(), reason, expected))
}

fn difference(run: Run<'_, Found>) -> CalendarDifference {
    let (sent, answered, reason, expected) = run.found;
    CalendarDifference { field: run.field.to_owned(), nights: run.nights, sent, answered, reason, expected }
}
