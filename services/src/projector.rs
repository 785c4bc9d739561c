//! The projector: journal events from NATS become the read models, the sync queue among them.
//!
//! NATS wakes it and carries the events; the checkpoints in Postgres say what is done. A hole is filled from the
//! journal, by the same code that catches up, and so is everything while NATS is away.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use adapters::event_store::{PgEventLog, StoredEvent};
use adapters::leader::Leadership;
use adapters::nats::Nats;
use adapters::nats::in_journal::IN_JOURNAL;
use adapters::nats::topology::StreamKind;
use adapters::telemetry::{Attributes, Happened, Kind, about_event, happened, is_traced, sync_done};
use anyhow::Context as _;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_trait::async_trait;
use domain::recorded::{Position, Recorded};
use futures::future::BoxFuture;
use futures::stream::ReadyChunks;
use futures::{FutureExt as _, StreamExt as _};
use projections::{Ended, Runner};
use sqlx::PgPool;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::leading::{LeadingRole, lead_in_turn};
use crate::relay::{POSITION, PREVIOUS_POSITION, position_header};

/// The lock that the one that works holds.
pub(crate) const LOCK: &str = "projector";
/// Events that are applied together.
const BATCH: usize = 500;
/// The longest silence of the stream before the journal is asked whether there is more.
const SILENCE: Duration = Duration::from_secs(1);
/// From one try to get a subscription to the next.
const AGAIN: Duration = Duration::from_secs(2);

/// The projector role.
pub struct Projector {
    pool: PgPool,
    nats: Nats,
    log: PgEventLog,
    runner: Runner,
}

impl std::fmt::Debug for Projector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Projector").finish_non_exhaustive()
    }
}

/// A message of the stream, read.
struct Arrived {
    previous: Position,
    position: Position,
    /// Absent where the event is too large for a message, or where it is none of the relay's: the journal is read.
    event: Option<Recorded>,
    /// Absent, too, where this process sends no traces.
    traceparent: Option<String>,
}

impl Projector {
    /// A projector of every read model.
    pub fn new(pool: PgPool, nats: Nats) -> Self {
        let log = PgEventLog::new(pool.clone());
        let runner = Runner::new(pool.clone(), Arc::new(log.clone()), projections::all());
        let runner = runner.observed_by(Arc::new(|ended| ended.iter().for_each(count)));
        Self { pool, nats, log, runner }
    }

    /// Works until `stop`. One projector is active, others stand by.
    pub async fn run(self, stop: CancellationToken) {
        let pool = self.pool.clone();
        lead_in_turn(self, &pool, LOCK, &stop).await;
    }

    /// Applies what the journal has and the read models have not.
    async fn follow(&self) -> anyhow::Result<Position> {
        let reached = self.runner.catch_up().await?;
        self.nats.nudge(self.nats.prefix.nudge_queue()).await;
        Ok(reached)
    }

    /// The same, where the journal goes on beyond a position. Gives the one that is reached.
    async fn follow_beyond(&self, position: Position) -> anyhow::Result<Position> {
        if self.log.head().await? > position { self.follow().await } else { Ok(position) }
    }

    /// Applies messages that have arrived, or the journal where they have a hole or tell of what that has lost. Gives the position that
    /// is reached.
    async fn apply(&self, batch: Vec<async_nats::jetstream::Message>) -> anyhow::Result<Position> {
        let arrived = read(batch)?;
        let Some(previous) = arrived.first().map(|first| first.previous) else { return Ok(Position::default()) };
        let follows = arrived.windows(2).all(|pair| pair[1].previous == pair[0].position);
        let count = arrived.len();
        let began = SystemTime::now();
        let traces: Vec<(String, Attributes)> = arrived.iter().filter_map(traced).collect();
        let events: Vec<Recorded> = arrived.into_iter().filter_map(|arrived| arrived.event).collect();
        let reached = if !follows || events.len() < count {
            tracing::warn!("the stream has a hole; the journal fills it");
            self.follow().await?
        } else {
            let reached = self.runner.apply_batch(&events, previous).await?;
            self.nats.nudge(self.nats.prefix.nudge_queue()).await;
            reached
        };
        traces.into_iter().for_each(|(trace, about)| tell(&trace, about, began));
        Ok(reached)
    }
}

#[async_trait]
impl LeadingRole for Projector {
    const NAME: &'static str = "projector";

    async fn lead(&mut self, leadership: &mut Leadership, stop: &CancellationToken) -> anyhow::Result<()> {
        let mut position = self.follow().await?;
        let mut subscribing = subscribed(self.nats.clone());
        let mut messages: Option<Messages> = None;
        let (mut checked_at, mut looked_at) = (Instant::now(), Instant::now());
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                subscription = &mut subscribing, if messages.is_none() => {
                    messages = Some(subscription);
                    // What was published before it comes by no other way.
                    position = self.follow().await?;
                }
                batch = next(&mut messages) => match batch {
                    Ok(batch) => {
                        let reached = self.apply(batch).await?;
                        if reached > position {
                            position = reached;
                        } else if looked_at.elapsed() >= SILENCE {
                            // The relay makes up for what was read from the journal: what is new may come long after it.
                            looked_at = Instant::now();
                            position = self.follow_beyond(position).await?;
                        }
                    }
                    Err(error) => {
                        tracing::warn!(error = format!("{error:#}"), "NATS gives no events; they are read from the journal");
                        messages = None;
                        subscribing = subscribed(self.nats.clone());
                    }
                },
                () = tokio::time::sleep(SILENCE) => position = self.follow_beyond(position).await?,
            }
            if checked_at.elapsed() > Duration::from_secs(2) {
                checked_at = Instant::now();
                anyhow::ensure!(leadership.is_held().await, "the session that holds the role ended");
            }
        }
    }
}

type Messages = ReadyChunks<pull::Stream>;

/// A subscription to what is published from now on, as soon as NATS gives one.
fn subscribed(nats: Nats) -> BoxFuture<'static, Messages> {
    let subscribed = async move {
        loop {
            match subscribe(&nats).await {
                Ok(messages) => return messages.ready_chunks(BATCH),
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::warn!(error, "the projector gets no events from NATS; they are read from the journal");
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    };
    subscribed.boxed()
}

async fn subscribe(nats: &Nats) -> anyhow::Result<pull::Stream> {
    let stream = nats.ensure_stream(StreamKind::Channels).await?;
    let consumer = stream
        .create_consumer(pull::Config {
            description: Some("projector".to_owned()),
            deliver_policy: DeliverPolicy::New,
            ack_policy: AckPolicy::None,
            inactive_threshold: Duration::from_secs(60),
            memory_storage: true,
            ..Default::default()
        })
        .await?;
    let messages = consumer
        .stream()
        .max_messages_per_batch(4 * BATCH)
        .expires(Duration::from_secs(10))
        .heartbeat(Duration::from_secs(3))
        .messages()
        .await?;
    Ok(messages)
}

/// The next messages that are there; never, without a subscription.
async fn next(messages: &mut Option<Messages>) -> anyhow::Result<Vec<async_nats::jetstream::Message>> {
    let Some(messages) = messages else { return std::future::pending().await };
    let batch = messages.next().await.context("the stream of events ended")?;
    Ok(batch.into_iter().collect::<Result<_, _>>()?)
}

/// The trace that a message belongs to, and what its event is about.
fn traced(arrived: &Arrived) -> Option<(String, Attributes)> {
    let trace = arrived.traceparent.clone()?;
    Some((trace, arrived.event.as_ref().map(about_event).unwrap_or_default()))
}

/// The read models show an event of this trace.
fn tell(trace: &str, attributes: Attributes, began: SystemTime) {
    happened(Happened {
        name: "apply to the read models".into(),
        kind: Kind::Consumer,
        parent: Some(trace),
        began,
        ended: SystemTime::now(),
        attributes,
        failed: None,
    });
}

fn count(end: &Ended) {
    sync_done(end.outcome.as_str(), end.again);
}

fn read(batch: Vec<async_nats::jetstream::Message>) -> anyhow::Result<Vec<Arrived>> {
    batch
        .into_iter()
        .map(|message| {
            let headers = message.headers.as_ref();
            let previous = position_header(headers, PREVIOUS_POSITION).unwrap_or_default();
            let position = position_header(headers, POSITION);
            let traceparent =
                headers.and_then(|headers| headers.get("traceparent")).map(async_nats::HeaderValue::as_str);
            let traceparent = traceparent.filter(|_| is_traced()).map(str::to_owned);
            if headers.is_some_and(|headers| headers.get(IN_JOURNAL).is_some()) {
                return Ok(Arrived { previous, position: position.unwrap_or_default(), event: None, traceparent });
            }
            let stored: Option<StoredEvent> = serde_json::from_slice(&message.payload).ok();
            let Some(stored) = stored.filter(|stored| position == Some(Position(stored.position))) else {
                // Between two of ours it is a hole, and the journal says that there is nothing in it.
                tracing::warn!(subject = %message.subject, "a message that the relay did not write");
                return Ok(Arrived { previous, position: Position::default(), event: None, traceparent: None });
            };
            let position = Position(stored.position);
            Ok(Arrived { previous, position, event: Some(stored.recorded()?), traceparent })
        })
        .collect()
}
