//! What Hostaway may answer, for the fuzz target `hostaway_answer`: nothing that comes from there ends the process, and
//! what is kept of it is short. No part of the program.

use std::sync::OnceLock;

use chrono::{TimeDelta, Utc};
use domain::channel::{ChannelKind, ListingPayload, Section};
use domain::ids::{ListingId, TargetId};
use domain::mapping::hostaway::{calendar_differences, content_differences, kept_texts};
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::SecretString;
use serde_json::Value;
use uuid::Uuid;

use super::answer::Wanted;
use super::client::Reply;
use super::failure::Failure;
use super::issue::issued;
use super::token::{Cell, State};
use super::verdict::{self, Effect};
use super::withheld::Withheld;

/// An answer: its status, then headers, one a line, then an empty line and the body.
pub fn answer(bytes: &[u8]) {
    let mut withheld = Withheld::default();
    withheld.add("a secret");
    for (effect, wanted) in [
        (Effect::Read, Wanted::List),
        (Effect::Read, Wanted::Page { reference: "unit listing".to_owned(), offset: Some(100) }),
        (Effect::Read, Wanted::Listing { id: "40001".to_owned() }),
        (Effect::Write, Wanted::Nothing),
        (Effect::Write, Wanted::Created),
    ] {
        match verdict::of(Ok(reply(bytes)), effect, &wanted, Utc::now(), &withheld) {
            Ok(answer) => compare(&answer.result),
            Err(failure) => check(&failure),
        }
    }
    let issued = issued(Ok(reply(bytes)), &withheld);
    if let Err(failure) = &issued {
        check(failure);
    }
    let _ = Cell::default().settle(&mut State::default(), &SecretString::from("a secret"), issued);
}

fn reply(bytes: &[u8]) -> Reply {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = end.map_or((&b"200"[..], bytes), |end| (&bytes[..end], &bytes[end + 2..]));
    let mut lines = head.split(|byte| *byte == b'\n');
    let status = lines.next().and_then(|line| StatusCode::from_bytes(line).ok()).unwrap_or(StatusCode::OK);
    let mut headers = HeaderMap::new();
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(line[colon + 1..].trim_ascii()))
        {
            headers.insert(name, value);
        }
    }
    Reply { status, headers, body: Ok(body.to_vec()) }
}

fn check(failure: &Failure) {
    assert!(!failure.detail.is_empty() && failure.detail.chars().count() <= 401, "{:?}", failure.detail);
    assert!(!failure.detail.contains('\0'), "the journal cannot keep it");
    assert!(!failure.detail.contains("a secret"), "{:?}", failure.detail);
    let kept = failure.answer.as_deref().unwrap_or("x");
    assert!(!kept.is_empty() && kept.chars().count() <= 1_001 && !kept.contains('\0'), "{kept:?}");
    let most = Utc::now() + TimeDelta::minutes(10);
    assert!(failure.retry_at.is_none_or(|at| at <= most), "a channel holds us for longer than it may");
}

/// Held against what was sent, as a push and a look for drift do it: only what was sent can differ, and only what was not can be kept.
fn compare(answered: &Value) {
    for (section, payload) in &payload().sections {
        if matches!(section, Section::Availability | Section::Rates) {
            let sent = payload.body.as_array().map_or(&[][..], Vec::as_slice);
            let days = answered.as_array().map_or(&[][..], Vec::as_slice);
            for difference in calendar_differences(sent, days) {
                assert!(sent.iter().any(|one| one.get(&difference.field).is_some()), "{difference:?}");
            }
        } else {
            for difference in content_differences(&payload.body, answered) {
                assert!(payload.body.get(&difference.field).is_some(), "{difference:?}");
            }
            for kept in kept_texts(&payload.body, answered) {
                let field = kept.part.strip_prefix("listing.").expect("it names a field");
                assert!(payload.body.get(field).is_none() && answered.get(field).is_some(), "{kept:?}");
            }
        }
    }
}

fn payload() -> &'static ListingPayload {
    static PAYLOAD: OnceLock<ListingPayload> = OnceLock::new();
    PAYLOAD.get_or_init(|| {
        let unit = domain::unit::parse(include_bytes!("../../../nats/examples/unit-changed.v1.json"));
        let unit = unit.expect("the example is a unit");
        let listing = ListingId::of(TargetId(Uuid::from_u128(1)), &unit.unit_id);
        domain::mapping::map(ChannelKind::Hostaway, &unit, &listing)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::secrets::Secret;

    #[test]
    fn whatever_comes_goes_through() {
        crate::variations::each("hostaway_answer", answer);
    }

    /// Of such a lifetime no clock can tell the end.
    #[test]
    fn a_token_that_lives_for_ever_is_kept_for_a_while() {
        let secret = Secret::of(SecretString::from("a secret"));
        for (lifetime, is_kept) in [(u64::MAX, true), (0, false)] {
            let answered = format!("{{\"access_token\":\"t\",\"expires_in\":{lifetime}}}");
            answer(answered.as_bytes());
            let issued = issued(Ok(reply(answered.as_bytes())), &Withheld::default()).expect("there is a token in it");
            assert!(issued.lifetime < Duration::from_secs(3 * 366 * 24 * 3_600), "{:?}", issued.lifetime);
            let mut state = State::default();
            Cell::default().settle(&mut state, &secret.current, Ok(issued)).expect("it was issued");
            assert_eq!(state.usable(&secret, None).is_some(), is_kept, "{lifetime}");
        }
    }
}
