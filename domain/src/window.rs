//! The strict window: at most n requests in any span of w, seen at the receiver.
//!
//! A slot is taken when a call starts and freed w plus a margin after its answer arrived. For call n + 1: arrival ≥ start ≥
//! (answer of the 1st) + w ≥ (arrival of the 1st) + w, whatever the latency does. Where no answer came, what was sent may arrive
//! after the time-out, for as long as the system repeats it, and the slot is freed so much later (`LATE_ARRIVAL`). A log kept at
//! send time, a token bucket or a counter with a time-to-live all let more through.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::text::cut;

/// Slots come back this much later than the window asks, in milliseconds: the window is closed at both ends and
/// clocks have a grain.
pub const MARGIN_MS: u32 = 50;

/// How many requests a limit may allow.
pub const REQUESTS: RangeInclusive<u32> = 1..=10_000;
/// How long the window of a limit may be, in milliseconds.
pub const WINDOW_MS: RangeInclusive<u32> = 100..=3_600_000;
/// What a limit looks like as text, as a regular expression.
pub const LIMIT_PATTERN: &str = r"^\s*[0-9]+\s*/\s*[0-9]+\s*(ms|s)?\s*$";
/// The most characters of a limit as text.
pub const LONGEST_LIMIT: usize = 40;

/// At most `requests` in any `window_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "RawLimit", into = "RawLimit")]
pub struct RateLimit {
    requests: u32,
    window_ms: u32,
}

#[derive(Serialize, Deserialize)]
struct RawLimit {
    requests: u32,
    window_ms: u32,
}

/// A limit that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLimit {
    /// Zero or too many requests.
    #[error("rate limit: {0} requests; use 1 to 10000 (to stop a target, pause it)")]
    Requests(u32),
    /// A window that is too short or too long.
    #[error("rate limit: a window of {0} ms; use 100 ms to 1 hour")]
    Window(u32),
    /// Text that is no limit.
    #[error("rate limit {0:?}: write it as REQUESTS/WINDOW, e.g. 12/10s or 5/500ms")]
    Text(String),
}

impl RateLimit {
    /// A limit of `requests` (1 to 10,000) in any `window_ms` (100 ms to 1 h).
    pub fn new(requests: u32, window_ms: u32) -> Result<Self, InvalidLimit> {
        if !REQUESTS.contains(&requests) {
            return Err(InvalidLimit::Requests(requests));
        }
        if !WINDOW_MS.contains(&window_ms) {
            return Err(InvalidLimit::Window(window_ms));
        }
        Ok(Self { requests, window_ms })
    }

    /// How many requests fit into a window.
    pub fn requests(self) -> u32 {
        self.requests
    }

    /// The window in milliseconds.
    pub fn window_ms(self) -> u32 {
        self.window_ms
    }

    /// How long the slot of a call rests after the call was answered, in milliseconds.
    pub fn rest_ms(self) -> u32 {
        self.window_ms + MARGIN_MS
    }
}

impl Default for RateLimit {
    /// The product's rule: 12 requests in 10 s per target.
    fn default() -> Self {
        Self { requests: 12, window_ms: 10_000 }
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.window_ms.is_multiple_of(1000) {
            write!(f, "{}/{}s", self.requests, self.window_ms / 1000)
        } else {
            write!(f, "{}/{}ms", self.requests, self.window_ms)
        }
    }
}

impl FromStr for RateLimit {
    type Err = InvalidLimit;
    fn from_str(text: &str) -> Result<Self, InvalidLimit> {
        let bad = || InvalidLimit::Text(cut(text, LONGEST_LIMIT));
        if text.chars().count() > LONGEST_LIMIT {
            return Err(bad());
        }
        let (requests, window) = text.split_once('/').ok_or_else(bad)?;
        let window = window.trim();
        let (digits, unit_ms) = match window.strip_suffix("ms") {
            Some(digits) => (digits, 1),
            None => (window.strip_suffix('s').unwrap_or(window), 1000),
        };
        let window: u32 = digits.trim().parse().map_err(|_| bad())?;
        let window_ms = window.checked_mul(unit_ms).ok_or_else(bad)?;
        Self::new(requests.trim().parse().map_err(|_| bad())?, window_ms)
    }
}

impl TryFrom<RawLimit> for RateLimit {
    type Error = InvalidLimit;
    fn try_from(raw: RawLimit) -> Result<Self, InvalidLimit> {
        Self::new(raw.requests, raw.window_ms)
    }
}

impl From<RateLimit> for RawLimit {
    fn from(limit: RateLimit) -> RawLimit {
        RawLimit { requests: limit.requests, window_ms: limit.window_ms }
    }
}

/// What a limit applies to. A call takes a slot in every scope that it falls under.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "key")]
pub enum Scope {
    /// One target.
    Target(String),
    /// One account at a channel, which several targets and other tools may share.
    Account(String),
    /// All strangers at an account, or those of one organisation, whose credentials it is not known to take: their calls for a token.
    Strangers(String),
    /// One address that our calls leave from.
    Egress(String),
}

impl Scope {
    /// That of an account at a channel: the channel, its address, and the account's name there.
    pub fn account(channel: impl std::fmt::Display, base_url: &str, channel_account: &str) -> Self {
        Self::Account(format!("{channel}/{base_url}/{channel_account}"))
    }

    /// What a scope is called without its key where windows are listed. That of strangers is shared by owners who may not know of one
    /// another: it is in no list, and whatever waits for it says so, a check as well as a sync.
    pub const KINDS: [&'static str; 3] = ["target", "account", "egress"];
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Target(key) => write!(f, "target:{key}"),
            Self::Account(key) => write!(f, "account:{key}"),
            Self::Strangers(key) => write!(f, "strangers:{key}"),
            Self::Egress(key) => write!(f, "egress:{key}"),
        }
    }
}
