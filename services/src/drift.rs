//! Where a listing at its channel is not what was sent last. It reads the channel, inside the windows that every call keeps
//! to, and changes nothing: a sync that somebody asks for heals what it finds.

mod meanwhile;
mod words;

use std::ops::DerefMut;
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::channel::{RejectedPart, Section};
use domain::difference::{Differences, FieldDifference};
use domain::ids::{ExternalId, ListingId};
use domain::listing::{LinkState, ListingError};
use domain::metadata::Actor;
use domain::outcome::OutcomeClass;
use domain::port::{Compared, ReadReport, Reading, Standing};
use domain::target::{Health, Lifecycle, Target};
use domain::text::trace_id;
use domain::unit::Night;
use serde::Serialize;
use serde_json::Value;
use sqlx::{PgConnection, PgPool};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::commands::AskedBy;
use crate::dispatcher::Channels;
use crate::dispatcher::trace::VisitTrace;
use crate::payloads::PayloadError;
use crate::slots::visitor::{Egress, Visitor};
use crate::syncing::{SyncError, Syncing};
use crate::views::circuit;
use crate::views::explain::ExplainedCall;
use crate::views::explain::history::History;
use crate::views::explain::now::{Waiting, now, windows};
use crate::views::history::NoHistory;
use crate::views::known::{ComparedWith, KnownPayload};
use crate::views::lacking::refused_parts;
use crate::views::windows::ScopeWindow;
use meanwhile::Meanwhile;
use words::words;

/// Slots are waited for so long in all: a request of the API has to be answered in 30 s.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a listing at its channel compares with what was sent last.
#[derive(Debug, Serialize, ToSchema)]
pub struct Drift {
    /// The listing.
    pub listing_id: Uuid,
    /// Its id at the channel.
    pub external_id: String,
    /// It is there, and nothing differs but what is explained. `false`, too, where something was sent while it was read, so that not all
    /// could be compared.
    pub in_line: bool,
    /// The channel has no such listing, so nothing could be compared.
    pub gone: bool,
    /// It is in the channel's archive, which refuses every change.
    pub archived: bool,
    /// When the channel had been read.
    pub read_at: DateTime<Utc>,
    /// Who had it read.
    pub created_by: String,
    /// The kind of credential.
    pub credential: String,
    /// Which token or session it was; absent where the kind has none.
    pub credential_id: Option<String>,
    /// The sections that were compared: those that were sent, but for `sent_meanwhile`.
    pub sections: Vec<&'static str>,
    /// Sections that were sent while the listing was read, or after that, so that nobody can tell how they compare: another look tells.
    pub sent_meanwhile: Vec<&'static str>,
    /// What was sent last, and the channel took, as the journal had it once the channel had been read.
    pub compared_with: ComparedWith,
    /// What differs, section by section, at most 50 fields of each: `before` is what was sent, `after` what the channel has.
    /// Fields that are not ours are not looked at, nor are nights that were told of earlier and not in what was sent last.
    #[schema(value_type = Vec<Object>)]
    pub differences: Differences,
    /// A sync that had not ended once the channel had been read, and may bring it elsewhere.
    pub pending_sync_id: Option<Uuid>,
    /// The sync of which an attempt was under way then: it may have written what differs.
    pub under_way_sync_id: Option<Uuid>,
    /// The calls that it took.
    pub calls: Vec<ExplainedCall>,
    /// All of it in plain words.
    pub words: Vec<String>,
}

/// Why nothing can be compared.
#[derive(Debug, thiserror::Error)]
pub enum NoDrift {
    /// Of this listing nothing can be read.
    #[error("{0}")]
    Listing(#[from] ListingError),
    /// The target is deleted or held, or nothing was sent.
    #[error("{0}")]
    NotNow(String),
    /// The target could not be read.
    #[error("{0}")]
    Target(#[from] SyncError),
    /// The journal failed.
    #[error(transparent)]
    History(#[from] NoHistory),
    /// What was sent cannot be made again.
    #[error("what was sent is not known: {0}")]
    Known(#[from] PayloadError),
    /// Postgres failed.
    #[error("failed to look for drift: {0}")]
    Database(#[from] sqlx::Error),
    /// There was no slot in time.
    #[error("{0}; try again in a moment")]
    NoSlot(String),
    /// The channel did not answer with the listing.
    #[error("the channel could not be read: {class}: {detail}")]
    Channel {
        /// How the read ended.
        class: OutcomeClass,
        /// The channel's words.
        detail: String,
    },
}

/// Looks for drift.
#[derive(Clone)]
pub struct DriftReader {
    pool: PgPool,
    syncing: Syncing,
    channels: Channels,
    egress: Egress,
    under_way: TaskTracker,
}

/// What a look has found at the channel.
struct Looked {
    target: Target,
    external_id: ExternalId,
    report: ReadReport,
    /// Nights before this one are past.
    from: Night,
    read_at: DateTime<Utc>,
}

impl std::fmt::Debug for DriftReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DriftReader").field("egress", &self.egress).finish_non_exhaustive()
    }
}

impl DriftReader {
    /// Over these channels. Calls leave from `egress`.
    pub fn new(pool: PgPool, syncing: Syncing, channels: Channels, egress: Egress) -> Self {
        Self { pool, syncing, channels, egress, under_way: TaskTracker::new() }
    }

    /// Reads a listing at its channel and compares it with what was sent last. Whoever asks has to see the listing; what the channel
    /// refused of it before is read by `reader`, which is opened for it.
    ///
    /// Whoever leaves before the end takes no call along: the one under way ends, none begins after it, and all that were made are written
    /// down, as they took slots.
    pub async fn read<C: DerefMut<Target = PgConnection>>(
        &self,
        id: ListingId,
        by: AskedBy,
        reader: impl Future<Output = Result<C, sqlx::Error>>,
    ) -> Result<Drift, NoDrift> {
        let (looker, left) = (self.clone(), CancellationToken::new());
        let _leaving = left.clone().drop_guard();
        let actor = by.actor.clone();
        let looking = async move { looker.look(id, &by, left).await };
        let looked = self.under_way.spawn(looking.in_current_span()).await;
        let looked = looked.map_err(|_| NoDrift::NoSlot("the service is stopping".to_owned()))?;
        let looked = looked?;
        let mut reader = reader.await?;
        let refused = refused_parts(&mut reader, id).await?;
        // Before the journal: an attempt that ends in between is in one of the two.
        let row = now(&mut reader, id, &looked.target).await?;
        drop(reader);
        self.compared(id, looked, actor, &refused, row.as_ref()).await
    }

    /// Compares what was read with what was sent last by now: what was sent while it was waited for slots is at the channel.
    async fn compared(
        &self,
        id: ListingId,
        looked: Looked,
        actor: Actor,
        refused: &[RejectedPart],
        row: Option<&Waiting>,
    ) -> Result<Drift, NoDrift> {
        let Looked { target, external_id, report, from, read_at } = looked;
        let history = History::read(&self.pool, id, None).await?;
        let listing = &history.listing;
        let link = listing.link().ok_or(ListingError::NotFound)?;
        if listing.state() == Some(LinkState::Unlinked) {
            return Err(ListingError::Unlinked.into());
        }
        if listing.external_id() != Some(&external_id) {
            let reason = "it was linked to another listing at the channel while this one was read: look again";
            return Err(NoDrift::NotNow(reason.to_owned()));
        }
        let known = KnownPayload::load(self.syncing.payloads(), target.channel, link, &history.known).await?;
        let sent = known.bodies();
        let compared = report.found.as_ref().map(|found| found.compare(&sent, from)).unwrap_or_default();
        let Compared { mut differences, unread } = compared;
        differences.explain(|field| refused_before(refused, field));
        let in_hand = row.and_then(Waiting::ordinal_in_hand);
        let meanwhile = Meanwhile::of(&history, in_hand, &report.calls, read_at);
        let unclear = meanwhile.unclear(&mut differences, unread);
        let (standing, calls) = (report.standing, report.calls);
        let mut drift = Drift {
            listing_id: id.0,
            external_id: external_id.to_string(),
            in_line: differences.unexpected() == 0 && unclear.is_empty() && standing == Standing::There,
            gone: standing == Standing::Gone,
            archived: standing == Standing::Archived,
            read_at,
            created_by: actor.name,
            credential: actor.credential,
            credential_id: actor.credential_id,
            sections: names(sent.keys().filter(|section| !unclear.contains(section))),
            sent_meanwhile: names(unclear.iter()),
            compared_with: known.described(),
            differences,
            pending_sync_id: listing.pending().map(|pending| pending.sync_id.0),
            under_way_sync_id: meanwhile.under_way.map(|sync| sync.0),
            calls: calls.iter().map(Into::into).collect(),
            words: Vec::new(),
        };
        drift.words = words(&drift, Some(link));
        Ok(drift)
    }

    /// Ends the looks whose askers have left. None is to begin any more.
    pub async fn end(&self) {
        self.under_way.close();
        self.under_way.wait().await;
    }

    async fn look(&self, id: ListingId, by: &AskedBy, left: CancellationToken) -> Result<Looked, NoDrift> {
        let mut trace = VisitTrace::of_drift(by.traceparent.as_deref());
        let span = tracing::info_span!(
            "drift",
            trace_id = trace_id(Some(trace.traceparent())),
            org_id = tracing::field::Empty,
            target_id = tracing::field::Empty,
            listing_id = %id,
            unit_id = tracing::field::Empty,
        );
        self.look_at(id, &by.actor, &mut trace, left).instrument(span).await
    }

    async fn look_at(
        &self,
        id: ListingId,
        by: &Actor,
        trace: &mut VisitTrace,
        left: CancellationToken,
    ) -> Result<Looked, NoDrift> {
        let history = History::read(&self.pool, id, None).await?;
        let listing = &history.listing;
        let link = listing.link().ok_or(ListingError::NotFound)?;
        let span = tracing::Span::current();
        span.record("org_id", tracing::field::display(&link.org_id));
        span.record("target_id", tracing::field::display(link.target_id));
        span.record("unit_id", tracing::field::display(&link.unit_id));
        if listing.state() == Some(LinkState::Unlinked) {
            return Err(ListingError::Unlinked.into());
        }
        let target = self.syncing.commands().load_target(link.target_id).await.map_err(SyncError::from)?;
        let target = callable(target.live().map_err(|_| SyncError::TargetDeleted)?)?;
        let not_there = || NoDrift::NotNow("the listing is not at the channel yet, so nothing can differ".to_owned());
        let external_id = listing.external_id().ok_or_else(not_there)?;
        let known = KnownPayload::load(self.syncing.payloads(), target.channel, link, &history.known).await?;
        let sent = known.bodies();
        if sent.is_empty() {
            return Err(NoDrift::NotNow("nothing was sent since it was linked, so nothing can differ".to_owned()));
        }
        let today = Utc::now().date_naive().to_string();
        let from = today.parse().map_err(|_| NoDrift::NotNow("this year has no nights".to_owned()))?;
        let report = self.ask((id, by), Reading { target, external_id, sent: &sent }, trace, left).await?;
        let (target, external_id) = (target.clone(), external_id.clone());
        Ok(Looked { target, external_id, report, from, read_at: Utc::now() })
    }

    async fn ask(
        &self,
        (id, by): (ListingId, &Actor),
        reading: Reading<'_>,
        trace: &mut VisitTrace,
        left: CancellationToken,
    ) -> Result<ReadReport, NoDrift> {
        let target = reading.target;
        if let Some(circuit) = circuit::open(&self.pool, target.target_id).await? {
            return Err(NoDrift::NotNow(circuit.words()));
        }
        let commands = self.syncing.commands();
        let visitor = Visitor::new(self.pool.clone(), commands, target, &self.egress, PATIENCE, left);
        let report = self.channels.of(target.channel).read(reading, &visitor).await;
        if let Err(error) = visitor.settle().await {
            tracing::warn!(error = %error, "slots of a read run out by themselves");
        }
        if let Err(error) = visitor.note(id, by, &report.calls).await {
            tracing::warn!(error = %error, "nothing is kept of the calls of a read, nor of who asked for it");
        }
        trace.tell_drift(target, id, &report);
        tracing::info!(target_id = %target.target_id, calls = report.calls.len(), class = %report.class, "read for drift");
        if let Some(why) = visitor.refusal() {
            let windows = windows(&self.pool, target).await?;
            let closed: Vec<String> =
                windows.iter().filter(|window| window.is_closed()).map(ScopeWindow::words).collect();
            return Err(NoDrift::NoSlot(if closed.is_empty() { why } else { format!("{why}: {}", closed.join("; ")) }));
        }
        match report.class {
            _ if report.standing == Standing::Gone => Ok(report),
            OutcomeClass::Accepted => Ok(report),
            class => Err(NoDrift::Channel { class, detail: report.detail.unwrap_or_default() }),
        }
    }
}

/// A target that is held is not called, whoever asks.
fn callable(target: &Target) -> Result<&Target, NoDrift> {
    if target.lifecycle == Lifecycle::Paused {
        return Err(NoDrift::NotNow("the target is paused, so it is not called: resume it first".to_owned()));
    }
    if target.health == Health::Unauthorised {
        let reason = "the channel refuses the target's credentials, so it is not called: mend them first";
        return Err(NoDrift::NotNow(reason.to_owned()));
    }
    Ok(target)
}

/// What the channel refused of the last sync it does not have, and to send it once more would not help.
fn refused_before(refused: &[RejectedPart], field: &FieldDifference) -> Option<String> {
    let sent = field.before.as_ref().unwrap_or(&Value::Null).to_string();
    // A row that was refused is named by its list.
    let list = field.path.split_once('[').map(|(list, _)| list);
    let is_it = |part: &&RejectedPart| {
        part.part == field.path && part.value.is_empty()
            || part.value == sent && [Some(field.path.as_str()), list].contains(&Some(part.part.as_str()))
    };
    let part = refused.iter().find(is_it)?;
    Some(format!("refused at the last sync: {}", part.reason))
}

fn names<'a>(sections: impl Iterator<Item = &'a Section>) -> Vec<&'static str> {
    sections.map(|section| section.as_str()).collect()
}
