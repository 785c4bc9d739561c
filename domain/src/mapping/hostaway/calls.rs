//! How changed calendar sections become calls of `PUT /v1/listings/{id}/calendarIntervals`: at most 200 intervals each,
//! never an empty one, and both sections in one call where they fit.

use serde_json::{Map, Value};

use super::intervals::{nights_of, set_dates};
use crate::call::CallRecord;
use crate::channel::{Bodies, Section};
use crate::unit::NightRange;

/// The most intervals that Hostaway takes in one call.
pub const MOST_INTERVALS: usize = 200;

/// The fewest calls that send these sections: without tokens, retries and parts that are refused. What is to be created is
/// looked up first; nights are read back, but for a single interval, whose answer shows them.
pub fn fewest_calls(bodies: &Bodies<'_>, sections: &[Section], exists: bool) -> usize {
    let body = |section: Section| bodies.get(&section).copied().filter(|_| sections.contains(&section));
    let calendar = calendar_calls(body(Section::Availability), body(Section::Rates));
    let read_back = calendar.iter().any(|call| call.intervals.len() > 1);
    let listing = [Section::Content, Section::Images].into_iter().any(|section| body(section).is_some());
    let look_up = !exists && !sections.is_empty();
    calendar.len() + usize::from(read_back) + usize::from(listing || look_up) + usize::from(look_up)
}

/// One call: its body, and the sections that it brings up to date.
#[derive(Debug, Clone, PartialEq)]
pub struct CalendarCall {
    /// The body, 1 to 200 intervals.
    pub intervals: Vec<Value>,
    /// Availability, rates or both.
    pub sections: Vec<Section>,
}

/// The last part of the path of a call with several intervals.
const SEVERAL: &str = "calendarIntervals";

impl CalendarCall {
    /// The last part of its path, and its body: a single interval has a call of its own.
    pub fn request(&self) -> (&'static str, Value) {
        match &self.intervals[..] {
            [interval] => ("calendar", interval.clone()),
            intervals => (SEVERAL, Value::Array(intervals.to_vec())),
        }
    }
}

/// Whether a call carried several intervals, of which Hostaway may have written some that were good though it refused the call: it does
/// not say.
pub fn may_be_taken_in_part(call: &CallRecord) -> bool {
    call.path.rsplit('/').next() == Some(SEVERAL)
}

/// The calls that bring the given sections up to date; `None` for a section that did not change.
///
/// Where both changed and fit into one call together, one call carries both. Else availability goes first, because a
/// stale one is a double booking.
pub fn calendar_calls(availability: Option<&Value>, rates: Option<&Value>) -> Vec<CalendarCall> {
    let availability = availability.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let rates = rates.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    // Together they are never fewer than the longer of the two, so that a long one need not be tried.
    if (1..=MOST_INTERVALS).contains(&availability.len())
        && (1..=MOST_INTERVALS).contains(&rates.len())
        && let Some(intervals) = united(availability, rates).filter(|union| union.len() <= MOST_INTERVALS)
    {
        return vec![CalendarCall { intervals, sections: vec![Section::Availability, Section::Rates] }];
    }
    let alone = |intervals: &[Value], section: Section| -> Vec<CalendarCall> {
        let chunks = intervals.chunks(MOST_INTERVALS);
        chunks.map(|chunk| CalendarCall { intervals: chunk.to_vec(), sections: vec![section] }).collect()
    };
    [alone(availability, Section::Availability), alone(rates, Section::Rates)].concat()
}

/// An interval with its nights read.
#[derive(Clone, Copy)]
struct Span<'a> {
    nights: NightRange,
    fields: &'a Map<String, Value>,
}

/// A stretch of nights, and what the two sections say about it.
type Stretch<'a> = (NightRange, [Option<&'a Map<String, Value>>; 2]);

/// Both sections night by night, run-length merged again; `None` where an interval is not one we wrote.
fn united(availability: &[Value], rates: &[Value]) -> Option<Vec<Value>> {
    let stretches = swept(spans(availability)?, spans(rates)?);
    let mut rows: Vec<(NightRange, Map<String, Value>)> = Vec::with_capacity(stretches.len());
    for (nights, sources) in stretches {
        let mut fields = Map::new();
        for (field, value) in sources.into_iter().flatten().flatten() {
            if field != "startDate" && field != "endDate" {
                fields.insert(field.clone(), value.clone());
            }
        }
        if let Some((last, known)) = rows.last_mut()
            && *known == fields
            && let Some(joined) = last.joined(nights)
        {
            *last = joined;
        } else {
            rows.push((nights, fields));
        }
    }
    let row = |(nights, mut fields): (NightRange, Map<String, Value>)| {
        set_dates(&mut fields, nights);
        Value::Object(fields)
    };
    Some(rows.into_iter().map(row).collect())
}

/// Intervals in order of their nights; `None` where one cannot be read or two overlap.
fn spans(intervals: &[Value]) -> Option<Vec<Span<'_>>> {
    let read = |interval| Some(Span { nights: nights_of(interval)?, fields: interval.as_object()? });
    let mut spans = intervals.iter().map(read).collect::<Option<Vec<_>>>()?;
    spans.sort_by_key(|span| span.nights.first());
    let apart = spans.windows(2).all(|pair| pair[0].nights.last() < pair[1].nights.first());
    apart.then_some(spans)
}

/// Walks both lists at once, and cuts wherever an interval of either begins or ends.
fn swept<'a>(left: Vec<Span<'a>>, right: Vec<Span<'a>>) -> Vec<Stretch<'a>> {
    let mut stretches = Vec::with_capacity(left.len() + right.len());
    let (mut left, mut right) = (left.into_iter(), right.into_iter());
    let (mut a, mut b) = (left.next(), right.next());
    loop {
        let first = match (&a, &b) {
            (None, None) => return stretches,
            (Some(one), None) | (None, Some(one)) => one.nights.first(),
            (Some(a), Some(b)) => a.nights.first().min(b.nights.first()),
        };
        // A span covers the stretch if it begins here; it ends the stretch by ending, or by beginning later.
        let last = [&a, &b]
            .into_iter()
            .flatten()
            .map(|span| if span.nights.first() == first { span.nights.last() } else { span.nights.first().previous() });
        let nights = last.min().and_then(|last| NightRange::new(first, last));
        let nights =
            nights.expect("a stretch ends where the nearest span ends or begins, which is not before it begins");
        let covering =
            |span: &Option<Span<'a>>| span.filter(|span| span.nights.first() == first).map(|span| span.fields);
        stretches.push((nights, [covering(&a), covering(&b)]));
        a = a.and_then(|span| rest_of(span, nights)).or_else(|| left.next());
        b = b.and_then(|span| rest_of(span, nights)).or_else(|| right.next());
    }
}

/// What of a span lies after the stretch.
fn rest_of<'a>(span: Span<'a>, stretch: NightRange) -> Option<Span<'a>> {
    let first = span.nights.first().max(stretch.last().next());
    NightRange::new(first, span.nights.last()).map(|nights| Span { nights, ..span })
}
