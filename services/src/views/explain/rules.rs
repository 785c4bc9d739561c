//! Which rules applied to a sync.

use chrono::{DateTime, Utc};
use domain::call::{CallPurpose, CallRecord};
use domain::channel::Section;
use domain::outcome::OutcomeClass;
use domain::retry::RetryPolicy;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::held::{Held, HeldBy, covered};
use super::history::{Attempt, SilentAttempt, SyncStory};
use super::sync::ExplainedSync;
use super::waited::{AgainFor, Waited, Windows};
use super::waits::ms;

/// A rule that applied to a sync.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "rule", rename_all = "snake_case")]
pub enum Rule {
    /// It is what was sent last, so nothing was sent. The sync's `compared_with` has what of that the channel did not take.
    SkippedUnchanged {
        /// It was seen when an attempt began, not when the sync was asked for.
        at_attempt: bool,
    },
    /// Somebody asked for it, so every section is sent, whatever the channel has.
    Forced,
    /// Somebody asked for an earlier one, which had not ended when its place was taken: every section is sent.
    StaysForced,
    /// Latest wins: a later sync took its place.
    CoalescedInto {
        /// The later one.
        sync_id: Uuid,
        /// It had been sent, or tried, by then or after all.
        attempted: bool,
        /// A dispatcher took the listing up for it and has it still: an attempt of it that had begun goes on, and what comes of
        /// that is not known yet.
        goes_on: bool,
        /// No attempt of it is told, but one had begun, and nobody has told how it ended.
        may_have_been_sent: bool,
    },
    /// Latest wins: it took the place of one that had not ended.
    TookPlaceOf {
        /// The earlier one.
        sync_id: Uuid,
    },
    /// It waited from its request to its first attempt.
    Waited(FirstWait),
    /// It waited once more: for a call inside of an attempt, or for its next attempt.
    WaitedAgain(WaitedAgain),
    /// Something held it while it waited; what holds one that has not ended is told by `next`.
    Held(Held),
    /// An attempt failed in a way that can heal, and another one was planned.
    Retried {
        /// Which attempt it was, of those that burn one.
        attempt: u32,
        /// Attempts in all.
        of: u32,
        /// How it ended.
        class: &'static str,
        /// When the next one was due; `null` where the channel refused the credentials, so that it waits until there are
        /// others, the target is resumed, or a check succeeds.
        due_at: Option<DateTime<Utc>>,
        /// It did not burn an attempt: a rate limit, refused credentials, or an end on our side (`stopped`).
        free: bool,
    },
    /// An attempt before this one ended without a word. Nobody knew what the channel had, so everything was to be sent.
    TookOver {
        /// When this one began.
        at: DateTime<Utc>,
        /// Whose attempt that was; `null`, as the two times may be, where it is not recorded.
        sync_id: Option<Uuid>,
        /// When it began.
        since: Option<DateTime<Utc>>,
        /// Until when nobody could take the listing over.
        until: Option<DateTime<Utc>>,
    },
    /// Nobody knew what an attempt before this one had written, so the channel was read before anything was sent.
    ReadFirst {
        /// When it was read.
        at: DateTime<Utc>,
        /// Sections that it had already, so that they were not sent. A section of nights is not among them where other nights were sent.
        there: Vec<&'static str>,
    },
    /// The channel refused a call of two sections as a whole: what it carried was sent apart, so that what is bad stops only itself.
    SentApart {
        /// The call.
        request_id: Uuid,
        /// When it was made.
        at: DateTime<Utc>,
        /// What it was for.
        purpose: &'static str,
    },
    /// The attempts ran out.
    Exhausted {
        /// How many there are.
        of: u32,
    },
    /// It created the listing, after the intent was written down.
    Created {
        /// When the call was about to be made.
        at: DateTime<Utc>,
    },
    /// Parts were left out, by the mapping or by the channel.
    LeftOut {
        /// How many.
        parts: usize,
    },
}

/// The wait from the request to the first attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FirstWait {
    /// How long.
    pub ms: i64,
    /// For how much of that, at its beginning, an attempt of another sync of the listing was under way: two at once there are none.
    /// What follows is about the time after it.
    pub behind_ms: i64,
    /// Those other syncs.
    pub behind: Vec<Uuid>,
    /// That one of them whose attempt ended without a word: until its lease ran out, nobody could take the listing over.
    pub behind_silent: Option<Uuid>,
    /// An attempt of this one began meanwhile that ended without a word; when, is not recorded. Where it is, the wait ends there.
    pub unheard: bool,
    /// For how much of the rest something held it: see `held`.
    pub held_ms: i64,
    /// It is known when the target's circuit was open in that time.
    pub circuit_known: bool,
    /// How the windows stood meanwhile.
    #[serde(flatten)]
    pub windows: Windows,
}

/// A wait after the first attempt had begun: for a call inside of an attempt, or for the next attempt from when that was due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct WaitedAgain {
    /// The call that it waited to make; `null` where it was the next attempt.
    pub request_id: Option<Uuid>,
    /// What that call was for.
    pub purpose: Option<&'static str>,
    /// From when.
    pub from: DateTime<Utc>,
    /// How long.
    pub ms: i64,
    /// For how much of that something held it: see `held`.
    pub held_ms: i64,
    /// An attempt before this one ended without a word, and `from` is when somebody could take the listing over.
    pub after_silent: bool,
    /// An attempt began meanwhile that ended without a word; when, is not recorded.
    pub unheard: bool,
    /// The call before brought a new token, which channels take only after a moment.
    pub new_token: bool,
    /// For how much of it another sync, of a target with the same account and secret, was getting a new token, or had one that channels
    /// do not take yet.
    pub token_ms: i64,
    /// How the windows stood meanwhile.
    #[serde(flatten)]
    pub windows: Windows,
}

fn again(AgainFor { wait, windows, token_ms }: &AgainFor, held: &[Held]) -> Rule {
    let (request_id, purpose) = wait.call.map(|(id, purpose)| (id, purpose.as_str())).unzip();
    Rule::WaitedAgain(WaitedAgain {
        request_id,
        purpose,
        from: wait.time.0,
        ms: ms(wait.time),
        held_ms: covered(wait.time, held.iter().map(Held::span)),
        after_silent: wait.after_silent,
        unheard: wait.unheard,
        new_token: wait.new_token,
        token_ms: *token_ms,
        windows: *windows,
    })
}

/// When the channel was read because nobody knew what it had, and which sections it had already.
fn read_first(told: &Attempt) -> Option<(DateTime<Utc>, Vec<&'static str>)> {
    let calls = || told.attempt.calls.iter().filter(|call| call.purpose != CallPurpose::Token);
    let reads = |call: &&CallRecord| matches!(call.purpose, CallPurpose::ReadBack | CallPurpose::Lookup);
    let first = calls().next().filter(reads).filter(|_| told.verified)?;
    // A call for photos alone has no content in it.
    let writes = |call: &CallRecord, section: Section| match call.purpose {
        CallPurpose::Images => section == Section::Images,
        purpose => purpose.writes().contains(&section),
    };
    let took = told.attempt.progress.sections.keys().copied();
    let there = took.filter(|section| !calls().any(|call| writes(call, *section)));
    Some((first.started_at, there.map(Section::as_str).collect()))
}

/// Rules with when they applied.
struct Told {
    since: DateTime<Utc>,
    rules: Vec<(DateTime<Utc>, Rule)>,
}

impl Told {
    /// Clocks of hosts differ a little: nothing of a sync was before it was asked for.
    fn add(&mut self, at: DateTime<Utc>, rule: Rule) {
        self.rules.push((at.max(self.since), rule));
    }

    /// In the order in which they applied; those of one moment as they were told.
    fn in_order(mut self) -> Vec<Rule> {
        self.rules.sort_by_key(|(at, _)| *at);
        self.rules.into_iter().map(|(_, rule)| rule).collect()
    }
}

/// What may have become of a sync whose place was taken, beside what is told of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Untold {
    /// An attempt of it may be under way.
    pub goes_on: bool,
    /// One had begun, and nobody has told how it ended.
    pub may_have_been_sent: bool,
}

/// The rules that applied, in the order in which they did.
pub(super) fn rules(
    story: &SyncStory,
    explained: &ExplainedSync,
    waited: &Waited,
    held: HeldBy,
    apart: &[Uuid],
    untold: &Untold,
) -> Vec<Rule> {
    let asked_at = story.requested_at;
    let mut told = Told { since: asked_at, rules: Vec::new() };
    if story.skipped {
        told.add(asked_at, Rule::SkippedUnchanged { at_attempt: false });
    } else if explained.forced {
        told.add(asked_at, if story.request.cause.forces() { Rule::Forced } else { Rule::StaysForced });
    }
    if let Some(earlier) = story.supersedes {
        told.add(asked_at, Rule::TookPlaceOf { sync_id: earlier.0 });
    }
    waits(&mut told, story, waited, held);
    if let Some(at) = story.creation_at {
        told.add(at, Rule::Created { at });
    }
    for attempt in &story.attempts {
        of_attempt(&mut told, attempt, apart);
    }
    let last = story.attempts.last();
    let ended_at = last.map_or(asked_at, |last| last.attempt.finished_at);
    let most = RetryPolicy::default().max_attempts;
    let burned = last.filter(|last| last.class.is_some_and(OutcomeClass::burns_attempt));
    if explained.outcome == "exhausted" && burned.is_some_and(|last| last.attempt.attempt >= most) {
        told.add(ended_at, Rule::Exhausted { of: most });
    }
    if let Some(later) = story.superseded_by {
        let attempted = !story.attempts.is_empty();
        let at = story.superseded_at.unwrap_or(ended_at);
        let Untold { goes_on, may_have_been_sent } = *untold;
        told.add(at, Rule::CoalescedInto { sync_id: later.0, attempted, goes_on, may_have_been_sent });
    }
    if !explained.refused.is_empty() {
        told.add(ended_at, Rule::LeftOut { parts: explained.refused.len() });
    }
    told.in_order()
}

/// What it waited for, and what held it.
fn waits(told: &mut Told, story: &SyncStory, waited: &Waited, held: HeldBy) {
    let asked_at = story.requested_at;
    if let (Some(began), Some(windows)) = (story.began(), waited.first) {
        let behind = story.behind();
        let silent = story.attempts.first().and_then(|first| first.silent).filter(|_| story.fell_silent_first());
        let wait = FirstWait {
            ms: ms((asked_at, began)),
            behind_ms: ms((asked_at, behind.until)),
            behind: behind.syncs.into_iter().map(|sync| sync.0).collect(),
            behind_silent: behind.silent.map(|sync| sync.0),
            unheard: silent.is_some_and(|silent| silent.since.is_none()),
            held_ms: held.first_ms,
            circuit_known: held.circuit_known,
            windows,
        };
        told.add(asked_at, Rule::Waited(wait));
    }
    for waited in &waited.again {
        told.add(waited.wait.time.0, again(waited, &held.held));
    }
    for held in held.held {
        told.add(held.from, Rule::Held(held));
    }
}

/// What an attempt did otherwise than just send what differed.
fn of_attempt(told: &mut Told, attempt: &Attempt, apart: &[Uuid]) {
    let (began_at, ended_at) = (attempt.attempt.started_at, attempt.attempt.finished_at);
    if let Some(SilentAttempt { sync_id, since, until, .. }) = attempt.silent {
        let sync_id = sync_id.map(|sync| sync.0);
        told.add(since.unwrap_or(began_at), Rule::TookOver { at: began_at, sync_id, since, until });
    }
    if let Some((at, there)) = read_first(attempt) {
        told.add(at, Rule::ReadFirst { at, there });
    }
    for call in attempt.attempt.calls.iter().filter(|call| apart.contains(&call.request_id)) {
        let (request_id, at, purpose) = (call.request_id, call.started_at, call.purpose.as_str());
        told.add(at, Rule::SentApart { request_id, at, purpose });
    }
    match (attempt.class, attempt.due_at) {
        (None, _) => told.add(ended_at, Rule::SkippedUnchanged { at_attempt: true }),
        (Some(class), Some(due_at)) => {
            let retried = Rule::Retried {
                attempt: attempt.attempt.attempt,
                of: RetryPolicy::default().max_attempts,
                class: class.as_str(),
                due_at: Some(due_at).filter(|_| !attempt.waits_for_credentials()),
                free: !class.burns_attempt(),
            };
            told.add(ended_at, retried);
        }
        (Some(_), None) => {}
    }
}
