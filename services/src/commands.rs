//! How anything is changed: a command runs through cqrs-es over the journal, and is run again when another was faster.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use adapters::event_store::{Journal, JournalContext, JournalError, Moved, metadata_key};
use adapters::masking::masked;
use adapters::postgres;
use adapters::telemetry::{Happened, Kind, about, happened, is_traced};
use async_trait::async_trait;
use cqrs_es::{Aggregate, AggregateError, CqrsFramework, EventEnvelope, EventStore, Query};
use domain::ids::{AccountId, ListingId, OrgId, SyncId, TargetId, UnitId};
use domain::listing::{ChannelListing, Link, ListingCommand, ListingError};
use domain::metadata::{Actor, Metadata};
use domain::recorded::Position;
use domain::target::{ChannelTarget, TargetCommand, TargetError};
use uuid::Uuid;

/// A command is run again this often when another process was faster.
const TRIES: u32 = 60;
/// So often it is run again at once; then it waits a little, so that many who change one thing at the same time do not
/// meet again.
const AT_ONCE: u32 = 5;
/// The longest such wait.
const LONGEST_WAIT_MS: u64 = 20;

/// Why a command did nothing.
#[derive(Debug, thiserror::Error)]
pub enum CommandError<E: fmt::Display> {
    /// The aggregate refused.
    #[error("{0}")]
    Refused(E),
    /// It has another version than the command was meant for.
    #[error("it was changed meanwhile: it has version {version} now")]
    Moved {
        /// The sequence of its last event.
        version: i64,
    },
    /// Others were faster, again and again.
    #[error("others changed this at the same time, again and again; try once more")]
    Conflict,
    /// What the journal holds cannot be read by this build.
    #[error("its events cannot be read: {0}")]
    Unreadable(String),
    /// The journal could not be reached; whether the command took effect is unknown.
    #[error("failed to run the command: {0}")]
    Unavailable(String),
    /// The journal refuses what this build asks of it, and will again: a bug, or another schema.
    #[error("failed to run the command: {0}")]
    Broken(String),
}

/// Who asks for something, and what else is to stand beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedBy {
    /// Who.
    pub actor: Actor,
    /// The same for everything that this request sets off.
    pub correlation_id: Uuid,
    /// The request that led to it, where it has an id of its own.
    pub causation_id: Option<Uuid>,
    /// W3C trace context.
    pub traceparent: Option<String>,
}

impl From<Actor> for AskedBy {
    fn from(actor: Actor) -> Self {
        Self { actor, correlation_id: Uuid::now_v7(), causation_id: None, traceparent: None }
    }
}

impl AskedBy {
    /// What stands beside the events of a command that this asks for.
    pub fn metadata(
        self,
        org_id: OrgId,
        account_id: AccountId,
        target_id: TargetId,
        unit_id: Option<UnitId>,
    ) -> Metadata {
        Metadata {
            org_id,
            account_id,
            target_id,
            unit_id,
            actor: self.actor,
            on_behalf_of: None,
            source: None,
            correlation_id: self.correlation_id,
            causation_id: self.causation_id,
            traceparent: self.traceparent,
        }
    }

    /// The same of a command on a listing.
    pub fn on(self, link: &Link) -> Metadata {
        self.metadata(link.org_id.clone(), link.account_id.clone(), link.target_id, Some(link.unit_id.clone()))
    }
}

tokio::task_local! {
    /// The position of the last event that the command of this task wrote.
    static WRITTEN: Cell<Option<i64>>;
}

/// Tells the caller of a command where its events stand: cqrs-es itself gives nothing back.
struct Receipts;

#[async_trait]
impl<A: Aggregate> Query<A> for Receipts {
    async fn dispatch(&self, _aggregate_id: &str, events: &[EventEnvelope<A>]) {
        let last = events.last().and_then(|event| event.metadata.get(metadata_key::POSITION)?.parse().ok());
        // Outside of a command there is nobody to tell.
        let _ = WRITTEN.try_with(|written| written.set(last));
    }
}

/// Runs commands on both aggregates.
pub struct Commands {
    targets: CqrsFramework<ChannelTarget, Journal>,
    listings: CqrsFramework<ChannelListing, Journal>,
    /// Tried first: most commands on a listing find the state that the last one of this process left.
    hasty_listings: CqrsFramework<ChannelListing, Journal>,
    journal: Journal,
}

impl fmt::Debug for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commands").finish_non_exhaustive()
    }
}

impl Commands {
    /// Commands over a journal.
    pub fn new(journal: Journal) -> Self {
        Self {
            targets: CqrsFramework::new(journal.clone(), vec![Box::new(Receipts)], ()),
            listings: CqrsFramework::new(journal.clone(), vec![Box::new(Receipts)], ()),
            hasty_listings: CqrsFramework::new(journal.hasty(), vec![Box::new(Receipts)], ()),
            journal,
        }
    }

    /// The journal.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Runs a command on a target. Gives the position of its last event, `None` when there was nothing to change.
    pub async fn target(
        &self,
        id: TargetId,
        command: TargetCommand,
        metadata: &Metadata,
    ) -> Result<Option<Position>, CommandError<TargetError>> {
        told(metadata, (None, None), run(&self.targets, &id.to_string(), command, metadata.to_map())).await
    }

    /// Runs a command on a listing. Gives the position of its last event, `None` when there was nothing to change.
    pub async fn listing(
        &self,
        id: ListingId,
        command: ListingCommand,
        metadata: &Metadata,
    ) -> Result<Option<Position>, CommandError<ListingError>> {
        let of = (Some(id), command.sync_id());
        told(metadata, of, self.run_listing(&id.to_string(), command, metadata.to_map())).await
    }

    async fn run_listing(
        &self,
        id: &str,
        command: ListingCommand,
        map: HashMap<String, String>,
    ) -> Result<Option<Position>, CommandError<ListingError>> {
        match execute(&self.hasty_listings, id, command.clone(), map.clone()).await {
            // What wrote something was decided on the newest state: the append has checked that.
            Ok(Some(position)) => Ok(Some(position)),
            Ok(None) | Err(AggregateError::UserError(_) | AggregateError::AggregateConflict) => {
                run(&self.listings, id, command, map).await
            }
            // It may have been written: whoever asked has to know that, and not how a second time went.
            Err(unknown) => Err(failure(unknown)),
        }
    }

    /// Runs a command on a target that has this version; any other one is [`CommandError::Moved`].
    pub async fn target_at(
        &self,
        id: TargetId,
        version: i64,
        command: TargetCommand,
        metadata: &Metadata,
    ) -> Result<Option<Position>, CommandError<TargetError>> {
        let expecting = self.expecting::<ChannelTarget>(version);
        told(metadata, (None, None), run(&expecting, &id.to_string(), command, metadata.to_map())).await
    }

    /// Runs a command on a listing that has this version; any other one is [`CommandError::Moved`].
    pub async fn listing_at(
        &self,
        id: ListingId,
        version: i64,
        command: ListingCommand,
        metadata: &Metadata,
    ) -> Result<Option<Position>, CommandError<ListingError>> {
        let (expecting, of) = (self.expecting::<ChannelListing>(version), (Some(id), command.sync_id()));
        told(metadata, of, run(&expecting, &id.to_string(), command, metadata.to_map())).await
    }

    fn expecting<A: Aggregate<Services = ()> + Clone + 'static>(&self, version: i64) -> CqrsFramework<A, Journal> {
        CqrsFramework::new(self.journal.expecting(version), vec![Box::new(Receipts)], ())
    }

    /// A target as it is now, and its version: the sequence of its last event.
    pub async fn load_target_at(&self, id: TargetId) -> Result<(ChannelTarget, i64), CommandError<TargetError>> {
        let context = EventStore::<ChannelTarget>::load_aggregate(&self.journal, &id.to_string()).await;
        context.map(JournalContext::into_parts).map_err(failure)
    }

    /// A listing as it is now, and its version: the sequence of its last event.
    pub async fn load_listing_at(&self, id: ListingId) -> Result<(ChannelListing, i64), CommandError<ListingError>> {
        let context = EventStore::<ChannelListing>::load_aggregate(&self.journal, &id.to_string()).await;
        context.map(JournalContext::into_parts).map_err(failure)
    }

    /// What is seen in a listing as the last command of this process left it; `None` where it is not at hand. Others may have
    /// changed it since.
    pub fn listing_at_hand<T>(&self, id: ListingId, look: impl FnOnce(&ChannelListing) -> T) -> Option<T> {
        self.journal.at_hand::<ChannelListing, T>(&id.to_string(), look)
    }

    /// A target as it is now.
    pub async fn load_target(&self, id: TargetId) -> Result<ChannelTarget, CommandError<TargetError>> {
        self.load_target_at(id).await.map(|(target, _)| target)
    }

    /// A listing as it is now.
    pub async fn load_listing(&self, id: ListingId) -> Result<ChannelListing, CommandError<ListingError>> {
        self.load_listing_at(id).await.map(|(listing, _)| listing)
    }
}

/// Runs a command as a part of its trace. A refusal is an answer, and so is that it was changed meanwhile; what came to no end
/// is a failure. It is of this listing and sync, where it is of any.
async fn told<E: fmt::Display>(
    metadata: &Metadata,
    (listing, sync): (Option<ListingId>, Option<SyncId>),
    running: impl Future<Output = Result<Option<Position>, CommandError<E>>>,
) -> Result<Option<Position>, CommandError<E>> {
    let began = SystemTime::now();
    let done = running.await;
    let parent = metadata.traceparent.as_deref();
    if is_traced() && parent.is_some() {
        let failed = match &done {
            Ok(_) | Err(CommandError::Refused(_) | CommandError::Moved { .. }) => None,
            // What cannot be read is quoted.
            Err(error) => Some(masked(&error.to_string())),
        };
        let (name, ended) = ("append to the journal".into(), SystemTime::now());
        let attributes = about(metadata, listing, sync);
        happened(Happened { name, kind: Kind::Internal, parent, began, ended, attributes, failed });
    }
    done
}

fn failure<E: std::error::Error>(error: AggregateError<E>) -> CommandError<E> {
    match error {
        AggregateError::UserError(refusal) => CommandError::Refused(refusal),
        AggregateError::AggregateConflict => CommandError::Conflict,
        AggregateError::DeserializationError(error) => CommandError::Unreadable(error.to_string()),
        AggregateError::UnexpectedError(error) => match error.downcast_ref::<Moved>() {
            Some(moved) => CommandError::Moved { version: moved.version },
            None if is_given_up(&*error) => CommandError::Conflict,
            None if passes(&*error) => CommandError::Unavailable(error.to_string()),
            None => CommandError::Broken(error.to_string()),
        },
        other @ AggregateError::DatabaseConnectionError(_) => CommandError::Unavailable(other.to_string()),
    }
}

/// Whether it is the event of a secret that was given up meanwhile: once more would be refused alike.
fn is_given_up(error: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    error.downcast_ref().is_some_and(JournalError::is_given_up)
}

/// Whether what the journal, or cqrs-es's reader of it, did not do may be done a moment later.
fn passes(error: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    match (error.downcast_ref::<JournalError>(), error.downcast_ref::<sqlx::Error>()) {
        (Some(error), _) => error.passes(),
        (None, Some(error)) => postgres::passes(error),
        (None, None) => true,
    }
}

async fn run<A>(
    framework: &CqrsFramework<A, Journal>,
    id: &str,
    command: A::Command,
    metadata: HashMap<String, String>,
) -> Result<Option<Position>, CommandError<A::Error>>
where
    A: Aggregate + Clone + 'static,
    A::Command: Clone + Send,
{
    for tried in 0..TRIES {
        match execute(framework, id, command.clone(), metadata.clone()).await {
            Ok(position) => return Ok(position),
            Err(AggregateError::AggregateConflict) if tried < AT_ONCE => tokio::task::yield_now().await,
            Err(AggregateError::AggregateConflict) => {
                let wait_ms = rand::random_range(0..=LONGEST_WAIT_MS);
                tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            }
            Err(error) => return Err(failure(error)),
        }
    }
    Err(CommandError::Conflict)
}

/// Once. Gives the position of the last event that was written.
async fn execute<A>(
    framework: &CqrsFramework<A, Journal>,
    id: &str,
    command: A::Command,
    metadata: HashMap<String, String>,
) -> Result<Option<Position>, AggregateError<A::Error>>
where
    A: Aggregate + Clone + 'static,
{
    let execution = async {
        framework.execute_with_metadata(id, command, metadata).await?;
        Ok(WRITTEN.with(Cell::get).map(Position))
    };
    WRITTEN.scope(Cell::new(None), execution).await
}
