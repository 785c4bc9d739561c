//! A call that did not succeed: its class, its reason in words, and how far the refusal reaches.

use chrono::{DateTime, Utc};
use domain::outcome::OutcomeClass;
use domain::port::ThrottledScope;
use domain::text::{cut, steady};
use serde_json::Value;

use super::withheld::Withheld;
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
    pub fn answered(self, body: &[u8], withheld: &Withheld) -> Self {
        Self { answer: excerpt(body, withheld), ..self }
    }

    pub fn not_before(self, retry_at: Option<DateTime<Utc>>) -> Self {
        Self { retry_at, ..self }
    }

    /// The credentials are of no use: the target waits for new ones.
    pub fn credentials(detail: impl Into<String>) -> Self {
        Self::new(OutcomeClass::Unauthorised, detail).reaching(Reach::Credentials)
    }

    /// No call could be made, for a reason of our own; what is left may be tried from then on.
    pub fn stopped(why: impl Into<String>, retry_at: DateTime<Utc>) -> Self {
        Self::new(OutcomeClass::Stopped, why).not_before(Some(retry_at))
    }

    /// Whether the channel refused what was in this call, while others may be taken.
    pub fn refuses_part(&self) -> bool {
        self.class == OutcomeClass::Rejected && self.reach == Reach::Call
    }
}

/// One line without what looks like a credential or somebody's address, cut where it is long, in characters that the journal
/// can store and a terminal shows as they are.
pub(super) fn shortened(text: &str) -> String {
    cut(&masked(&one_line(text)), LONGEST_CHARS)
}

/// A channel's words in one line, without what is withheld, and not yet cut: half a secret is not known again. A character
/// that nobody sees could stand in the middle of one, so there are two looks.
pub(super) fn concealed(text: &str, withheld: &Withheld) -> String {
    withheld.hidden(&one_line(&withheld.hidden(text)))
}

fn one_line(text: &str) -> String {
    steady(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The beginning of a body, one line, without what is a secret or a guest's; `None` where there is nothing in it.
fn excerpt(body: &[u8], withheld: &Withheld) -> Option<String> {
    let text = match serde_json::from_slice::<Value>(body) {
        Ok(document) => withheld.hidden(&reason_first(masked_document(&concealed_document(document, withheld)))),
        Err(_) => {
            // All of it, before it is cut: a token is long.
            let known = withheld.hidden(&String::from_utf8_lossy(body));
            let looked_at = &known.as_bytes()[..known.len().min(LOOKED_AT_BYTES)];
            let text = concealed(&String::from_utf8_lossy(looked_at), withheld);
            let unsure = if looked_at.len() < known.len() { UNSURE_CHARS } else { 0 };
            masked(&text.chars().take(text.chars().count().saturating_sub(unsure)).collect::<String>())
        }
    };
    (!text.is_empty()).then(|| cut(&text, LONGEST_ANSWER_CHARS))
}

fn concealed_document(document: Value, withheld: &Withheld) -> Value {
    match document {
        Value::String(text) => Value::String(concealed(&text, withheld)),
        Value::Array(rows) => rows.into_iter().map(|row| concealed_document(row, withheld)).collect(),
        Value::Object(fields) => {
            let field =
                |(name, value): (String, Value)| (concealed(&name, withheld), concealed_document(value, withheld));
            Value::Object(fields.into_iter().map(field).collect())
        }
        other => other,
    }
}

/// As text, what says why before the other fields: they come sorted, and the end may be cut off.
fn reason_first(document: Value) -> String {
    let Value::Object(fields) = document else { return document.to_string() };
    let mut fields: Vec<(String, Value)> = fields.into_iter().collect();
    fields.sort_by_key(|(name, value)| match name.as_str() {
        "status" => 0,
        "message" | "error" | "error_description" => 1,
        "result" if value.is_string() => 1,
        _ => 2,
    });
    let field = |(name, value): &(String, Value)| format!("{}:{value}", Value::from(name.as_str()));
    format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excerpt(body: &[u8]) -> Option<String> {
        super::excerpt(body, &Withheld::default())
    }

    #[test]
    fn what_a_terminal_would_obey_is_no_part_of_a_channels_words() {
        let said = "no\u{1b}[31m price\u{7}\u{202e} for\n\tnight\u{9b}2J 7\u{200f}\u{2066}";
        assert_eq!(shortened(said), "no[31m price for night2J 7");
        let body = serde_json::json!({ "message": said, "a\u{202e}": 1 }).to_string();
        assert_eq!(excerpt(body.as_bytes()).as_deref(), Some(r#"{"message":"no[31m price for night2J 7","a":1}"#));
        assert_eq!(excerpt(said.as_bytes()).as_deref(), Some("no[31m price for night2J 7"));
    }

    #[test]
    fn a_known_secret_goes_even_where_the_answer_is_cut_or_something_unseen_stands_in_it() {
        let secret = "5f".repeat(32);
        let mut withheld = Withheld::default();
        withheld.add(&secret);
        for filler in [0, LONGEST_ANSWER_CHARS - 20, LOOKED_AT_BYTES - 230, LOOKED_AT_BYTES - 20] {
            let text = format!("{} {secret} {}", "x".repeat(filler), "y".repeat(600));
            let json = serde_json::json!({ "message": text, "said": [{ "back": secret }] }).to_string();
            for body in [text, json] {
                let kept = super::excerpt(body.as_bytes(), &withheld).unwrap_or_default();
                assert!(!kept.contains("5f5f"), "{kept}");
            }
        }
        let parted = format!("it is {}\u{200e}{}", &secret[..9], &secret[9..]);
        assert_eq!(concealed(&parted, &withheld), "it is •••");
    }

    #[test]
    fn the_reason_is_kept_of_a_long_answer() {
        let body =
            serde_json::json!({ "address": "x".repeat(2_000), "message": "no price", "status": "fail" }).to_string();
        let kept = excerpt(body.as_bytes()).unwrap_or_default();
        assert!(kept.starts_with(r#"{"status":"fail","message":"no price","address":"xx"#), "{kept}");
    }

    #[test]
    fn an_answer_is_kept_short_and_without_what_is_private() {
        let body = br#"{"status": "fail", "guestName": "Jane Doe", "message": "held by jane@example.com"}"#;
        let kept = r#"{"status":"fail","message":"held by •••","guestName":"•••"}"#;
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
