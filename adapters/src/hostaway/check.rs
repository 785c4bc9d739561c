//! A check: one listing is asked for, whichever it is. That needs a token and rights, and no listing has to be there. It
//! knows the secret that holds now alone; while the one of before still serves, a refusal is told and holds nothing. A target
//! that is held was refused with both.

use domain::call::CallPurpose;
use domain::channel::Section;
use domain::outcome::OutcomeClass;
use domain::port::CheckReport;
use domain::target::Health;
use reqwest::Method;

use super::failure::Reach;
use super::session::{Call, Session};
use crate::secrets::ROTATION_GRACE;

pub(super) async fn check(mut session: Session<'_>) -> CheckReport {
    let call = Call {
        purpose: CallPurpose::Probe,
        urgency: Section::Availability,
        method: Method::GET,
        path: "/listings?limit=1".to_owned(),
        body: None,
    };
    let end = session.call(&call).await;
    let (calls, serves) = (session.calls, session.rotating && session.target.health != Health::Unauthorised);
    match end {
        Ok(_) => CheckReport { class: OutcomeClass::Accepted, detail: None, calls, credentials_refused: false },
        Err(failure) => CheckReport {
            class: failure.class,
            credentials_refused: failure.reach == Reach::Credentials && !serves,
            detail: Some(match failure.reach {
                Reach::Credentials if serves => format!(
                    "the new secret is refused, the one of before serves for {} s after the rotation: {}",
                    ROTATION_GRACE.as_secs(),
                    failure.detail
                ),
                _ => failure.detail,
            }),
            calls,
        },
    }
}
