//! When a sync waited: for its first attempt, for each next one from when that was due, and inside of an attempt for a call.

use chrono::{DateTime, Utc};
use domain::call::CallPurpose;
use domain::outcome::OutcomeClass;
use uuid::Uuid;

use super::history::{Attempt, SilentAttempt, SyncStory};

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
/// from when that was due. One that has not ended waits until `now`. Not among them are those in which an attempt was under way, or not
/// given up yet, that ended without a word.
pub(super) fn for_attempts(story: &SyncStory, now: DateTime<Utc>) -> Vec<Span> {
    let mut waits = Vec::new();
    let mut from = Some(story.behind().until);
    for (place, attempt) in story.attempts.iter().filter(|attempt| !attempt.late).enumerate() {
        let silent = attempt.silent.filter(|_| place > 0 || story.fell_silent_first());
        waits.extend(from.into_iter().flat_map(|from| around(from, attempt.attempt.started_at, silent)));
        from = attempt.due_at;
    }
    let end = story.end.as_ref().map_or(now, |end| end.at);
    waits.extend(from.map(|from| (from, end)));
    waits.retain(|(from, to)| from < to);
    waits
}

/// A wait for an attempt, without the time of one before it that ended without a word, as far as that is recorded.
fn around(from: DateTime<Utc>, began: DateTime<Utc>, silent: Option<SilentAttempt>) -> Vec<Span> {
    match silent {
        Some(SilentAttempt { since: Some(since), until, .. }) => {
            let before = (from, since.clamp(from.min(began), began));
            [Some(before), until.map(|until| (until, began))].into_iter().flatten().collect()
        }
        _ => vec![(from, began)],
    }
}

/// A wait that came after its first attempt had begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Again {
    pub time: Span,
    /// The call that it waited to make; `None` where it was the next attempt.
    pub call: Option<(Uuid, CallPurpose)>,
    /// The call before it brought a new token.
    pub new_token: bool,
    /// It waited for the next attempt after one that ended without a word, from when somebody could take the listing over.
    pub after_silent: bool,
    /// An attempt began meanwhile that ended without a word; when, is not recorded.
    pub unheard: bool,
    /// Where the events around it stand in the journal.
    pub positions: (i64, i64),
}

/// The waits after the beginning of its first attempt that are worth a reason, in order.
pub(super) fn again(story: &SyncStory) -> Vec<Again> {
    let mut found = Vec::new();
    let mut before: Option<&Attempt> = None;
    for attempt in story.attempts.iter().filter(|attempt| !attempt.late) {
        let positions = (before.map_or(story.position, |before| before.position), attempt.position);
        let due_at = before.and_then(|before| before.due_at);
        let is_own = before.is_some() || story.fell_silent_first();
        found.extend(next_attempt(due_at, attempt, attempt.silent.filter(|_| is_own), positions));
        found.extend(inside(attempt, positions));
        before = Some(attempt);
    }
    found.retain(|wait| ms(wait.time) >= SHORT_MS);
    found.truncate(TOLD);
    found
}

/// For an attempt from when it was due, where one came before it, and from when it could be made after one that ended without a word.
fn next_attempt(
    due_at: Option<DateTime<Utc>>,
    attempt: &Attempt,
    silent: Option<SilentAttempt>,
    positions: (i64, i64),
) -> Vec<Again> {
    let began = attempt.attempt.started_at;
    let since = silent.and_then(|silent| silent.since);
    let wait = |time: Span, after_silent: bool, unheard: bool| Again {
        time,
        call: None,
        new_token: false,
        after_silent,
        unheard,
        positions,
    };
    let due = due_at.map(|due_at| wait((due_at, since.unwrap_or(began)), false, silent.is_some() && since.is_none()));
    let until = silent.filter(|_| since.is_some()).and_then(|silent| silent.until);
    due.into_iter().chain(until.map(|until| wait((until, began), true, false))).collect()
}

/// Calls of one attempt follow one another, so what is between two of them is a wait.
fn inside(attempt: &Attempt, positions: (i64, i64)) -> impl Iterator<Item = Again> {
    let mut free_from = attempt.attempt.started_at;
    let mut new_token = false;
    attempt.attempt.calls.iter().map(move |call| {
        let time = (free_from, call.started_at);
        let call_for = Some((call.request_id, call.purpose));
        let wait = Again { time, call: call_for, new_token, after_silent: false, unheard: false, positions };
        free_from = call.ended_at();
        new_token = call.purpose == CallPurpose::Token && call.class == OutcomeClass::Accepted;
        wait
    })
}
