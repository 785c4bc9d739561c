//! What becomes of a message: an end that is counted, or another try after a while.

use std::fmt;
use std::time::Duration;

use adapters::masking::{MaskedProblems, masked};
use domain::retry::doubled;
use domain::unit::Problem;

use crate::commands::CommandError;

/// A message that meets something unreadable comes this often: a newer build, which can read it, may take it meanwhile.
const MOST_TRIES: i64 = 5;
/// The wait before the second try; it doubles with each.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What became of a message. A later one counts for more where listings of one unit differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The unit is kept; no listing follows it.
    Unlinked,
    /// The unit is kept; the listings that follow it are of another account than it is now.
    Elsewhere,
    /// A newer revision was taken before.
    Stale,
    /// This revision was taken before.
    Duplicate,
    /// At least one listing follows.
    Taken,
    /// It is not done; what is done of it already is found to be a duplicate then.
    Failed(Failed),
    /// It cannot be used.
    DeadLetter(MaskedProblems),
}

/// What went wrong with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failed {
    reason: String,
    lasting: bool,
}

impl Failed {
    /// Where, and what; that is told in lines and spans, and may quote what is private. It is `lasting` where it may never get
    /// better: what is stored cannot be read, or the database refuses what is to be stored.
    pub(super) fn new(reason: &str, lasting: bool) -> Self {
        Self { reason: masked(reason), lasting }
    }

    pub(super) fn of<E: fmt::Display>(what: &str, error: &CommandError<E>) -> Self {
        let lasting = matches!(error, CommandError::Unreadable(_) | CommandError::Refused(_));
        Self::new(&format!("{what}: {error}"), lasting)
    }

    /// Without what is private.
    pub(super) fn reason(&self) -> &str {
        &self.reason
    }
}

impl Verdict {
    /// It cannot be used. What is wrong may quote it, and is told without what is private.
    pub(super) fn dead_letter(problems: Vec<Problem>) -> Self {
        Self::DeadLetter(problems.into())
    }

    /// The name in the tally; none for what comes again.
    pub(super) fn name(&self) -> Option<&'static str> {
        match self {
            Self::Taken => Some("taken"),
            Self::Unlinked => Some("unlinked"),
            Self::Elsewhere => Some("other_account"),
            Self::Duplicate => Some("duplicate_revision"),
            Self::Stale => Some("older_revision"),
            Self::DeadLetter(_) => Some("dead_letter"),
            Self::Failed(_) => None,
        }
    }

    /// What logs and traces call it.
    pub(super) fn told(&self) -> &'static str {
        self.name().unwrap_or("comes_again")
    }

    fn weight(&self) -> u8 {
        match self {
            Self::Unlinked => 0,
            Self::Elsewhere => 1,
            Self::Stale => 2,
            Self::Duplicate => 3,
            Self::Taken => 4,
            Self::Failed(failed) => 5 + u8::from(!failed.lasting),
            Self::DeadLetter(_) => 7,
        }
    }

    /// Adds what became of it at one more listing.
    pub(super) fn include(&mut self, other: Self) {
        if other.weight() > self.weight() {
            *self = other;
        }
    }

    /// What has failed often enough for good is a dead letter: it can be replayed once its cause is mended.
    pub(super) fn end_after(&mut self, deliveries: i64) {
        if let Self::Failed(Failed { reason, lasting: true }) = self
            && deliveries >= MOST_TRIES
        {
            *self = Self::dead_letter(vec![Problem { field: "body".to_owned(), reason: std::mem::take(reason) }]);
        }
    }
}

/// How long a message waits that has been delivered so often.
pub(super) fn wait_after(deliveries: i64) -> Duration {
    doubled(FIRST_WAIT, LONGEST_WAIT, u32::try_from(deliveries.max(1)).unwrap_or(u32::MAX))
}
