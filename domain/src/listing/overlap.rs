//! Attempts of one listing that were under way at the same time: one whose holder was frozen or cut off, and that of whoever took the
//! listing over. Which of both the channel got last nobody sees. So what the older one may have written is contested, in whatever order
//! they are told: nobody believes that the channel has it from the newer one. It is sent once more, by a job that is asked for after both.
//!
//! Invariant: no older state stays at the channel because it arrived last.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::call::CallRecord;
use crate::channel::{Section, SectionHashes};
use crate::listing::{ChannelListing, SyncAttempt};

/// As much as the clocks of two hosts may differ.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::seconds(5);

/// Whether an attempt had its turn when it was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Turn {
    /// As far as the journal knew.
    Own,
    /// Its job had ended without it: by another attempt, or as its listing was unlinked.
    JobOver,
    /// A younger one had been recorded: others had the listing while it was under way.
    Lost,
}

/// What an attempt may have written that was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Written {
    /// Its job.
    ordinal: u64,
    /// The newest job by then.
    newest: u64,
    turn: Turn,
    /// Its last call had ended by then, by the clock of its host.
    until: DateTime<Utc>,
    sections: BTreeSet<Section>,
}

impl Written {
    /// `None` of an attempt that surely wrote nothing.
    fn of(attempt: &SyncAttempt, turn: Turn, newest: u64) -> Option<Self> {
        let calls = || attempt.calls.iter().filter(|call| call.may_have_written());
        let sections: BTreeSet<Section> = calls().flat_map(|call| call.purpose.writes()).copied().collect();
        // How long a call took is measured by a clock that may stand while its host does.
        let until = calls().map(CallRecord::ended_at).fold(attempt.finished_at, Ord::max);
        (!sections.is_empty()).then_some(Self { ordinal: attempt.ordinal, newest, turn, until, sections })
    }

    /// A call of it may have come after one of an attempt that is recorded later. Times count from the other's beginning: it may have
    /// read what is there before it wrote what differs.
    fn crosses(&self, attempt: &SyncAttempt) -> bool {
        // Of one job both write the same. What was asked for after this was recorded began after it, whatever the clocks say: so one
        // that is sent again because of this one is never in doubt because of it.
        if attempt.ordinal == self.ordinal || attempt.ordinal > self.newest {
            return false;
        }
        let apart = match self.turn {
            Turn::Lost => CLOCKS_DIFFER,
            // Most likely it is the one whose lease had run out.
            _ if attempt.takes_over => CLOCKS_DIFFER,
            // Next to always its holder had the listing until it was recorded, and the other one began after that.
            Turn::JobOver => TimeDelta::zero(),
            Turn::Own => return false,
        };
        attempt.started_at - self.until < apart
    }
}

impl ChannelListing {
    /// An attempt that had begun after this one was recorded already.
    pub fn knows_younger(&self, attempt: &SyncAttempt) -> bool {
        self.youngest_attempt_at.is_some_and(|youngest| attempt.started_at < youngest)
    }

    /// The newest job ended well, and yet the channel may have something older: an attempt at a job before it may have arrived after it.
    /// Of one that failed nobody believes that the channel has it.
    pub fn is_contested(&self) -> bool {
        self.pending.is_none() && !self.last_failed && !self.contested.is_empty()
    }

    /// The same, where that may be of a section that this payload has.
    pub fn is_contested_in(&self, payload: &SectionHashes) -> bool {
        self.is_contested() && self.contested.keys().any(|section| payload.contains_key(section))
    }

    /// Notes an attempt, and what it may have written; `over` where its job had ended without it. Gives whether it had lost its turn, and
    /// the sections that are contested by it, or of what it sent.
    pub(super) fn note(&mut self, attempt: &SyncAttempt, over: bool) -> (bool, BTreeSet<Section>) {
        self.remember(attempt);
        let overtaken = self.knows_younger(attempt);
        let youngest = self.youngest_attempt_at.map_or(attempt.started_at, |at| at.max(attempt.started_at));
        self.youngest_attempt_at = Some(youngest);
        let turn = match (overtaken, over) {
            (true, _) => Turn::Lost,
            (false, true) => Turn::JobOver,
            (false, false) => Turn::Own,
        };
        let written = Written::of(attempt, turn, self.last_ordinal);
        let contested = if turn == Turn::Own {
            let crossing = self.written.iter().filter(|other| other.crosses(attempt));
            crossing.flat_map(|other| other.sections.iter().copied()).collect()
        } else {
            // What the newest job wants is what it wrote, where that was its own.
            let older = written.as_ref().filter(|_| attempt.ordinal < self.last_ordinal);
            older.map(|written| written.sections.clone()).unwrap_or_default()
        };
        // Whoever is told from now on began later than those that ended before the youngest did, or has lost its turn.
        self.written.retain(|other| youngest - other.until < CLOCKS_DIFFER);
        self.written.extend(written);
        (overtaken, contested)
    }

    /// Nothing of these sections is believed until an attempt gets them through.
    pub(super) fn contest(&mut self, sections: BTreeSet<Section>) {
        self.accepted.sections.retain(|section, _| !sections.contains(section));
        let newest = self.last_ordinal;
        self.contested.extend(sections.into_iter().map(|section| (section, newest)));
    }
}
