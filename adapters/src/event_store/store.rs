//! `Journal` implements cqrs-es's `EventStore` for any aggregate.

use std::collections::HashMap;
use std::sync::Arc;

use cqrs_es::persist::{EventUpcaster, PersistedEventRepository, SerializedEvent};
use cqrs_es::{Aggregate, AggregateContext, AggregateError, DomainEvent, EventEnvelope, EventStore};
use domain::text::json_holds_nul;
use domain::upcast::upcasters;
use postgres_es::PostgresEventRepository;
use quick_cache::sync::Cache;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use sqlx::PgPool;
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

use super::append::{Commit, NewEvent};
use super::cache::AggregateCache;
use super::group::{CommitRequest, write_commits};
use super::load::{Loaded, StreamRequest, grouped_loads, keep_snapshot};
use super::metadata_key;
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
    sequence: i64,
}

impl<A: Aggregate> AggregateContext<A> for JournalContext<A> {
    fn aggregate(&mut self) -> &mut A {
        &mut self.aggregate
    }
}

impl<A> JournalContext<A> {
    /// The aggregate and the sequence of its last event, 0 for none.
    pub fn into_parts(self) -> (A, i64) {
        (self.aggregate, self.sequence)
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

    fn upcast(&self, event: SerializedEvent) -> SerializedEvent {
        self.inner.upcasters.iter().fold(event, |event, upcaster| {
            if upcaster.can_upcast(&event.event_type, &event.event_version) { upcaster.upcast(event) } else { event }
        })
    }

    async fn request_load(&self, stream: StreamRequest) -> Result<Loaded, JournalError> {
        self.inner.loads.load(stream).await.map_err(|error| match error {
            NotLoaded::Closed => JournalError::Closed,
            NotLoaded::Failed(error) => JournalError::Database(error),
        })
    }

    async fn request_commit(&self, commit: Commit) -> Result<Option<Vec<i64>>, JournalError> {
        let (reply, answer) = oneshot::channel();
        self.inner.commits.send(CommitRequest { commit, reply }).await.map_err(|_| JournalError::Closed)?;
        answer.await.map_err(|_| JournalError::Closed)?.map_err(JournalError::Database)
    }

    fn replay<A: Aggregate>(&self, id: &str, state: &mut A, loaded: Loaded) -> Result<i64, serde_json::Error> {
        let mut sequence = 0;
        for event in loaded.events {
            sequence = event.sequence;
            let stored = SerializedEvent::new(
                id.to_owned(),
                usize::try_from(event.sequence).unwrap_or_default(),
                A::TYPE.to_owned(),
                event.event_type,
                event.event_version,
                event.payload,
                Value::Null,
            );
            state.apply(serde_json::from_value(self.upcast(stored).payload)?);
        }
        Ok(sequence)
    }

    fn keep_state<A: Aggregate + Clone + 'static>(&self, id: &str, before: i64, after: i64, state: A) {
        let every = self.inner.options.snapshot_every.max(1);
        if before / every != after / every
            && let Ok(value) = serde_json::to_value(&state)
        {
            let (pool, id) = (self.inner.pool.clone(), id.to_owned());
            tokio::spawn(async move {
                if let Err(error) = keep_snapshot(&pool, A::TYPE, &id, after, &value).await {
                    tracing::warn!(error = %error, aggregate_id = %id, "failed to keep a snapshot of an aggregate");
                }
            });
        }
        self.inner.cache.put(A::TYPE, id, after, state);
    }
}

fn unexpected<E: std::error::Error>(error: impl std::error::Error + Send + Sync + 'static) -> AggregateError<E> {
    AggregateError::UnexpectedError(Box::new(error))
}

fn broken<E: std::error::Error>(error: serde_json::Error) -> AggregateError<E> {
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
        let cached = self.inner.cache.get::<A>(A::TYPE, aggregate_id);
        let (after, mut aggregate) = match cached {
            Some((sequence, aggregate)) if self.hasty => {
                return Ok(JournalContext { aggregate_id: aggregate_id.to_owned(), aggregate, sequence });
            }
            cached => cached.unwrap_or_default(),
        };
        let stream = StreamRequest { aggregate_type: A::TYPE, aggregate_id: aggregate_id.to_owned(), after };
        let mut loaded = self.request_load(stream).await.map_err(unexpected)?;
        let mut sequence = after;
        if let Some((at, state)) = loaded.snapshot.take() {
            match serde_json::from_value(state) {
                Ok(state) => (sequence, aggregate) = (at, state),
                Err(error) => {
                    // A snapshot of an older build: the events tell the same, only slower.
                    tracing::info!(error = %error, aggregate_id, "ignoring an unreadable snapshot of an aggregate");
                    let events = <Self as EventStore<A>>::load_events(self, aggregate_id).await?;
                    sequence = i64::try_from(events.len()).unwrap_or_default();
                    aggregate = A::default();
                    events.into_iter().for_each(|event| aggregate.apply(event.payload));
                    loaded.events.clear();
                }
            }
        }
        let last = self.replay(aggregate_id, &mut aggregate, loaded).map_err(broken)?;
        if last > sequence || after == 0 {
            sequence = sequence.max(last);
            self.inner.cache.put(A::TYPE, aggregate_id, sequence, aggregate.clone());
        }
        if self.expected.is_some_and(|expected| expected != sequence) {
            return Err(unexpected(Moved { version: sequence }));
        }
        Ok(JournalContext { aggregate_id: aggregate_id.to_owned(), aggregate, sequence })
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
        let last = context.sequence + i64::try_from(events.len()).unwrap_or_default();
        self.keep_state(&id, context.sequence, last, context.aggregate);
        let first = usize::try_from(context.sequence + 1).unwrap_or_default();
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
        expected: context.sequence,
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
