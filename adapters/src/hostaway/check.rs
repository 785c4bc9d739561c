//! A check: one listing is asked for, whichever it is. That needs a token and rights, and no listing has to be there. It
//! knows the secret that holds now alone; where the previous one is tried and still serves, a refusal is told and holds nothing. A
//! target that is held was refused with both.

use domain::call::{CallPurpose, with_pause};
use domain::channel::Section;
use domain::outcome::OutcomeClass;
use domain::port::{CheckReport, SlotSource};
use domain::target::{Health, Target};
use reqwest::Method;

use super::Hostaway;
use super::answer::Wanted;
use super::failure::Reach;
use super::session::{Call, Session};
use super::token::old_one_serves;

pub(super) async fn check(hostaway: &Hostaway, target: &Target, slots: &dyn SlotSource) -> CheckReport {
    let mut session = Session::new(hostaway, target, slots).with_current_secret_alone();
    let end = session.call(&probe()).await;
    let (mut calls, rotating) = (session.calls, session.rotating && target.health != Health::Unauthorised);
    let Err(failure) = end else {
        return CheckReport { class: OutcomeClass::Accepted, detail: None, calls, credentials_refused: false };
    };
    let refused = failure.reach == Reach::Credentials;
    let mut pause = failure.throttle.map(|throttle| throttle.until);
    let (mut detail, mut both) = (failure.detail, refused);
    if refused && rotating {
        // What the previous one is good for is known once it was tried, to its end.
        let mut before = Session::new(hostaway, target, slots);
        let end = before.call(&probe()).await;
        calls.extend(before.calls);
        both = end.as_ref().is_err_and(|failure| failure.reach == Reach::Credentials);
        let later = end.as_ref().err().and_then(|failure| failure.throttle.as_ref()).map(|throttle| throttle.until);
        pause = pause.max(later);
        detail = match end {
            Ok(_) => old_one_serves(before.pending, &detail),
            Err(_) if both => detail,
            Err(unknown) => format!(
                "the new secret is refused, whether the previous one serves is not known ({}): {detail}",
                unknown.detail
            ),
        };
    }
    if let Some(until) = pause {
        detail = with_pause(&detail, until);
    }
    CheckReport { class: failure.class, credentials_refused: both, detail: Some(detail), calls }
}

fn probe() -> Call {
    Call {
        purpose: CallPurpose::Probe,
        urgency: Section::Availability,
        method: Method::GET,
        path: "/listings?limit=1".to_owned(),
        body: None,
        wanted: Wanted::List,
    }
}
