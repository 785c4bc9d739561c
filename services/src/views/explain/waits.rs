//! When a sync waited: for its first attempt, for each next one from when that was due, and inside of an attempt for a call.

use chrono::{DateTime, TimeDelta, Utc};
use domain::call::{CallPurpose, CallRecord};
use domain::outcome::OutcomeClass;
use uuid::Uuid;

use super::history::{Attempt, SyncStory};

/// A wait of less is not worth a reason.
pub(super) const SHORT_MS: i64 = 1_000;
/// Waits after the first one that are told, of one sync.
const TOLD: usize = 25;

/// A time, UTC.
pub(super) type Span = (DateTime<Utc>, DateTime<Utc>);

/// How long a time is; nothing where it ends before it begins.
pub(super) fn ms((from, to): Span) -> i64 {
    (to - from).num_milliseconds().max(0)
}

/// The times in which a sync waited for an attempt: the first, once no attempt of another sync was under way, and each next one
/// from when that was due. One that has not ended waits until `now`.
pub(super) fn for_attempts(story: &SyncStory, now: DateTime<Utc>) -> Vec<Span> {
    let mut begins = vec![story.behind().until];
    let attempts = story.attempts.iter().filter(|attempt| !attempt.late);
    begins.extend(attempts.clone().filter_map(|attempt| attempt.due_at));
    let attempts = attempts.map(|attempt| attempt.attempt.started_at);
    let end = story.end.as_ref().map_or(now, |end| end.at);
    begins.into_iter().zip(attempts.chain([end])).filter(|(from, to)| from < to).collect()
}

/// A wait that came after its first attempt had begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Again {
    pub time: Span,
    /// The call that it waited to make; `None` where it was the next attempt.
    pub call: Option<(Uuid, CallPurpose)>,
    /// The call before it brought a new token.
    pub new_token: bool,
    /// Where the events around it stand in the journal.
    pub positions: (i64, i64),
}

/// The waits after the beginning of its first attempt that are worth a reason, in order.
pub(super) fn again(story: &SyncStory) -> Vec<Again> {
    let mut found = Vec::new();
    let mut before: Option<&Attempt> = None;
    for attempt in story.attempts.iter().filter(|attempt| !attempt.late) {
        let positions = (before.map_or(story.position, |before| before.position), attempt.position);
        let began = attempt.attempt.started_at;
        if let Some(due_at) = before.and_then(|before| before.due_at) {
            found.push(Again { time: (due_at, began), call: None, new_token: false, positions });
        }
        found.extend(inside(attempt, positions));
        before = Some(attempt);
    }
    found.retain(|wait| ms(wait.time) >= SHORT_MS);
    found.truncate(TOLD);
    found
}

/// Calls of one attempt follow one another, so what is between two of them is a wait.
fn inside(attempt: &Attempt, positions: (i64, i64)) -> impl Iterator<Item = Again> {
    let mut free_from = attempt.attempt.started_at;
    let mut new_token = false;
    attempt.attempt.calls.iter().map(move |call| {
        let time = (free_from, call.started_at);
        let wait = Again { time, call: Some((call.request_id, call.purpose)), new_token, positions };
        free_from = ended(call);
        new_token = call.purpose == CallPurpose::Token && call.class == OutcomeClass::Accepted;
        wait
    })
}

fn ended(call: &CallRecord) -> DateTime<Utc> {
    let took = i64::try_from(call.duration_ms).ok().and_then(TimeDelta::try_milliseconds).unwrap_or_default();
    call.started_at.checked_add_signed(took).unwrap_or(call.started_at)
}
