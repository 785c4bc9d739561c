//! What was sent of a listing while its channel was read for a comparison: what was read of that may be older than what was sent last, or
//! newer than what is known to be sent.

use chrono::{DateTime, Utc};
use domain::call::{CallPurpose, CallRecord};
use domain::channel::Section;
use domain::difference::Differences;
use domain::ids::SyncId;

use crate::views::explain::history::{Attempt, History};

/// What was sent while a listing was read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Meanwhile {
    /// The sections that a call may have written which had not ended when the reading began.
    written: Vec<Section>,
    /// The sync of which an attempt was under way when it had ended.
    pub under_way: Option<SyncId>,
}

impl Meanwhile {
    /// By the journal after the reading, whose calls these are. `in_hand` is the sync for which a dispatcher had the listing after it and
    /// before the journal was read.
    pub fn of(history: &History, in_hand: Option<u64>, reads: &[CallRecord], read_at: DateTime<Utc>) -> Self {
        let reads = reads.iter().filter(|call| call.purpose == CallPurpose::ReadBack);
        let began = reads.map(|call| call.started_at).min().unwrap_or(read_at);
        let attempts = history.syncs.iter().flat_map(|story| &story.attempts);
        let calls = attempts.flat_map(|told| &told.attempt.calls);
        let written = calls.filter(|call| call.may_have_written() && call.ended_at() >= began);
        let mut written: Vec<Section> = written.flat_map(|call| call.purpose.writes()).copied().collect();
        written.sort_unstable();
        written.dedup();
        let in_hand = history.syncs.iter().find(|story| Some(story.request.ordinal) == in_hand);
        let is_told = |last: &Attempt| last.attempt.finished_at >= read_at;
        let under_way = in_hand.filter(|story| !story.attempts.last().is_some_and(is_told));
        Self { written, under_way: under_way.map(|story| story.request.sync_id) }
    }

    /// The sections of which nobody can tell how they compare. They are taken out of the differences.
    pub fn unclear(&self, differences: &mut Differences, unread: Vec<Section>) -> Vec<Section> {
        let mut unclear = unread;
        let of_another_time = differences
            .sections
            .extract_if(.., |section| section.unexpected > 0 && self.written.contains(&section.section));
        unclear.extend(of_another_time.map(|section| section.section));
        unclear.sort_unstable();
        unclear
    }
}
