//! Reading a listing for a comparison: its nights in one call, itself with photos in another.

use std::collections::BTreeMap;

use domain::channel::Section;
use domain::outcome::OutcomeClass;
use domain::port::{ReadReport, Reading};
use serde_json::Value;

use super::calendar::read_nights;
use super::failure::Failure;
use super::listing::read_listing;
use super::push::checked_id;
use super::session::Session;

pub(super) async fn read(mut session: Session<'_>, reading: Reading<'_>) -> ReadReport {
    let mut answers = BTreeMap::new();
    let end = steps(&mut session, reading, &mut answers).await;
    let (class, detail) = match end {
        Ok(()) => (OutcomeClass::Accepted, None),
        Err(failure) => (failure.class, Some(failure.detail)),
    };
    ReadReport { class, detail, answers, calls: session.calls }
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
