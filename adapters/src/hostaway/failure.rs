//! A call that did not succeed: its class, its reason in words, and how far the refusal reaches.

use chrono::{DateTime, Utc};
use domain::outcome::OutcomeClass;
use domain::port::ThrottledScope;
use domain::text::cut;

use crate::masking::masked;

/// Reasons are kept in the journal, so they are short.
const LONGEST_CHARS: usize = 400;

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
    /// Not before this, UTC, where somebody said so.
    pub retry_at: Option<DateTime<Utc>>,
    pub throttle: Option<Throttle>,
    /// A server fault was the answer, so the request had arrived.
    pub server_fault: bool,
}

impl Failure {
    pub fn new(class: OutcomeClass, detail: impl Into<String>) -> Self {
        let detail = shortened(&detail.into());
        Self { class, reach: Reach::Call, detail, retry_at: None, throttle: None, server_fault: false }
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
