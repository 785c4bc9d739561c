//! The answer to "why": a sync of a listing, from the change that asked for it to the channel's answer, which rules applied,
//! and what is next. One structure, from recorded facts alone; [`words`] tells it in plain words.

mod cancelled;
mod crowd;
pub mod doubt;
pub mod find;
mod held;
pub mod history;
mod limits;
pub mod next;
pub mod now;
mod pauses;
mod rules;
mod sync;
mod tokens;
mod waited;
mod waits;
pub mod words;

use std::ops::DerefMut;

use chrono::{DateTime, Utc};
use domain::channel::RejectedPart;
use domain::difference::MOST_FIELDS;
use domain::ids::{ExternalId, ListingId, SyncId};
use domain::listing::{Link, LinkState, ListingError};
use domain::target::{Lifecycle, Target, TargetError};
use serde::Serialize;
use sqlx::{PgConnection, PgPool};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::commands::CommandError;
use crate::syncing::{SyncError, Syncing};
use crate::views::asked::{Asked, Taken};
use crate::views::circuit;
use crate::views::elsewhere::Elsewhere;
use crate::views::history::{NoHistory, TARGET, newest_of_types};
use crate::views::holds;
use crate::views::lacking::{Lacking, refused_parts};
use crate::views::listings::TARGET_DELETED;
use crate::views::older_state::OlderState;
use crate::views::read_model_lag;
use crate::views::unit_letters::UnitLetters;
use crate::views::unproved_creations::{self, UnprovedCreation};
use history::{History, SyncStory};
use limits::sharing;
use now::Waiting;
use rules::Untold;

pub use cancelled::{Cancelled, CancelledBecause};
pub use crowd::OtherCalls;
pub use held::Held;
pub use next::Next;
pub use rules::{FirstWait, Rule, WaitedAgain};
pub use sync::{ExplainedAttempt, ExplainedCall, ExplainedSync, Who};
use waited::waited;
pub use waited::{WindowUse, Windows};

/// Syncs that are listed beside the one that is explained.
const RECENT: usize = 10;

/// Which listing it is about.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the fields of a listing")]
pub struct About {
    pub listing_id: Uuid,
    pub org_id: String,
    pub account_id: String,
    pub unit_id: String,
    pub target_id: Uuid,
    pub target_name: String,
    /// `active`, `paused`, `unlinked` or `target_deleted`.
    pub state: String,
    pub external_id: Option<String>,
    /// The newest revision of the unit that was taken.
    pub last_revision: u64,
}

/// Another sync of the listing.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the columns of the audit")]
pub struct BriefSync {
    pub sync_id: Uuid,
    pub requested_at: DateTime<Utc>,
    pub cause: &'static str,
    pub revision: u64,
    pub outcome: &'static str,
    pub superseded_by: Option<Uuid>,
}

/// Why a listing stands as it does.
#[derive(Debug, Serialize, ToSchema)]
pub struct Explanation {
    /// Which listing.
    pub listing: About,
    /// The sync that is explained: the one that is asked for, or the one that waits, or the newest. `null` where the listing
    /// never asked for one.
    pub sync: Option<ExplainedSync>,
    /// Which rules applied to it, in the order in which they did.
    pub rules: Vec<Rule>,
    /// What is next for the listing.
    pub next: Next,
    /// What the channel refused of its newest sync, which succeeded, and what is in doubt of it since; `null` where there is none of that.
    pub lacking: Option<Lacking>,
    /// A state of the past that somebody sent again, so that the channel is behind its unit on purpose; `null` where it is not.
    pub older_state: Option<OlderState>,
    /// Its unit belongs to an account now that it does not take from, so nothing of it is sent; `null` where it does not.
    pub elsewhere: Option<Elsewhere>,
    /// Other listings of its target whose creation was answered with its id at the channel, though nothing proves that it is theirs: each of them
    /// waits for somebody who says so.
    pub unproved_creations: Vec<UnprovedCreation>,
    /// Messages of its unit that could not be used, and wait until somebody decides about them: what they tell is not in what is explained. `null`
    /// for those who do not read dead letters of all accounts, and where NATS did not answer in time.
    pub dead_letters: Option<UnitLetters>,
    /// Where the waiting sync stands in the queue.
    pub waiting: Option<Waiting>,
    /// The newest syncs, the newest first.
    pub recent: Vec<BriefSync>,
    /// All of it in plain words.
    pub words: Vec<String>,
}

impl Explanation {
    /// With the dead letters of its unit, for those who may read them.
    #[must_use]
    pub fn with_letters(mut self, letters: UnitLetters) -> Self {
        self.dead_letters = Some(letters);
        self.words = words::words(&self);
        self
    }
}

/// Why nothing can be explained.
#[derive(Debug, thiserror::Error)]
pub enum Unexplained {
    /// There is no such listing.
    #[error("{0}")]
    Listing(#[from] ListingError),
    /// Not a sync of this listing.
    #[error(
        "listing {listing} has no sync {sync}: `GET /api/channels/audit?listing_id={listing}`, or at the command line `distribution \
         audit tail --listing {listing}`, shows those that it has"
    )]
    NoSync {
        /// The listing.
        listing: ListingId,
        /// What was looked for.
        sync: SyncId,
    },
    /// The journal failed.
    #[error(transparent)]
    History(#[from] NoHistory),
    /// Its target could not be read.
    #[error("{0}")]
    Target(#[from] CommandError<TargetError>),
    /// The newest state of its unit could not be read.
    #[error("{0}")]
    Newest(#[from] SyncError),
    /// Another listing of its target could not be read.
    #[error("{0}")]
    Other(CommandError<ListingError>),
    /// Postgres failed.
    #[error("failed to read what waits: {0}")]
    Database(#[from] sqlx::Error),
}

/// Explains a sync of a listing; without one the sync that waits, or else the newest. The listing itself is loaded by `pool`: whoever
/// asks has to see it. Whatever else a reader may see is read by `reader`, which is opened for it.
pub async fn explain<C: DerefMut<Target = PgConnection>>(
    syncing: &Syncing,
    pool: &PgPool,
    reader: impl Future<Output = Result<C, sqlx::Error>>,
    id: ListingId,
    wanted: Option<SyncId>,
) -> Result<Explanation, Unexplained> {
    let Told { mut explanation, link, .. } = tell(syncing, pool, reader, id, wanted, MOST_FIELDS).await?;
    if let Some(external) = explanation.listing.external_id.clone().map(ExternalId) {
        // Of its target, and so of its account: whoever sees this one may see them.
        let found = unproved_creations::of_target(syncing.commands(), pool, link.target_id, &external)
            .await
            .map_err(Unexplained::Other)?;
        if !found.is_empty() {
            explanation.unproved_creations = found;
            explanation.words = words::words(&explanation);
        }
    }
    Ok(explanation)
}

/// An explanation with what it was made of.
#[derive(Debug)]
pub struct Told {
    /// The explanation.
    pub explanation: Explanation,
    /// The sync that is explained.
    pub story: Option<SyncStory>,
    /// Its target.
    pub target: Target,
    /// What is linked.
    pub link: Link,
}

/// The same as [`explain`], for whoever shows more of the sync; with so many fields of each section that differ.
pub async fn tell<C: DerefMut<Target = PgConnection>>(
    syncing: &Syncing,
    pool: &PgPool,
    reader: impl Future<Output = Result<C, sqlx::Error>>,
    id: ListingId,
    wanted: Option<SyncId>,
    fields: usize,
) -> Result<Told, Unexplained> {
    let mut history = History::read(pool, id, wanted).await?;
    let link = history.listing.link().cloned().ok_or(ListingError::NotFound)?;
    let target = target_of(syncing, &link).await?;
    if target.lifecycle == Lifecycle::Deleted {
        let mut connection = pool.acquire().await?;
        let deletion = newest_of_types(&mut connection, TARGET, target.target_id.0, &["TargetDeleted"]).await?;
        if let Some(deletion) = &deletion {
            history.end_with_target(deletion);
        }
    }
    let story = match wanted {
        Some(sync) => Some(history.sync(sync).ok_or(Unexplained::NoSync { listing: id, sync })?),
        None => history.current(),
    };
    let mut explained = None;
    let (mut apart, mut shared) = (Vec::new(), Vec::new());
    if let Some(story) = story {
        let of = (target.channel, &link);
        explained = Some(sync::explained(story, &history.known, of, syncing.payloads(), fields).await);
        apart = sync::sent_apart(story, of, syncing.payloads()).await;
        shared = sharing(&mut *pool.acquire().await?, &target).await?;
    }
    let known_since = circuit::known_since(pool).await?;
    let is_elsewhere = target.lifecycle != Lifecycle::Deleted && syncing.unit_is_elsewhere(&history.listing).await?;
    // Nothing is asked of the pool meanwhile: where each holds one connection and waits for a second, all wait.
    let mut reader = reader.await?;
    let row = now::now(&mut reader, id, &target).await?;
    let holds = holds::of(&mut reader, id, target.target_id).await?;
    let rules = match (story, &explained) {
        (Some(story), Some(explained)) => {
            let held = held::held_by(&mut reader, target.target_id, story, &holds, known_since).await?;
            let waited = waited(&mut reader, story, &target, &shared).await?;
            let goes_on = story.goes_on(row.as_ref().and_then(Waiting::ordinal_in_hand));
            let untold = row.as_ref().and_then(Waiting::untold);
            let untold = Untold { goes_on, may_have_been_sent: story.may_have_been_sent(untold.as_ref()) };
            rules::rules(story, explained, &waited, held, &apart, &untold)
        }
        _ => Vec::new(),
    };
    let refused = refused_parts(&mut reader, id).await?;
    let elsewhere = if is_elsewhere {
        Some(Elsewhere::told_to(&mut reader, link.org_id.as_str(), link.unit_id.as_str()).await?)
    } else {
        None
    };
    drop(reader);
    let waiting = match row {
        Some(row) => Some(row.completed(pool, target.target_id).await?),
        None => None,
    };
    let lag_since = if is_unseen(&history, waiting.as_ref()) { read_model_lag::since(pool).await? } else { None };
    let circuit = circuit::open(pool, target.target_id).await?;
    let next = next::next(&history, &target, (&holds, circuit.as_ref()), waiting.as_ref(), (lag_since, is_elsewhere));
    let (lacking, older_state) = standing(syncing, &refused, &history, &target).await?;
    let listing = about(&link, &history, &target);
    let recent = history.syncs.iter().rev().take(RECENT).map(brief).collect();
    let mut explanation = Explanation {
        listing,
        sync: explained,
        rules,
        next,
        lacking,
        older_state,
        elsewhere,
        unproved_creations: Vec::new(),
        dead_letters: None,
        waiting,
        recent,
        words: Vec::new(),
    };
    explanation.words = words::words(&explanation);
    let story = story.cloned();
    Ok(Told { explanation, story, target, link })
}

async fn target_of(syncing: &Syncing, link: &Link) -> Result<Target, Unexplained> {
    let target = syncing.commands().load_target(link.target_id).await?;
    target.target().cloned().ok_or_else(|| CommandError::Refused(TargetError::NotFound).into())
}

/// What the channel lacks, or may lack, of the newest sync, and the state of the past that it has on purpose, where that sync succeeded.
async fn standing(
    syncing: &Syncing,
    refused: &[RejectedPart],
    history: &History,
    target: &Target,
) -> Result<(Option<Lacking>, Option<OlderState>), Unexplained> {
    let Some(newest) = history.syncs.back() else { return Ok((None, None)) };
    let asked = Asked { request: newest.request.clone(), by: newest.metadata.clone(), at: newest.requested_at };
    let outcome = newest.end.as_ref().map(|end| end.outcome);
    let Some(taken) = Taken::of(&history.listing, target, &asked, outcome) else { return Ok((None, None)) };
    // The read model may be behind the journal, and what was refused is in no doubt.
    let in_time = newest.attempts.iter().rev().find(|told| !told.late);
    let told = in_time.map(|told| &told.attempt.rejected[..]).unwrap_or_default();
    Ok((Lacking::of(&taken, &[refused, told].concat()), OlderState::of(syncing, &taken).await?))
}

/// Whether the queue does not show the sync that waits.
fn is_unseen(history: &History, waiting: Option<&Waiting>) -> bool {
    let pending = history.listing.pending().map(|pending| pending.sync_id.0);
    pending.is_some() && pending != waiting.map(|row| row.sync_id)
}

fn about(link: &Link, history: &History, target: &Target) -> About {
    let state = history.listing.state().unwrap_or(LinkState::Unlinked);
    let gone = target.lifecycle == Lifecycle::Deleted && state != LinkState::Unlinked;
    About {
        listing_id: link.listing_id.0,
        org_id: link.org_id.to_string(),
        account_id: link.account_id.to_string(),
        unit_id: link.unit_id.to_string(),
        target_id: link.target_id.0,
        target_name: target.name.clone(),
        state: if gone { TARGET_DELETED } else { state.as_str() }.to_owned(),
        external_id: history.listing.external_id().map(ToString::to_string),
        last_revision: history.listing.last_revision(),
    }
}

fn brief(story: &SyncStory) -> BriefSync {
    BriefSync {
        sync_id: story.request.sync_id.0,
        requested_at: story.requested_at,
        cause: story.request.cause.as_str(),
        revision: story.request.revision,
        outcome: sync::outcome(story).as_str(),
        superseded_by: story.superseded_by.map(|id| id.0),
    }
}
