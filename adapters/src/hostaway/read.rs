//! Reading a listing and comparing it with what was sent: its nights in one call, itself with photos in another.

use std::collections::BTreeMap;

use domain::channel::Section;
use domain::difference::{Differences, FieldDifference};
use domain::mapping::hostaway::drift;
use domain::outcome::OutcomeClass;
use domain::port::{ReadReport, Reading, Standing};
use serde_json::Value;

use super::calendar::read_nights;
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
    let differences = if class == OutcomeClass::Accepted {
        differences(reading, &answers, &session.withheld)
    } else {
        Differences::default()
    };
    ReadReport { class, detail, differences, calls: session.calls, standing }
}

/// Compared as it came and told without what is withheld, before anything of it is cut: half a secret is not known again.
fn differences(reading: Reading<'_>, answers: &BTreeMap<Section, Value>, withheld: &Withheld) -> Differences {
    let told = |found: FieldDifference| FieldDifference {
        path: withheld.shown(&found.path),
        after: found.after.map(|value| withheld.shown_document(value)),
        ..found
    };
    let mut all = Differences::default();
    for (section, sent) in reading.sent {
        let Some(answer) = answers.get(section) else { continue };
        all.add(*section, drift(*section, sent, answer, reading.from).into_iter().map(told).collect());
    }
    all
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
    let intervals: Vec<Value> = nights.iter().filter_map(|(_, body)| body.as_array()).flatten().cloned().collect();
    if let Some(days) = read_nights(session, &id, &intervals).await? {
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
