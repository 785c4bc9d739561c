//! A call that did not succeed: its class, its reason in words, and how far the refusal reaches.

use chrono::{DateTime, Utc};
use domain::outcome::OutcomeClass;
use domain::port::ThrottledScope;
use domain::text::cut;
use serde_json::Value;

use crate::masking::{masked, masked_document};

/// Reasons are kept in the journal, so they are short.
const LONGEST_CHARS: usize = 400;
/// And so are the beginnings of answers.
const LONGEST_ANSWER_CHARS: usize = 1_000;
/// So much of a body that is no JSON is looked at.
const LOOKED_AT_BYTES: usize = 16 * 1_024;
/// What is left out at the end of what was looked at: half a credential or address looks like none.
const UNSURE_CHARS: usize = 200;

/// How far a failure reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// This call; for a rejection: the sections in it. Others can go on.
    Call,
    /// Everything that this token asks of this listing (403).
    Denied,
    /// The listing as a whole: it is gone at the channel.
    Listing,
    /// Whatever this target is asked: its address is wrong.
    Target,
    /// The credentials of the target.
    Credentials,
}

/// A rate limit of the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Throttle {
    pub scope: ThrottledScope,
    /// UTC.
    pub until: DateTime<Utc>,
}

/// Why a call did not succeed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Failure {
    pub class: OutcomeClass,
    pub reach: Reach,
    pub detail: String,
    /// The beginning of the answer's body, fit to be kept.
    pub answer: Option<String>,
    /// Not before this, UTC, where somebody said so.
    pub retry_at: Option<DateTime<Utc>>,
    pub throttle: Option<Throttle>,
    /// A server fault was the answer, so the request had arrived.
    pub server_fault: bool,
}

impl Failure {
    pub fn new(class: OutcomeClass, detail: impl Into<String>) -> Self {
        let detail = shortened(&detail.into());
        Self { class, reach: Reach::Call, detail, answer: None, retry_at: None, throttle: None, server_fault: false }
    }

    /// A creation that a server fault answered may have been applied, or be applied yet: a gateway gives up earlier
    /// than what stands behind it.
    pub fn of_creation(self) -> Self {
        let class = if self.server_fault { OutcomeClass::Unknown } else { self.class };
        Self { class, ..self }
    }

    pub fn reaching(self, reach: Reach) -> Self {
        Self { reach, ..self }
    }

    /// With the body that was answered.
    pub fn answered(self, body: &[u8]) -> Self {
        Self { answer: excerpt(body), ..self }
    }

    pub fn not_before(self, retry_at: Option<DateTime<Utc>>) -> Self {
        Self { retry_at, ..self }
    }

    /// The credentials are of no use: the target waits for new ones.
    pub fn credentials(detail: impl Into<String>) -> Self {
        Self::new(OutcomeClass::Unauthorised, detail).reaching(Reach::Credentials)
    }

    /// No further call is allowed.
    pub fn stopping(now: DateTime<Utc>) -> Self {
        Self::new(OutcomeClass::Throttled, "stopping").not_before(Some(now))
    }

    /// Whether the channel refused what was in this call, while others may be taken.
    pub fn refuses_part(&self) -> bool {
        self.class == OutcomeClass::Rejected && self.reach == Reach::Call
    }
}

/// One line without what looks like a credential or somebody's address, cut where it is long, in characters that the journal can store.
pub(super) fn shortened(text: &str) -> String {
    cut(&masked(&text.split_whitespace().collect::<Vec<_>>().join(" ")), LONGEST_CHARS)
}

/// The beginning of a body, one line, without what is a secret or a guest's; `None` where there is nothing in it.
fn excerpt(body: &[u8]) -> Option<String> {
    let text = match serde_json::from_slice::<Value>(body) {
        Ok(document) => masked_document(&document).to_string(),
        Err(_) => {
            let looked_at = &body[..body.len().min(LOOKED_AT_BYTES)];
            let text = String::from_utf8_lossy(looked_at).split_whitespace().collect::<Vec<_>>().join(" ");
            let unsure = if looked_at.len() < body.len() { UNSURE_CHARS } else { 0 };
            masked(&text.chars().take(text.chars().count().saturating_sub(unsure)).collect::<String>())
        }
    };
    (!text.is_empty()).then(|| cut(&text, LONGEST_ANSWER_CHARS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_kept_short_and_without_what_is_private() {
        let body = br#"{"status": "fail", "guestName": "Jane Doe", "message": "held by jane@example.com"}"#;
        let kept = r#"{"guestName":"•••","message":"held by •••","status":"fail"}"#;
        assert_eq!(excerpt(body).as_deref(), Some(kept));
        assert_eq!(excerpt(b"<html>\n  Bad\0 gateway </html>").as_deref(), Some("<html> Bad gateway </html>"));
        assert_eq!(excerpt(b""), None);
        // An address that is cut off where one stops to look.
        let mut long = format!("x{}", " ".repeat(40)).repeat(400).into_bytes();
        long.resize(LOOKED_AT_BYTES - 9, b' ');
        long.extend_from_slice(b" jane.doe@example.com");
        assert!(!excerpt(&long).unwrap_or_default().contains("jane"));
        assert_eq!(excerpt(&[b'x'; 100_000]).map(|kept| kept.chars().count()), Some(LONGEST_ANSWER_CHARS + 1));
    }
}
