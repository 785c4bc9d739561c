//! The calendar: what is different on which nights. Ranges are sorted, none overlaps another, and gaps mean that the
//! organisation says nothing about those nights.

use serde::Deserialize;

use super::night::{Night, NightRange};
use super::prices::NightlyPrice;
use super::problem::Problems;
use super::stay::{LONGEST_STAY, StayLimits};

/// Three years: no channel plans further ahead.
const MOST_NIGHTS: u32 = 1096;

#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with first_night, last_night, available and, where they differ, prices and limits")]
pub(super) struct CalendarRangeWire {
    first_night: String,
    last_night: String,
    available: bool,
    nightly_price: Option<i64>,
    minimum_stay: Option<i64>,
    maximum_stay: Option<i64>,
    closed_to_arrival: Option<bool>,
    closed_to_departure: Option<bool>,
}

/// Some nights in a row with equal terms. What is `None` follows the unit's own prices and stay limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CalendarRange {
    /// The nights.
    pub nights: NightRange,
    /// Whether they can be booked.
    pub available: bool,
    /// The price of each night.
    pub nightly_price: Option<NightlyPrice>,
    /// The shortest stay that may begin on these nights.
    pub minimum_stay: Option<u16>,
    /// The longest stay that may begin on these nights.
    pub maximum_stay: Option<u16>,
    /// No stay may begin on these dates.
    pub closed_to_arrival: bool,
    /// No stay may end on these dates.
    pub closed_to_departure: bool,
}

/// Sorted ranges without overlaps, 1,096 nights at most.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Calendar(Vec<CalendarRange>);

impl Calendar {
    /// The ranges by their first night.
    pub fn ranges(&self) -> &[CalendarRange] {
        &self.0
    }

    pub(super) fn check(wire: &[CalendarRangeWire], limits: Option<StayLimits>, problems: &mut Problems) -> Self {
        let mut ranges: Vec<(usize, CalendarRange)> = wire
            .iter()
            .enumerate()
            .filter_map(|(index, range)| Some((index, check_range(index, range, limits, problems)?)))
            .collect();
        ranges.sort_by_key(|(index, range)| (range.nights.first(), *index));
        let nights: u64 = ranges.iter().map(|(_, range)| u64::from(range.nights.count())).sum();
        if nights > u64::from(MOST_NIGHTS) {
            problems.add("unit.calendar", format!("has {nights} nights; {MOST_NIGHTS} (three years) are the most"));
        }
        check_overlaps(&ranges, problems);
        Self(ranges.into_iter().map(|(_, range)| range).collect())
    }
}

fn check_range(
    index: usize,
    wire: &CalendarRangeWire,
    limits: Option<StayLimits>,
    problems: &mut Problems,
) -> Option<CalendarRange> {
    let field = |name: &str| format!("unit.calendar[{index}].{name}");
    let nights = check_nights(index, wire, problems);
    let price = wire.nightly_price.map(|minor| NightlyPrice::check(minor, || field("nightly_price"), problems));
    let mut stay = |nights: Option<i64>, name: &str| {
        nights.and_then(|nights| problems.within(nights, 1..=LONGEST_STAY, || field(name)))
    };
    let minimum_stay = stay(wire.minimum_stay, "minimum_stay");
    let maximum_stay = stay(wire.maximum_stay, "maximum_stay");
    // What counts for a guest is the pair in force, whichever half comes from the unit's own limits.
    let minimum = minimum_stay.or(limits.map(|limits| limits.minimum_nights));
    let maximum = maximum_stay.or(limits.map(|limits| limits.maximum_nights));
    if let (Some(minimum), Some(maximum)) = (minimum, maximum)
        && minimum > maximum
    {
        let name = if minimum_stay.is_some() { "minimum_stay" } else { "maximum_stay" };
        let reason =
            format!("leaves a shortest stay of {minimum} above a longest of {maximum} (unit.stay_limits included)");
        problems.add(field(name), reason);
    }
    Some(CalendarRange {
        nights: nights?,
        available: wire.available,
        nightly_price: price.flatten(),
        minimum_stay,
        maximum_stay,
        closed_to_arrival: wire.closed_to_arrival.unwrap_or(false),
        closed_to_departure: wire.closed_to_departure.unwrap_or(false),
    })
}

fn check_nights(index: usize, wire: &CalendarRangeWire, problems: &mut Problems) -> Option<NightRange> {
    let mut night = |text: &str, name: &str| match text.parse::<Night>() {
        Ok(night) => Some(night),
        Err(error) => {
            problems.add(format!("unit.calendar[{index}].{name}"), error.to_string());
            None
        }
    };
    let first = night(&wire.first_night, "first_night");
    let last = night(&wire.last_night, "last_night");
    let (first, last) = (first?, last?);
    let range = NightRange::new(first, last);
    if range.is_none() {
        let reason = format!("is {last}, before first_night, which is {first}; the range includes both");
        problems.add(format!("unit.calendar[{index}].last_night"), reason);
    }
    range
}

/// Each range is held against the one that reaches furthest so far, which finds every range that overlaps another.
fn check_overlaps(sorted: &[(usize, CalendarRange)], problems: &mut Problems) {
    let Some((mut furthest, rest)) = sorted.split_first() else { return };
    for entry in rest {
        let (index, range) = entry;
        let (other_index, other) = furthest;
        if range.nights.first() <= other.nights.last() {
            let (earlier, later) = (index.min(other_index), index.max(other_index));
            let (from, to) = (range.nights.first(), range.nights.last().min(other.nights.last()));
            problems.add(
                format!("unit.calendar[{later}]"),
                format!("overlaps unit.calendar[{earlier}] from {from} to {to}; a night may stand in one range only"),
            );
        }
        if range.nights.last() > other.nights.last() {
            furthest = entry;
        }
    }
}
