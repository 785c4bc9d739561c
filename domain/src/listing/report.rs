//! What the dispatcher tells a listing about an attempt.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::call::CallRecord;
use crate::channel::{RejectedPart, SectionHashes};
use crate::ids::{ExternalId, SyncId};
use crate::outcome::OutcomeClass;

/// What an attempt got done, whether or not it succeeded as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Progress {
    /// The listing's id at the channel, if this attempt learned it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<ExternalId>,
    /// The id that a creation was given instead, where nothing proves that it is the listing's. Older builds knew of none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unproved: Option<ExternalId>,
    /// Sections that the channel took.
    #[serde(default, skip_serializing_if = "SectionHashes::is_empty")]
    pub sections: SectionHashes,
}

/// An attempt that ended without a word: its dispatcher let the lease of the listing run out, as it died or was cut off. Of several in a row,
/// all of them. Times are of the database's clock, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silent {
    /// The job that the first one had the listing for, by its ordinal.
    pub ordinal: u64,
    /// The same of the last one.
    pub last_ordinal: u64,
    /// When the first one took the listing up. Older builds did not note that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<DateTime<Utc>>,
    /// Until when nobody could take it over from the last one; `None` where whoever did let it go again without an attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq)]
pub struct SyncReport {
    /// The sync.
    pub sync_id: SyncId,
    /// Its ordinal within the listing.
    pub ordinal: u64,
    /// An attempt before it ended without a word, so that nobody knew what the channel had when it began.
    pub takes_over: bool,
    /// What is known of that one.
    pub silent: Option<Silent>,
    /// When the attempt started, UTC.
    pub started_at: DateTime<Utc>,
    /// When it ended, UTC.
    pub finished_at: DateTime<Utc>,
    /// How it ended; `None` where nothing differed, so nothing was sent.
    pub class: Option<OutcomeClass>,
    /// Why, in words, where it did not simply succeed.
    pub detail: Option<String>,
    /// What it got done.
    pub progress: Progress,
    /// Parts that were refused, by the mapping or by the channel.
    pub rejected: Vec<RejectedPart>,
    /// Every call it made.
    pub calls: Vec<CallRecord>,
    /// No further attempt can help, whatever the class says.
    pub hopeless: bool,
    /// When the next attempt is due, should there be one, UTC.
    pub retry_at: DateTime<Utc>,
    /// How many attempts there are in all.
    pub max_attempts: u32,
}
