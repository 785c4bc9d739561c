//! `Journal` implements cqrs-es's `EventStore` for any aggregate.

use std::collections::HashMap;
use std::sync::Arc;

use cqrs_es::persist::{EventUpcaster, PersistedEventRepository, SerializedEvent};
use cqrs_es::{Aggregate, AggregateContext, AggregateError, DomainEvent, EventEnvelope, EventStore};
use domain::text::json_holds_nul;
use domain::upcast::upcasters;
use postgres_es::PostgresEventRepository;
use quick_cache::sync::Cache;
use serde_json::value::{RawValue, to_raw_value};
use sqlx::PgPool;
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

use super::append::{Commit, NewEvent, is_given_up};
use super::cache::{AggregateCache, State};
use super::group::{CommitRequest, write_commits};
use super::load::{Loaded, StreamRequest, grouped_loads, keep_snapshot};
use super::long_reads::LongReads;
use super::metadata_key;
use super::version::{Version, sequence_of};
use crate::grouped::{GroupedLoads, NotLoaded};
use crate::postgres::passes;

/// The journal did not do what was asked; whether a commit was written is then unknown, and a reload tells.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The database or the connection failed.
    #[error("failed to reach the journal: {0}")]
    Database(Arc<sqlx::Error>),
    /// The journal is shutting down.
    #[error("the journal is closed")]
    Closed,
    /// A command came without the metadata that every event carries.
    #[error("event metadata lacks {0}")]
    Metadata(&'static str),
    /// U+0000, of which PostgreSQL makes no text: whoever asked for a part of the event could not be answered.
    #[error("an event, or what stands beside it, holds the character U+0000")]
    Nul,
}

impl JournalError {
    /// Whether the event is one of a secret that somebody has given up, and never comes.
    pub fn is_given_up(&self) -> bool {
        matches!(self, Self::Database(error) if is_given_up(error))
    }

    /// Whether the same may be done a moment later, by this process or another one. What does not pass is a bug.
    pub fn passes(&self) -> bool {
        match self {
            Self::Database(error) => passes(error),
            Self::Closed => true,
            Self::Metadata(_) | Self::Nul => false,
        }
    }
}

/// The aggregate has another version than the command was meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it has version {version} now")]
pub struct Moved {
    /// The sequence of its last event.
    pub version: i64,
}

/// Organisations whose being known is remembered.
const KNOWN_ORGS: usize = 10_000;

/// How the journal is tuned.
#[derive(Debug, Clone, Copy)]
pub struct JournalOptions {
    /// Aggregates that are kept in memory.
    pub cached_aggregates: usize,
    /// An aggregate's state is kept as a snapshot every so many events.
    pub snapshot_every: i64,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self { cached_aggregates: 25_000, snapshot_every: 32 }
    }
}

struct Inner {
    pool: PgPool,
    repository: PostgresEventRepository,
    commits: mpsc::Sender<CommitRequest>,
    loads: GroupedLoads<StreamRequest, Loaded>,
    long_reads: LongReads,
    cache: AggregateCache,
    known_orgs: Cache<String, ()>,
    upcasters: Vec<Box<dyn EventUpcaster>>,
    head: watch::Receiver<i64>,
    options: JournalOptions,
}

/// The journal. Clones share one writer, one loader and one cache.
#[derive(Clone)]
pub struct Journal {
    inner: Arc<Inner>,
    /// States that are at hand are used as they are.
    hasty: bool,
    /// The only version that is loaded.
    expected: Option<i64>,
}

/// An aggregate that was loaded for a command.
pub struct JournalContext<A> {
    aggregate_id: String,
    aggregate: A,
    version: Option<Version>,
}

impl<A: Aggregate> AggregateContext<A> for JournalContext<A> {
    fn aggregate(&mut self) -> &mut A {
        &mut self.aggregate
    }
}

impl<A> JournalContext<A> {
    /// The aggregate and the sequence of its last event, 0 for none.
    pub fn into_parts(self) -> (A, i64) {
        (self.aggregate, sequence_of(self.version))
    }
}

impl Journal {
    /// A journal over `pool`; its tasks live as long as a clone of it does.
    pub fn new(pool: PgPool, options: JournalOptions) -> Self {
        Self::telling(pool, options, watch::Sender::new(0))
    }

    /// A journal that tells `appended` the position of what it has written: several of one process tell the same.
    pub fn telling(pool: PgPool, options: JournalOptions, appended: watch::Sender<i64>) -> Self {
        let (commits, commit_requests) = mpsc::channel(4096);
        let head = appended.subscribe();
        tokio::spawn(write_commits(pool.clone(), commit_requests, appended));
        let inner = Inner {
            repository: PostgresEventRepository::new(pool.clone()),
            cache: AggregateCache::new(options.cached_aggregates),
            known_orgs: Cache::new(KNOWN_ORGS),
            upcasters: upcasters(),
            loads: grouped_loads(&pool),
            long_reads: LongReads::new(pool.clone()),
            pool,
            commits,
            head,
            options,
        };
        Self { inner: Arc::new(inner), hasty: false, expected: None }
    }

    /// The same journal, without a look at what others may have written since a state was kept. Good for commands that
    /// write: the append checks the version. Whether a command writes nothing must be decided by the other one.
    #[must_use]
    pub fn hasty(&self) -> Self {
        Self { hasty: true, ..self.clone() }
    }

    /// The same journal for one command that is meant for this version of its aggregate. Any other one is not loaded
    /// ([`Moved`]), and the append checks that it is still this one.
    #[must_use]
    pub fn expecting(&self, version: i64) -> Self {
        Self { expected: Some(version), ..self.clone() }
    }

    /// What is seen in the state of an aggregate as the last command of this process left it, which is not copied for that;
    /// `None` where it is not at hand. Others may have changed it since.
    pub fn at_hand<A: Aggregate + 'static, T>(&self, id: &str, look: impl FnOnce(&A) -> T) -> Option<T> {
        self.inner.cache.look::<A, T>(A::TYPE, id, |(_, state)| look(state))
    }

    /// Organisations that ever had a target, as far as they were asked for.
    pub(super) fn known(&self) -> &Cache<String, ()> {
        &self.inner.known_orgs
    }

    /// The pool that the journal works on.
    pub fn pool(&self) -> &PgPool {
        &self.inner.pool
    }

    /// Changes when this process has appended: a hint for the relay, not a guarantee.
    pub fn appended(&self) -> watch::Receiver<i64> {
        self.inner.head.clone()
    }

    pub(super) fn upcast(&self, event: SerializedEvent) -> SerializedEvent {
        self.inner.upcasters.iter().fold(event, |event, upcaster| {
            if upcaster.can_upcast(&event.event_type, &event.event_version) { upcaster.upcast(event) } else { event }
        })
    }

    pub(super) async fn request_load<A: Aggregate>(
        &self,
        id: &str,
        after: Option<Version>,
        with_snapshot: bool,
    ) -> Result<Loaded, AggregateError<A::Error>> {
        let stream = StreamRequest { aggregate_type: A::TYPE, aggregate_id: id.to_owned(), after, with_snapshot };
        let loaded = self.inner.loads.load(stream).await.map_err(|error| match error {
            NotLoaded::Closed => JournalError::Closed,
            NotLoaded::Failed(error) => JournalError::Database(error),
        });
        loaded.map_err(unexpected)
    }

    /// The journal was put back to an earlier state, by a restore or by a standby that lacked its end: nothing that was seen of it is
    /// used any more.
    fn forget_all(&self) {
        self.inner.cache.clear();
        self.inner.known_orgs.clear();
        tracing::warn!(
            "the journal lacks events that this process has seen: it was put back to an earlier state, or a standby without its end \
             took over. What was known of it is forgotten, and read again"
        );
    }

    async fn request_commit(&self, commit: Commit) -> Result<Option<Vec<i64>>, JournalError> {
        let (reply, answer) = oneshot::channel();
        self.inner.commits.send(CommitRequest { commit, reply }).await.map_err(|_| JournalError::Closed)?;
        answer.await.map_err(|_| JournalError::Closed)?.map_err(JournalError::Database)
    }

    fn keep_state<A: Aggregate + Clone + 'static>(&self, id: &str, before: i64, after: Version, state: A) {
        let every = self.inner.options.snapshot_every.max(1);
        if before / every != after.sequence / every
            && let Ok(value) = serde_json::to_value(&state)
        {
            let (pool, id) = (self.inner.pool.clone(), id.to_owned());
            tokio::spawn(async move {
                if let Err(error) = keep_snapshot(&pool, A::TYPE, &id, after, &value).await {
                    tracing::warn!(error = %error, aggregate_id = %id, "failed to keep a snapshot of an aggregate");
                }
            });
        }
        self.inner.cache.put(A::TYPE, id, (Some(after), state));
    }

    /// Keeps a state as a snapshot that took more events to read than lie between two snapshots.
    pub(super) fn keep_read<A: Aggregate>(&self, id: &str, replayed: usize, last: Option<Version>, state: &A) {
        let is_long = i64::try_from(replayed).is_ok_and(|replayed| replayed > self.inner.options.snapshot_every);
        if let Some(version) = last.filter(|_| is_long) {
            self.inner.long_reads.keep(id, version, state);
        }
    }
}

fn unexpected<E: std::error::Error>(error: impl std::error::Error + Send + Sync + 'static) -> AggregateError<E> {
    AggregateError::UnexpectedError(Box::new(error))
}

pub(super) fn broken<E: std::error::Error>(error: serde_json::Error) -> AggregateError<E> {
    AggregateError::DeserializationError(Box::new(error))
}

impl<A> EventStore<A> for Journal
where
    A: Aggregate + Clone + 'static,
{
    type AC = JournalContext<A>;

    async fn load_events(&self, aggregate_id: &str) -> Result<Vec<EventEnvelope<A>>, AggregateError<A::Error>> {
        let stored = self.inner.repository.get_events::<A>(aggregate_id).await?;
        stored
            .into_iter()
            .map(|event| EventEnvelope::try_from(self.upcast(event)).map_err(AggregateError::from))
            .collect()
    }

    async fn load_aggregate(&self, aggregate_id: &str) -> Result<JournalContext<A>, AggregateError<A::Error>> {
        let at_hand = self.inner.cache.get::<A>(A::TYPE, aggregate_id);
        let context = |(version, aggregate): State<A>| {
            let aggregate_id = aggregate_id.to_owned();
            JournalContext { aggregate_id, aggregate, version }
        };
        let (mut known, mut now) = (None, None);
        match at_hand {
            Some(at_hand) if self.hasty => return Ok(context(at_hand)),
            Some((Some(version), state)) => {
                known = Some(version);
                now = self.brought_up_to_date(aggregate_id, version, state).await?;
                if now.is_none() {
                    self.forget_all();
                }
            }
            _ => {}
        }
        let now = match now {
            Some(now) => now,
            None => self.read(aggregate_id).await?,
        };
        if known.is_none() || now.0 != known {
            self.inner.cache.put(A::TYPE, aggregate_id, now.clone());
        }
        let version = sequence_of(now.0);
        if self.expected.is_some_and(|expected| expected != version) {
            return Err(unexpected(Moved { version }));
        }
        Ok(context(now))
    }

    async fn commit(
        &self,
        events: Vec<A::Event>,
        context: JournalContext<A>,
        metadata: HashMap<String, String>,
    ) -> Result<Vec<EventEnvelope<A>>, AggregateError<A::Error>> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let (new_events, commit) = prepare::<A>(&events, &context, &metadata)?;
        let id = context.aggregate_id;
        let written = match self.request_commit(commit).await {
            Ok(Some(positions)) => positions,
            Ok(None) => {
                self.inner.cache.forget(A::TYPE, &id);
                return Err(AggregateError::AggregateConflict);
            }
            Err(error) => {
                self.inner.cache.forget(A::TYPE, &id);
                return Err(unexpected(error));
            }
        };
        let before = sequence_of(context.version);
        if let Some(last) = new_events.last() {
            let sequence = before + i64::try_from(events.len()).unwrap_or_default();
            self.keep_state(&id, before, Version { sequence, event_id: *last }, context.aggregate);
        }
        let first = usize::try_from(before + 1).unwrap_or_default();
        let envelope = |(index, (payload, position)): (usize, (A::Event, i64))| {
            let mut metadata = metadata.clone();
            metadata.insert(metadata_key::POSITION.to_owned(), position.to_string());
            metadata.insert(metadata_key::EVENT_ID.to_owned(), new_events[index].to_string());
            EventEnvelope { aggregate_id: id.clone(), sequence: first + index, payload, metadata }
        };
        Ok(events.into_iter().zip(written).enumerate().map(envelope).collect())
    }
}

fn holds_nul(json: &RawValue) -> bool {
    json_holds_nul(json.get().as_bytes())
}

fn prepare<A: Aggregate>(
    events: &[A::Event],
    context: &JournalContext<A>,
    metadata: &HashMap<String, String>,
) -> Result<(Vec<Uuid>, Commit), AggregateError<A::Error>> {
    let get = |key: &'static str| metadata.get(key).cloned().ok_or_else(|| unexpected(JournalError::Metadata(key)));
    let events = events
        .iter()
        .map(|event| {
            Ok(NewEvent {
                event_id: Uuid::now_v7(),
                event_type: event.event_type(),
                event_version: event.event_version(),
                payload: to_raw_value(event)?,
            })
        })
        .collect::<Result<Vec<_>, serde_json::Error>>()
        .map_err(broken)?;
    let commit = Commit {
        aggregate_type: A::TYPE,
        aggregate_id: context.aggregate_id.clone(),
        seen: context.version,
        org_id: get("org_id")?,
        account_id: get("account_id")?,
        metadata: to_raw_value(metadata).map_err(broken)?.into(),
        events,
    };
    if std::iter::once(&*commit.metadata).chain(commit.events.iter().map(|event| &*event.payload)).any(holds_nul) {
        return Err(unexpected(JournalError::Nul));
    }
    Ok((commit.events.iter().map(|event| event.event_id).collect(), commit))
}
