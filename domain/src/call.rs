//! The record of one HTTP call, as it stands in the journal, in `outbound_audit` and in the audit stream.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::channel::Section;
use crate::outcome::OutcomeClass;

/// What a call was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallPurpose {
    /// Getting an access token.
    Token,
    /// Looking our reference up before a create.
    Lookup,
    /// Creating the listing.
    Create,
    /// Updating names, descriptions, policies.
    Content,
    /// Updating the photos.
    Images,
    /// Updating nights: availability, rates or both.
    Calendar,
    /// Reading back what the channel says it has.
    ReadBack,
    /// A health check.
    Probe,
}

impl CallPurpose {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Token,
        Self::Lookup,
        Self::Create,
        Self::Content,
        Self::Images,
        Self::Calendar,
        Self::ReadBack,
        Self::Probe,
    ];

    /// The name used in JSON and in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Lookup => "lookup",
            Self::Create => "create",
            Self::Content => "content",
            Self::Images => "images",
            Self::Calendar => "calendar",
            Self::ReadBack => "read_back",
            Self::Probe => "probe",
        }
    }

    /// The sections that such a call may write: each alone, or both.
    pub fn writes(self) -> &'static [Section] {
        match self {
            Self::Calendar => &[Section::Availability, Section::Rates],
            Self::Content | Self::Images | Self::Create => &[Section::Content, Section::Images],
            Self::Token | Self::Lookup | Self::ReadBack | Self::Probe => &[],
        }
    }
}

/// How the detail begins of a failure that found the listing gone: whoever reads it says what helps.
pub const LISTING_GONE: &str = "the listing is gone";

/// Stands in the words of a creation whose id nothing proves to be the listing's: whoever reads them says what helps. Frozen, as they stand
/// in the journal.
pub const UNPROVED: &str = "nothing proves that it is the listing of this unit";

/// How the detail begins of a call for which there was no connection.
pub const NO_CONNECTION: &str = "no connection: ";

/// How the words of a check end that was answered with 429, before the time.
const ASKED_FOR_A_PAUSE: &str = "; it asked for a pause until ";

/// The words of a call that was answered with 429, with until when the channel asked for a pause, UTC. Of a call that is no sync's nothing else
/// tells that afterwards.
pub fn with_pause(words: &str, until: DateTime<Utc>) -> String {
    format!("{words}{ASKED_FOR_A_PAUSE}{}", until.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// Until when a pause was asked for, UTC, by such words; older builds did not write it down.
pub fn pause_of(words: &str) -> Option<DateTime<Utc>> {
    let (_, until) = words.rsplit_once(ASKED_FOR_A_PAUSE)?;
    DateTime::parse_from_rfc3339(until).ok().map(|until| until.with_timezone(&Utc))
}

/// One HTTP call and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord {
    /// Sent as `X-Request-Id`; the channel's own log can be matched by it.
    pub request_id: Uuid,
    /// What it was for.
    pub purpose: CallPurpose,
    /// HTTP method.
    pub method: String,
    /// Path and query without secrets.
    pub path: String,
    /// When it was started, UTC.
    pub started_at: DateTime<Utc>,
    /// From the start to the answer or the time-out, in milliseconds.
    pub duration_ms: u64,
    /// The HTTP status, absent when no answer came.
    pub status: Option<u16>,
    /// How it ended.
    pub class: OutcomeClass,
    /// The channel's words or the transport's error, shortened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The beginning of the answer's body, of a call that failed: without what looks like a credential or belongs to a
    /// guest, at most 1,000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}

impl CallRecord {
    /// The channel refused what was in the call, and the push went on with other parts. A listing that is not there, or elsewhere, is no
    /// part.
    pub fn refused_part(&self) -> bool {
        self.class == OutcomeClass::Rejected && !matches!(self.status, Some(301 | 308 | 404))
    }

    /// When its answer was there, or it was given up.
    pub fn ended_at(&self) -> DateTime<Utc> {
        let took = i64::try_from(self.duration_ms).ok().and_then(TimeDelta::try_milliseconds).unwrap_or_default();
        self.started_at.checked_add_signed(took).unwrap_or(self.started_at)
    }

    /// The channel may have written what was in the call. A rate limit and refused credentials are no answer to what a call carries, and
    /// without a connection nobody read it.
    pub fn may_have_written(&self) -> bool {
        !matches!(self.class, OutcomeClass::Throttled | OutcomeClass::Unauthorised) && !self.was_not_sent()
    }

    /// There was no connection, so that the channel surely saw nothing of it.
    pub fn was_not_sent(&self) -> bool {
        let unconnected = self.detail.as_ref().is_some_and(|detail| detail.starts_with(NO_CONNECTION));
        self.status.is_none() && self.class == OutcomeClass::Transient && unconnected
    }
}
