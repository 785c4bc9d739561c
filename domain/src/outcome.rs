//! The class of an outcome: what happens next.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How an attempt, or a single call, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeClass {
    /// The channel took it.
    Accepted,
    /// Success outside, refusal inside: the listing is in, named parts of it are not.
    AcceptedWithRejections,
    /// A fault that can heal (5xx, connection refused): retried, burns an attempt.
    Transient,
    /// A rate limit, theirs or ours: retried when it says, burns no attempt.
    Throttled,
    /// It was ended on our side, by no answer and no limit of the channel: retried, burns no attempt. Of attempts alone.
    Stopped,
    /// The credentials are refused: the target waits for new ones, burns no attempt.
    Unauthorised,
    /// A refusal that cannot heal by itself: ends the sync with its reason.
    Rejected,
    /// A time-out or a cut: nobody knows whether it was applied, so the channel is read before anything is resent.
    Unknown,
}

impl OutcomeClass {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Accepted,
        Self::AcceptedWithRejections,
        Self::Transient,
        Self::Throttled,
        Self::Stopped,
        Self::Unauthorised,
        Self::Rejected,
        Self::Unknown,
    ];

    /// The name used in JSON, in rows and in subjects.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::AcceptedWithRejections => "accepted_with_rejections",
            Self::Transient => "transient",
            Self::Throttled => "throttled",
            Self::Stopped => "stopped",
            Self::Unauthorised => "unauthorised",
            Self::Rejected => "rejected",
            Self::Unknown => "unknown",
        }
    }

    /// Whether the channel took the push.
    pub fn succeeded(self) -> bool {
        matches!(self, Self::Accepted | Self::AcceptedWithRejections)
    }

    /// Whether a further attempt can heal it.
    pub fn retriable(self) -> bool {
        matches!(self, Self::Transient | Self::Throttled | Self::Stopped | Self::Unauthorised | Self::Unknown)
    }

    /// Whether something is wrong: it was not taken, and that is neither a matter of time nor our own doing.
    pub fn is_failure(self) -> bool {
        !self.succeeded() && !self.is_held_back()
    }

    /// The names of those that are failures, as tables have them.
    pub fn failures() -> Vec<&'static str> {
        Self::ALL.into_iter().filter(|class| class.is_failure()).map(Self::as_str).collect()
    }

    /// Whether it is a matter of time, or our own doing, that it was not taken: it says nothing of the target.
    pub fn is_held_back(self) -> bool {
        matches!(self, Self::Throttled | Self::Stopped)
    }

    /// The class that an event names for it. Builds of before read no other ones, and do the same after a rate limit; the attempt beside
    /// it says that it was none (`SyncAttempt::class`).
    pub(crate) fn in_event(self) -> Self {
        if self == Self::Stopped { Self::Throttled } else { self }
    }

    /// Whether it counts against the five attempts.
    pub fn burns_attempt(self) -> bool {
        matches!(self, Self::Transient | Self::Unknown)
    }

    /// How a sync job stands after an attempt of this class that ended it.
    pub fn final_outcome(self) -> SyncOutcome {
        match self {
            Self::Accepted => SyncOutcome::Accepted,
            Self::AcceptedWithRejections => SyncOutcome::AcceptedWithRejections,
            Self::Rejected => SyncOutcome::Rejected,
            Self::Unauthorised => SyncOutcome::Unauthorised,
            Self::Transient | Self::Throttled | Self::Stopped | Self::Unknown => SyncOutcome::Exhausted,
        }
    }
}

impl fmt::Display for OutcomeClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a sync job stands, as `outbound_audit` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncOutcome {
    /// Waiting or running.
    Pending,
    /// The channel took it.
    Accepted,
    /// The channel took it but for named parts.
    AcceptedWithRejections,
    /// Nothing differed from what the channel already had, so nothing was sent.
    SkippedUnchanged,
    /// A later change of the same listing took its place before it was sent (latest wins).
    Superseded,
    /// The channel refused it for good.
    Rejected,
    /// The channel refused our rights to this listing.
    Unauthorised,
    /// The attempts ran out.
    Exhausted,
    /// The listing was unlinked or its target deleted before it was sent.
    Cancelled,
}

impl SyncOutcome {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Pending,
        Self::Accepted,
        Self::AcceptedWithRejections,
        Self::SkippedUnchanged,
        Self::Superseded,
        Self::Rejected,
        Self::Unauthorised,
        Self::Exhausted,
        Self::Cancelled,
    ];

    /// The one with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == name)
    }

    /// Whether the channel has at least a part of what was asked for by a sync that ended so.
    pub fn succeeded(self) -> bool {
        matches!(self, Self::Accepted | Self::AcceptedWithRejections | Self::SkippedUnchanged)
    }

    /// Whether a sync that ended so is over without success, and nothing took its place or called it off.
    pub fn failed(self) -> bool {
        matches!(self, Self::Rejected | Self::Unauthorised | Self::Exhausted)
    }

    /// The names of those in which a sync failed, as tables have them.
    pub fn failures() -> Vec<&'static str> {
        Self::ALL.into_iter().filter(|outcome| outcome.failed()).map(Self::as_str).collect()
    }

    /// How a sync ended, or that it has not, as people say it.
    pub fn words(self) -> &'static str {
        match self {
            Self::AcceptedWithRejections => "accepted with rejections",
            Self::SkippedUnchanged => "skipped, as nothing differed",
            other => other.as_str(),
        }
    }

    /// The name used in JSON, in rows and in subjects.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::AcceptedWithRejections => "accepted_with_rejections",
            Self::SkippedUnchanged => "skipped_unchanged",
            Self::Superseded => "superseded",
            Self::Rejected => "rejected",
            Self::Unauthorised => "unauthorised",
            Self::Exhausted => "exhausted",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for SyncOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
