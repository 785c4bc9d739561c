//! How a listing stood at each time, as far back as an attempt may have begun that is told only now: what such a one had to send follows from
//! how it stood then, and not from what others have had taken since.

use std::collections::VecDeque;

use chrono::{DateTime, TimeDelta, Utc};
use domain::channel::{Section, SectionHashes};
use domain::listing::{ChannelListing, SyncAttempt};

use super::{History, SyncStory};

/// States that are kept beside that of now.
const KEPT: usize = 20;
/// As much as the clocks of two hosts may differ.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::seconds(5);
/// What an attempt has to send is decided a while before it begins: a lease at the longest, where the database is slow.
const DECIDED_BEFORE: TimeDelta = TimeDelta::seconds(45);

/// What decides what an attempt has to send, beside its sync.
#[derive(Debug, Clone)]
pub(super) struct State {
    /// What the channel had taken last.
    accepted: SectionHashes,
    /// It had an id there.
    existed: bool,
}

impl State {
    pub(super) fn of(listing: &ChannelListing) -> Self {
        Self { accepted: listing.accepted().sections.clone(), existed: listing.external_id().is_some() }
    }

    /// Whether the listing stands so.
    pub(super) fn is_of(&self, listing: &ChannelListing) -> bool {
        self.accepted == listing.accepted().sections && self.existed == listing.external_id().is_some()
    }
}

/// The states before that of now, in order, each with the time until which it stood so, UTC.
#[derive(Debug, Clone, Default)]
pub(super) struct Stood {
    before: VecDeque<(DateTime<Utc>, State)>,
    /// Until when those stood that are not kept any more.
    forgotten: Option<DateTime<Utc>>,
}

impl Stood {
    /// It stands otherwise from a time on.
    pub(super) fn end(&mut self, state: State, at: DateTime<Utc>) {
        self.before.push_back((at, state));
        if self.before.len() > KEPT {
            self.forgotten = self.before.pop_front().map(|(until, _)| until);
        }
    }

    /// How it may have stood when an attempt began, by a clock that differs a little from the journal's; `None` where not all of that is
    /// kept. `now` is how it stands since the last of them.
    fn at(&self, began: DateTime<Utc>, now: State) -> Option<Vec<State>> {
        let is_before = |until: DateTime<Utc>| began - until > DECIDED_BEFORE;
        let is_after = |since: DateTime<Utc>| since - began > CLOCKS_DIFFER;
        if self.forgotten.is_some_and(|until| !is_before(until)) {
            return None;
        }
        let ended = self.before.iter().filter(|(until, _)| !is_before(*until));
        let mut since: Option<DateTime<Utc>> = None;
        let mut found = Vec::new();
        for (until, state) in ended {
            if since.is_none_or(|since| !is_after(since)) {
                found.push(state.clone());
            }
            since = Some(*until);
        }
        if since.is_none_or(|since| !is_after(since)) {
            found.push(now);
        }
        Some(found)
    }
}

impl History {
    /// The sections that an attempt which was told just now may have sent: those that it had to. What is known when it is told late is
    /// not what was known when it began.
    pub(super) fn may_have_sent(&self, attempt: &SyncAttempt) -> Vec<Section> {
        let story = self.sync(attempt.sync_id);
        let sent = if self.listing.knows_younger(attempt) {
            story.and_then(|story| self.had_to_send(story, attempt))
        } else {
            let told = story.and_then(|story| story.attempts.last()).filter(|told| !told.late);
            told.map(|told| told.needs.clone())
        };
        sent.unwrap_or_else(|| Section::ALL.to_vec())
    }

    /// What one had to send that others overtook, where that is known: what differed however the listing may have stood by then.
    fn had_to_send(&self, story: &SyncStory, attempt: &SyncAttempt) -> Option<Vec<Section>> {
        let states = self.stood.at(attempt.started_at, State::of(&self.listing))?;
        let all = story.forced || attempt.takes_over || states.iter().any(|state| !state.existed);
        let sections = story
            .request
            .sections
            .iter()
            .filter(|(section, hash)| all || states.iter().any(|state| state.accepted.get(section) != Some(hash)));
        Some(sections.map(|(section, _)| *section).collect())
    }
}
