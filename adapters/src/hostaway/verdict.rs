//! What an answer, or its absence, means. The body of a 2xx decides over its status, and has to have in it what the call
//! was for; a write that may have been applied is unknown, never transient.

use chrono::{DateTime, Utc};
use domain::call::NO_CONNECTION;
use domain::outcome::OutcomeClass;
use reqwest::StatusCode;
use reqwest::header::LOCATION;

use super::answer::{self, Answer, NoSuccess, Wanted};
use super::client::{NoReply, Reply};
use super::failure::{Failure, Reach, concealed};
use super::retry_after;
use super::withheld::Withheld;

/// Said of a refusal that is none of the channel's.
const NOT_ITS_OWN: &str = ", not in the form of the channel's answers: something in between may have said so";

/// What a call does at the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// It can be made again without a thought. A token request too: an older token stays good.
    Read,
    /// Nobody knows whether it was applied when the answer is lost.
    Write,
}

impl Effect {
    /// The class of a call whose answer did not come through.
    fn without_answer(self) -> OutcomeClass {
        match self {
            Self::Read => OutcomeClass::Transient,
            Self::Write => OutcomeClass::Unknown,
        }
    }
}

/// Judges a call to the API.
pub(super) fn of(
    reply: Result<Reply, NoReply>,
    effect: Effect,
    wanted: &Wanted,
    now: DateTime<Utc>,
    withheld: &Withheld,
) -> Result<Answer, Failure> {
    let body = successful(reply, effect, now, withheld)?;
    let whole = |answer: Answer| match wanted.missing_in(&answer) {
        Some(missing) => Err(NoSuccess::Malformed(missing.to_owned())),
        None => Ok(answer),
    };
    answer::read(&body).and_then(whole).map_err(|reason| {
        let failure = match reason {
            NoSuccess::Failed(words) => {
                let words = concealed(&words, withheld);
                // Nothing in them can be seen.
                let words = if words.is_empty() { answer::NO_REASON.to_owned() } else { words };
                Failure::new(OutcomeClass::Rejected, words)
            }
            NoSuccess::Malformed(why) => malformed(effect, &why),
        };
        failure.answered(&body, withheld)
    })
}

/// The body of a 2xx answer; every other end is a failure.
pub(super) fn successful(
    reply: Result<Reply, NoReply>,
    effect: Effect,
    now: DateTime<Utc>,
    withheld: &Withheld,
) -> Result<Vec<u8>, Failure> {
    let reply = reply.map_err(|reason| match reason {
        NoReply::NotSent(why) => Failure::new(OutcomeClass::Transient, format!("{NO_CONNECTION}{why}")),
        NoReply::Lost(why) => Failure::new(effect.without_answer(), format!("no answer: {why}")),
    })?;
    if !reply.status.is_success() {
        let failure = refused(&reply, now, withheld);
        return Err(match &reply.body {
            Ok(body) => failure.answered(body, withheld),
            Err(_) => failure,
        });
    }
    reply.body.map_err(|why| malformed(effect, &why))
}

/// A 2xx whose body cannot be used: a write has probably been applied.
pub(super) fn malformed(effect: Effect, why: &str) -> Failure {
    Failure::new(effect.without_answer(), format!("the answer cannot be read: {why}"))
}

fn refused(reply: &Reply, now: DateTime<Utc>, withheld: &Withheld) -> Failure {
    let status = reply.status;
    let detail = concealed(&described(reply), withheld);
    match status {
        StatusCode::TOO_MANY_REQUESTS => {
            let throttle = retry_after::throttle(&reply.headers, now);
            let failure = Failure::new(OutcomeClass::Throttled, detail).not_before(Some(throttle.until));
            Failure { throttle: Some(throttle), ..failure }
        }
        // A token that is not accepted: the request was not processed.
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Failure::new(OutcomeClass::Unauthorised, detail).reaching(Reach::Denied)
        }
        // Whatever stands before the channel does not know it, and nobody has looked at the call.
        StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST | StatusCode::METHOD_NOT_ALLOWED if !is_its_own(reply) => {
            outage(reply, format!("{detail}{NOT_ITS_OWN}"), now)
        }
        StatusCode::NOT_FOUND => Failure::new(OutcomeClass::Rejected, detail).reaching(Reach::Listing),
        StatusCode::MOVED_PERMANENTLY | StatusCode::PERMANENT_REDIRECT => {
            Failure::new(OutcomeClass::Rejected, detail).reaching(Reach::Target)
        }
        _ if status.is_client_error() => Failure::new(OutcomeClass::Rejected, detail),
        _ => outage(reply, detail, now),
    }
}

/// The channel, or the way to it, does not work, and may work again.
fn outage(reply: &Reply, detail: String, now: DateTime<Utc>) -> Failure {
    let failure = Failure::new(OutcomeClass::Transient, detail);
    Failure { server_fault: true, ..failure }.not_before(retry_after::not_before(&reply.headers, now))
}

/// Whether it is the channel that answers, not what stands before it: a gateway without its channel says 404 or 400, a page
/// that stands in for it 405. A gateway's 404 may be an object with words, too; with its 400 comes a page.
fn is_its_own(reply: &Reply) -> bool {
    let is_its_form = if reply.status == StatusCode::BAD_REQUEST { answer::says_why } else { answer::is_failure };
    reply.body.as_ref().is_ok_and(|body| is_its_form(body))
}

/// `HTTP 429: You have exceeded …`
fn described(reply: &Reply) -> String {
    let code = reply.status.as_u16();
    if reply.status.is_redirection() {
        let to = reply.headers.get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("nowhere");
        // A query could hold anything.
        let to = to.split('?').next().unwrap_or_default();
        return format!("HTTP {code}: redirected to {to}, which is not followed; check the target's base_url");
    }
    let body = reply.body.as_ref().ok().and_then(|body| answer::json(body).ok());
    match body.as_ref().and_then(answer::words) {
        Some(words) => format!("HTTP {code}: {words}"),
        None => format!("HTTP {code} without a reason"),
    }
}
