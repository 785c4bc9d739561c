//! Reading a listing and comparing it with what was sent: its nights in one call, itself with photos in another.

use std::collections::BTreeMap;
use std::fmt;

use domain::channel::{Bodies, Section};
use domain::difference::FieldDifference;
use domain::mapping::hostaway::drift;
use domain::outcome::OutcomeClass;
use domain::port::{Compared, Found, ReadReport, Reading, Standing};
use domain::unit::Night;
use serde_json::Value;

use super::calendar::{is_nights, read_nights, span};
use super::failure::{Failure, Reach};
use super::listing::read_listing;
use super::push::checked_id;
use super::session::Session;
use super::withheld::Withheld;

pub(super) async fn read(mut session: Session<'_>, reading: Reading<'_>) -> ReadReport {
    let mut answers = BTreeMap::new();
    let end = steps(&mut session, reading, &mut answers).await;
    let (class, detail, standing) = match end {
        Ok(()) if answers.values().any(is_archived) => (OutcomeClass::Accepted, None, Standing::Archived),
        Ok(()) => (OutcomeClass::Accepted, None, Standing::There),
        Err(failure) if failure.reach == Reach::Listing => (failure.class, Some(failure.detail), Standing::Gone),
        Err(failure) => (failure.class, Some(failure.detail), Standing::There),
    };
    let Session { calls, withheld, .. } = session;
    let mut found: Option<Box<dyn Found>> = None;
    if class == OutcomeClass::Accepted {
        let nights = span(&intervals(reading.sent));
        found = Some(Box::new(Answers { by_section: answers, nights, withheld }));
    }
    ReadReport { class, detail, found, calls, standing }
}

/// What the channel answered.
struct Answers {
    by_section: BTreeMap<Section, Value>,
    /// The first and the last night that were asked for.
    nights: Option<(String, String)>,
    withheld: Withheld,
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").field("nights", &self.nights).finish_non_exhaustive()
    }
}

impl Found for Answers {
    /// Compared as it came and told without what is withheld, before anything of it is cut: half a secret is not known again.
    fn compare(&self, sent: &Bodies<'_>, from: Night) -> Compared {
        let told = |found: FieldDifference| FieldDifference {
            path: self.withheld.shown(&found.path),
            after: found.after.map(|value| self.withheld.shown_document(value)),
            ..found
        };
        let mut compared = Compared::default();
        for (section, sent) in sent {
            match self.of(*section, sent) {
                Some(answer) => {
                    let found = drift(*section, sent, answer, from).into_iter().map(told).collect();
                    compared.differences.add(*section, found);
                }
                None => compared.unread.push(*section),
            }
        }
        compared
    }
}

impl Answers {
    /// The answer that tells all of what was sent of a section.
    fn of(&self, section: Section, sent: &Value) -> Option<&Value> {
        if !is_nights(section) {
            return self.by_section.get(&section);
        }
        let Some((first, last)) = sent.as_array().and_then(|intervals| span(intervals)) else {
            // No night of it was sent, so none can differ.
            return Some(&Value::Null);
        };
        let covers = |(from, to): &&(String, String)| *from <= first && last <= *to;
        self.nights.as_ref().filter(covers).and_then(|_| self.by_section.get(&section))
    }
}

/// What Hostaway says of a listing in its archive.
fn is_archived(answer: &Value) -> bool {
    answer.get("specialStatus").is_some_and(|status| status == "archived")
}

async fn steps(
    session: &mut Session<'_>,
    reading: Reading<'_>,
    answers: &mut BTreeMap<Section, Value>,
) -> Result<(), Failure> {
    let id = checked_id(reading.external_id)?;
    let sent = |sections: [Section; 2]| -> Vec<(Section, &Value)> {
        sections.into_iter().filter_map(|section| Some((section, *reading.sent.get(&section)?))).collect()
    };
    let nights = sent([Section::Availability, Section::Rates]);
    if let Some(days) = read_nights(session, &id, &intervals(reading.sent)).await? {
        let days = Value::Array(days);
        answers.extend(nights.iter().map(|(section, _)| (*section, days.clone())));
    }
    let listing = sent([Section::Content, Section::Images]);
    if !listing.is_empty() {
        let answer = read_listing(session, &id).await?;
        answers.extend(listing.iter().map(|(section, _)| (*section, answer.clone())));
    }
    Ok(())
}

/// All nights that were sent, for availability and for rates.
fn intervals(sent: &Bodies<'_>) -> Vec<Value> {
    let nights = sent.iter().filter(|(section, _)| is_nights(**section));
    nights.filter_map(|(_, body)| body.as_array()).flatten().cloned().collect()
}
