//! Attempts that were recorded, known again by their job and by when they had started. The answer to the command that records one may be
//! lost on its way: told again, it is not a second attempt, whatever others have told in between.

use crate::listing::{ChannelListing, SyncAttempt, SyncReport};

/// So many are known. Whoever tells an attempt again does so every 2 s, while others, which have the listing by then, wait for their turns
/// and their retries.
const KNOWN: usize = 8;

impl ChannelListing {
    /// Whether this attempt is one of the last that were recorded. States that older builds kept tell of one, and not of which job it was.
    pub(super) fn has_recorded(&self, report: &SyncReport) -> bool {
        if self.told_attempts.is_empty() {
            return self.last_attempt_at == Some(report.started_at);
        }
        self.told_attempts.contains(&(report.ordinal, report.started_at))
    }

    pub(super) fn remember(&mut self, attempt: &SyncAttempt) {
        self.last_attempt_at = Some(attempt.started_at);
        self.told_attempts.push((attempt.ordinal, attempt.started_at));
        let surplus = self.told_attempts.len().saturating_sub(KNOWN);
        self.told_attempts.drain(..surplus);
    }
}
