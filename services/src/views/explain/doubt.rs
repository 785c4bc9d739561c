//! Why it is not certain that the channel has of a section what it took last. The aggregate sends such a section again in any case;
//! this tells people more, as far as it is recorded: a refusal with an answer wrote nothing, so what was there before is there still.

use chrono::{DateTime, Utc};
use domain::call::CallRecord;
use domain::channel::Section;
use domain::listing::SyncAttempt;
use domain::outcome::OutcomeClass;

/// A definite refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status, 400 to 499.
    pub status: u16,
    /// When the call was made, UTC.
    pub at: DateTime<Utc>,
}

/// Why it is not certain that the channel has of a section what it took last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// It refused whatever it was sent of the section since.
    Refused(Refusal),
    /// Something else may have been written since.
    Unknown,
}

impl Doubt {
    /// After an attempt that left the section in doubt, whatever it was before. What is unknown stays so.
    pub(super) fn after(before: Option<Self>, attempt: &SyncAttempt, section: Section) -> Self {
        match before {
            Some(Self::Unknown) => Self::Unknown,
            // The one before it, of which nobody told, may have written anything.
            _ if attempt.takes_over => Self::Unknown,
            Some(refused) if !attempt.calls.iter().any(|call| may_have_written(call, section)) => refused,
            _ => refusal(attempt, section).map_or(Self::Unknown, Self::Refused),
        }
    }
}

/// A rate limit and refused credentials are no answer to what a call carries.
fn may_have_written(call: &CallRecord, section: Section) -> bool {
    let let_through = !matches!(call.class, OutcomeClass::Throttled | OutcomeClass::Unauthorised);
    let_through && call.purpose.writes().contains(&section)
}

/// The last refusal of a section, where the channel refused every call that carried it.
///
/// A call that was taken may have carried the other section of its kind alone, or a part of this one. A call of both that is refused
/// is made again as one call of each: there are more refusals than sections that were not taken then, and this section was in none
/// that was taken.
fn refusal(attempt: &SyncAttempt, section: Section) -> Option<Refusal> {
    let took = |section: Section| attempt.progress.sections.contains_key(&section);
    let (mut taken, mut refused, mut last) = (0, 0, None);
    for call in attempt.calls.iter().filter(|call| may_have_written(call, section)) {
        match (call.class, call.status) {
            (class, _) if class.succeeded() => taken += 1,
            (OutcomeClass::Rejected, Some(status @ 400..=499)) => {
                refused += 1;
                let not_taken = call.purpose.writes().iter().filter(|one| !took(**one)).count();
                last = Some((Refusal { status, at: call.started_at }, not_taken));
            }
            _ => return None,
        }
    }
    let (refusal, not_taken) = last.filter(|_| !took(section))?;
    (taken == 0 || refused > not_taken).then_some(refusal)
}
