//! The port behind which every channel stands. The dispatcher knows nothing but this; a channel's adapter is given the
//! sections to push, a source of slots for its calls, and a place to note that it is about to create.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::call::{CallPurpose, CallRecord};
use crate::channel::{Bodies, ListingPayload, RejectedPart, Section};
use crate::difference::Differences;
use crate::ids::{ExternalId, ListingId, UnitId};
use crate::listing::Progress;
use crate::outcome::OutcomeClass;
use crate::target::Target;
use crate::unit::Night;
use crate::window::Scope;

/// A listing to be brought to a payload.
#[derive(Debug, Clone, Copy)]
pub struct Push<'a> {
    /// The target: where, and with which credentials.
    pub target: &'a Target,
    /// The listing.
    pub listing_id: ListingId,
    /// The unit it shows.
    pub unit_id: &'a UnitId,
    /// Its id at the channel; `None` means that it is to be created.
    pub external_id: Option<&'a ExternalId>,
    /// The id that an earlier creation was given, and that nothing has proved to be the listing's: nothing is created beside it.
    pub unproved: Option<&'a ExternalId>,
    /// The whole payload.
    pub payload: &'a ListingPayload,
    /// The sections to push, most urgent first.
    pub needs: &'a [Section],
    /// How the last attempt ended is unknown: read the channel before anything is sent.
    pub verify_first: bool,
}

/// How a push ended.
#[derive(Debug, Clone, PartialEq)]
pub struct PushReport {
    /// What happens next, together with `credentials_refused`.
    pub class: OutcomeClass,
    /// Why, in words, where it did not simply succeed.
    pub detail: Option<String>,
    /// What got done, also when the whole failed.
    pub progress: Progress,
    /// Parts that the channel refused.
    pub rejected: Vec<RejectedPart>,
    /// Every call that was made.
    pub calls: Vec<CallRecord>,
    /// Not before this, UTC, where the channel said so.
    pub retry_at: Option<DateTime<Utc>>,
    /// The refusal is of the target's credentials as a whole, not of one listing.
    pub credentials_refused: bool,
    /// The secret that holds now was refused, and the one from before a rotation served: in words.
    pub new_secret_refused: Option<String>,
}

/// A listing to be read, for a comparison with what was sent.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    /// The target: where, and with which credentials.
    pub target: &'a Target,
    /// The listing's id at the channel.
    pub external_id: &'a ExternalId,
    /// The sections that were sent: what is read is what tells of them.
    pub sent: &'a Bodies<'a>,
}

/// What a channel says of a listing.
#[derive(Debug)]
pub struct ReadReport {
    /// `Accepted` where all of it was read.
    pub class: OutcomeClass,
    /// Why not, in words.
    pub detail: Option<String>,
    /// What was read, where all of it was.
    pub found: Option<Box<dyn Found>>,
    /// Every call that was made.
    pub calls: Vec<CallRecord>,
    /// What keeps the listing from being what was sent, whatever its fields are.
    pub standing: Standing,
}

/// A listing as its channel had it when it was read. It is compared afterwards: what was sent last may have changed while the reading
/// waited for its slots.
pub trait Found: fmt::Debug + Send + Sync {
    /// Compares it with what was sent. Nights before `from` are past and do not count.
    fn compare(&self, sent: &Bodies<'_>, from: Night) -> Compared;
}

/// How what was read compares with what was sent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Compared {
    /// Where the channel has something else than what was sent: only in fields that are ours, and none where two spellings mean
    /// the same there. What the channel may not say back is not in it.
    pub differences: Differences,
    /// Sections of which not all was read that was sent.
    pub unread: Vec<Section>,
}

/// How a listing stands at its channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Standing {
    /// It is there, as far as was read.
    #[default]
    There,
    /// It is in the channel's archive, where nothing is sold and nothing can be changed.
    Archived,
    /// There is no such listing.
    Gone,
}

/// How a check of a target ended.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckReport {
    /// The class: accepted where the target answers and takes the credentials.
    pub class: OutcomeClass,
    /// Why, in words, where it did not simply succeed.
    pub detail: Option<String>,
    /// Every call that was made.
    pub calls: Vec<CallRecord>,
    /// The refusal is of the target's credentials as a whole.
    pub credentials_refused: bool,
}

/// What was sent of a call that ended without an answer may reach the channel for so long after that: until then the system repeats
/// what nobody has acknowledged. An adapter sees to it that it gives it up by then. Where the other end acknowledges bit by bit, a large body
/// that had not left by the time-out may take longer; no setting of the system bounds that.
pub const LATE_ARRIVAL: Duration = Duration::from_secs(5);

/// Permission for one call: one slot in every scope that the call falls under.
pub trait Permit: Send {
    /// Whether a call may still start with it. One that was held for too long is given back as unused.
    fn can_start(&self) -> bool;

    /// The call starts at this moment.
    fn starts(&self);

    /// The call ended at this moment, with an answer: the slot comes back after the window.
    fn answered(self: Box<Self>);

    /// The call ended at this moment without an answer: it may arrive yet, so the slot comes back [`LATE_ARRIVAL`] after the window.
    fn unanswered(self: Box<Self>);

    /// The call was refused by a rate limit of `scope` until `until`, UTC: nothing starts there before.
    fn throttled(self: Box<Self>, scope: ThrottledScope, until: DateTime<Utc>);

    /// The call was not made: the slot comes back at once.
    fn unused(self: Box<Self>);
}

/// The scope that a channel named in its refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThrottledScope {
    /// The account at the channel.
    Account,
    /// The address that the call left from.
    Egress,
}

impl ThrottledScope {
    /// The scope of this kind that a target's calls fall under.
    pub fn of(self, target: &Target, egress: &str) -> Scope {
        match self {
            Self::Account => target.account_scope(),
            Self::Egress => Scope::Egress(egress.to_owned()),
        }
    }
}

/// Why a push is ended on our side, in the middle of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    /// The process ends.
    #[error("the dispatcher is stopping")]
    Stopping,
    /// Somebody paused the target.
    #[error("the target was paused")]
    Paused,
    /// Somebody deleted it.
    #[error("the target was deleted")]
    Deleted,
    /// Another call of the target has shown that.
    #[error("the channel refuses the target's credentials")]
    CredentialsRefused,
    /// Its circuit was opened.
    #[error("the target failed again and again, and is left alone until a check of it is answered")]
    CircuitOpen,
    /// The lease was not extended in time.
    #[error("the lease ran out, and the listing may be in another dispatcher's hands")]
    OtherHands,
    /// A failover or a restore came between: leases and events of just before it may be lost.
    #[error("the database is on another server, or was restored, and may not know of what was begun")]
    DatabaseMoved,
}

/// Why a call may not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoSlot {
    /// What it is a part of is ended.
    #[error("no further calls are made: {0}")]
    Stopped(Stopped),
    /// None came free for as long as it was waited for.
    #[error("no slot came free in time")]
    NoneFree,
    /// Another creation of this listing may still be on its way.
    #[error("{reason}")]
    Creation {
        /// In words.
        reason: String,
        /// When it may be tried again, UTC.
        retry_at: DateTime<Utc>,
    },
}

/// Why a push does not write to a listing at the channel that it has found by our reference, or that it was told to have made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotOurs {
    /// Another listing of the target, or of another one of its account, holds it, in words.
    #[error("{0}")]
    Held(String),
    /// Nobody could say whether one does.
    #[error("{0}")]
    Unknown(String),
}

/// Where a channel gets the slots for its calls from while it works on a push, a read or a check.
#[async_trait]
pub trait SlotSource: Send + Sync {
    /// Waits for a slot. Every HTTP request needs one, token requests and look-ups too.
    ///
    /// A slot for [`CallPurpose::Create`] is given only after it is written down that the listing is about to be
    /// created. A second one in the same push says that the channel refused the first call.
    async fn slot(&self, purpose: CallPurpose, urgency: Section) -> Result<Box<dyn Permit>, NoSlot>;

    /// Whether a push may write to a listing at the channel whose id it has just learned, by a look-up or from the answer to a creation. Asked
    /// before the first such call: our reference stays on a listing there that was given to another one of ours, until that one is sent, and
    /// an answer may name anybody's, `was_made` where it is one. Who never pushes need not say anything.
    async fn may_write_to(&self, _learned: &ExternalId, _was_made: bool) -> Result<(), NotOurs> {
        Ok(())
    }
}

/// A channel.
#[async_trait]
pub trait Channel: Send + Sync {
    /// Brings a listing to its payload. Never panics and never retries by itself: one attempt, one report.
    async fn push(&self, push: Push<'_>, slots: &dyn SlotSource) -> PushReport;

    /// Reads a listing and changes nothing. Its calls take slots like all others.
    async fn read(&self, reading: Reading<'_>, slots: &dyn SlotSource) -> ReadReport;

    /// Finds out whether a target answers and takes the credentials, by the cheapest call that tells. Never retries.
    async fn check(&self, target: &Target, slots: &dyn SlotSource) -> CheckReport;
}
