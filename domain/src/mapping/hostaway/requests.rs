//! The bodies of an attempt's calls, made again: a body follows from the payload, from what the attempt had to send, and
//! from how the calls before it ended. What was sent is not stored, so this is how people get to see it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Map, Value};

use super::calls::{CalendarCall, calendar_calls};
use crate::call::{CallPurpose, CallRecord};
use crate::channel::{Bodies, Section};
use crate::mapping::Sent;
use crate::outcome::OutcomeClass;

/// The body of each call by its place, of those that can only have had this one.
pub fn request_bodies(bodies: &Bodies<'_>, sent: &Sent<'_>, calls: &[CallRecord]) -> BTreeMap<usize, Value> {
    let wanted: BTreeSet<Section> = if sent.exists {
        sent.needs.iter().copied().filter(|section| bodies.contains_key(section)).collect()
    } else {
        bodies.keys().copied().collect()
    };
    let writes: Vec<(usize, &CallRecord)> = calls.iter().enumerate().filter(|(_, call)| is_write(call)).collect();
    let mut made = listing_bodies(bodies, &wanted, &writes);
    let nights: Vec<(usize, &CallRecord)> =
        writes.into_iter().filter(|(_, call)| call.purpose == CallPurpose::Calendar).collect();
    // What was created just now holds nothing that could be left out.
    let verified = sent.verified && calls.iter().all(|call| call.purpose != CallPurpose::Create);
    let ways: Vec<Vec<Value>> = nights_wanted(&wanted, verified)
        .iter()
        .filter_map(|wanted| calendar_bodies(bodies, wanted, &nights, verified))
        .collect();
    for (place, (index, _)) in nights.iter().enumerate() {
        // What was found there at first was left out, and nobody wrote down what that was.
        let mut possible = ways.iter().filter_map(|way| way.get(place));
        if let Some(body) = possible.next().filter(|body| possible.all(|other| other == *body)) {
            made.insert(*index, body.clone());
        }
    }
    made
}

fn is_write(call: &CallRecord) -> bool {
    matches!(call.purpose, CallPurpose::Create | CallPurpose::Content | CallPurpose::Images | CallPurpose::Calendar)
}

/// The sections of nights that may have been sent: all that were wanted, unless the listing was read first.
fn nights_wanted(wanted: &BTreeSet<Section>, verified: bool) -> Vec<BTreeSet<Section>> {
    let all: BTreeSet<Section> =
        wanted.iter().copied().filter(|section| matches!(section, Section::Availability | Section::Rates)).collect();
    if !verified || all.len() < 2 {
        return vec![all];
    }
    let alone = all.iter().map(|section| BTreeSet::from([*section])).collect::<Vec<_>>();
    [vec![all], alone].concat()
}

/// A call that was refused for its token is made once more as it was.
fn repeats(before: Option<&CallRecord>, call: &CallRecord) -> bool {
    before.is_some_and(|before| {
        matches!(before.status, Some(401 | 403)) && before.path == call.path && before.method == call.method
    })
}

fn listing_bodies(
    bodies: &Bodies<'_>,
    wanted: &BTreeSet<Section>,
    writes: &[(usize, &CallRecord)],
) -> BTreeMap<usize, Value> {
    let mut made: BTreeMap<usize, Value> = BTreeMap::new();
    let mut before: Option<(usize, &CallRecord)> = None;
    for (index, call) in writes.iter().filter(|(_, call)| call.purpose != CallPurpose::Calendar) {
        let again = before.filter(|(_, before)| repeats(Some(*before), call));
        let body = match (again, call.purpose) {
            (Some((first, _)), _) => made.get(&first).cloned(),
            (None, CallPurpose::Images) => listing_body(bodies, &[Section::Images]),
            // Both in one body, and apart once that was refused.
            (None, _) => {
                let apart = before.is_some_and(|(_, before)| before.purpose == call.purpose && before.refused_part());
                let photos = wanted.contains(&Section::Images) && !apart;
                let sections = if photos { &[Section::Content, Section::Images][..] } else { &[Section::Content] };
                listing_body(bodies, sections)
            }
        };
        made.extend(body.map(|body| (*index, body)));
        before = Some((*index, call));
    }
    made
}

/// Content and photos as one body, of those sections that are asked for.
fn listing_body(bodies: &Bodies<'_>, sections: &[Section]) -> Option<Value> {
    let of = |section: Section| bodies.get(&section).copied().filter(|_| sections.contains(&section));
    let mut body = of(Section::Content).cloned();
    if let Some(photos) = of(Section::Images) {
        let fields = body.get_or_insert_with(|| Value::Object(Map::new()));
        fields.as_object_mut()?.insert("listingImages".to_owned(), photos.clone());
    }
    body
}

/// The bodies of the calls of nights, one after the other; `None` where these sections make other calls than there were.
fn calendar_bodies(
    bodies: &Bodies<'_>,
    wanted: &BTreeSet<Section>,
    calls: &[(usize, &CallRecord)],
    verified: bool,
) -> Option<Vec<Value>> {
    let calls_for = |wanted: &BTreeSet<Section>| {
        let body = |section: Section| bodies.get(&section).copied().filter(|_| wanted.contains(&section));
        calendar_calls(body(Section::Availability), body(Section::Rates))
    };
    let mut queue: VecDeque<CalendarCall> = calls_for(wanted).into();
    let mut refused = BTreeSet::new();
    let mut made: Vec<Value> = Vec::new();
    let mut before: Option<&CallRecord> = None;
    for (_, call) in calls {
        if repeats(before, call) {
            made.push(made.last()?.clone());
        } else {
            let next = std::iter::from_fn(|| queue.pop_front())
                .find(|next| !next.sections.iter().all(|section| refused.contains(section)))?;
            let (route, body) = next.request();
            if call.path.rsplit('/').next() != Some(route) {
                return None;
            }
            made.push(body);
            if call.refused_part() {
                match next.sections[..] {
                    [section] => {
                        refused.insert(section);
                    }
                    _ => {
                        let apart = next.sections.iter().flat_map(|section| calls_for(&BTreeSet::from([*section])));
                        let mut apart: VecDeque<CalendarCall> = apart.collect();
                        apart.append(&mut queue);
                        queue = apart;
                    }
                }
            }
        }
        before = Some(call);
    }
    // Of several ways, those are out in which a push that was not stopped would have made more calls.
    let went_on = before.is_none_or(|last| last.class == OutcomeClass::Accepted);
    queue.retain(|next| !next.sections.iter().all(|section| refused.contains(section)));
    (queue.is_empty() || !went_on || !verified).then_some(made)
}
