//! A check: one listing is asked for, whichever it is. That needs a token and rights, and no listing has to be there.

use domain::call::CallPurpose;
use domain::channel::Section;
use domain::outcome::OutcomeClass;
use domain::port::CheckReport;
use reqwest::Method;

use super::failure::Reach;
use super::session::{Call, Session};

pub(super) async fn check(mut session: Session<'_>) -> CheckReport {
    let call = Call {
        purpose: CallPurpose::Probe,
        urgency: Section::Availability,
        method: Method::GET,
        path: "/listings?limit=1".to_owned(),
        body: None,
    };
    let end = session.call(&call).await;
    let calls = session.calls;
    match end {
        Ok(_) => CheckReport { class: OutcomeClass::Accepted, detail: None, calls, credentials_refused: false },
        Err(failure) => CheckReport {
            class: failure.class,
            credentials_refused: failure.reach == Reach::Credentials,
            detail: Some(failure.detail),
            calls,
        },
    }
}
