//! The messages of syncs on their way: unit changes are published and delivered; events are read from the journal and published
//! on CHANNELS, what they tell on AUDIT; and those of CHANNELS are delivered and read. In batches as large as they may be, with
//! fsync; without the relay's headers, and without an acknowledgement of what is delivered. In streams of their own, so that no
//! relay finds them behind its own.

use std::time::Duration;

use adapters::event_store::{PgEventLog, StoredEvent};
use adapters::nats::Nats;
use adapters::nats::batch::{BatchMessage, MAX_BATCH};
use adapters::nats::topology::StreamKind;
use anyhow::Context as _;
use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use domain::audit::audit_events;
use domain::recorded::Position;
use futures::StreamExt as _;
use uuid::Uuid;

use crate::tools;
use crate::units::{self, Messages};
use crate::world::World;

/// Streams without the service.
pub struct Streams {
    nats: Nats,
    log: PgEventLog,
    since: Position,
    head: Position,
    changes: Vec<BatchMessage>,
}

impl Streams {
    /// For the syncs after a position, by a change of each of these units.
    pub async fn of(
        world: &World,
        messages: &Messages,
        since: i64,
        units: &[usize],
        revision: u64,
    ) -> anyhow::Result<Self> {
        let prefix = format!("floor-{}", &Uuid::now_v7().simple().to_string()[20..]).parse()?;
        let nats = Nats::connect(&tools::variable("NATS_URL")?, prefix, "bench").await?;
        nats.ensure_streams().await?;
        let mut changes = Vec::with_capacity(units.len());
        for index in units {
            let subject = nats.prefix.unit_changed(&units::ORG.parse()?, &units::name(*index).parse()?);
            changes.push(BatchMessage::new(subject, serde_json::to_vec(&messages.unit(*index, revision))?.into()));
        }
        let log = PgEventLog::new(world.pool.clone());
        let head = log.settled_position().await?;
        Ok(Self { nats, log, since: Position(since), head, changes })
    }

    /// Publishes the unit changes, and gives how many.
    pub async fn publish_changes(&mut self) -> anyhow::Result<usize> {
        let changes = std::mem::take(&mut self.changes);
        let count = changes.len();
        self.publish(changes).await?;
        Ok(count)
    }

    /// Has so many unit changes delivered; what is in them is read where calls are made.
    pub async fn deliver_changes(&self, count: usize) -> anyhow::Result<()> {
        self.deliver(StreamKind::Units, count, |message| {
            std::hint::black_box(message);
            Ok(())
        })
        .await
    }

    /// Publishes the events of the journal and what they tell, and gives how many events.
    pub async fn relay(&self) -> anyhow::Result<usize> {
        let (mut after, mut count) = (self.since, 0);
        loop {
            let events = self.log.stored(after, self.head, i64::try_from(MAX_BATCH)?).await?;
            let Some(last) = events.last() else { return Ok(count) };
            after = Position(last.position);
            count += events.len();
            let (mut channels, mut audit) = (Vec::with_capacity(events.len()), Vec::new());
            for event in events {
                channels.push(BatchMessage::new(self.nats.prefix.event(&event), serde_json::to_vec(&event)?.into()));
                for told in audit_events(&event.recorded()?) {
                    audit.push(BatchMessage::new(self.nats.prefix.audit(&told), serde_json::to_vec(&told)?.into()));
                }
            }
            self.publish(channels).await?;
            self.publish(audit).await?;
        }
    }

    /// Has so many events delivered, and reads them.
    pub async fn deliver_events(&self, count: usize) -> anyhow::Result<()> {
        self.deliver(StreamKind::Channels, count, |message| {
            let stored: StoredEvent = serde_json::from_slice(&message.payload)?;
            std::hint::black_box(stored.recorded()?);
            Ok(())
        })
        .await
    }

    /// Takes the streams away, which no sync asks for.
    pub async fn take_away(self) -> anyhow::Result<()> {
        for kind in StreamKind::ALL {
            let name = self.nats.stream_config(kind)?.name;
            self.nats.jetstream.delete_stream(&name).await?;
        }
        Ok(())
    }

    async fn publish(&self, messages: Vec<BatchMessage>) -> anyhow::Result<()> {
        for batch in messages.chunks(MAX_BATCH) {
            self.nats.publish_batch(None, batch.to_vec()).await?;
        }
        Ok(())
    }

    async fn deliver(
        &self,
        kind: StreamKind,
        count: usize,
        mut take: impl FnMut(Message) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let settings = pull::Config { ack_policy: AckPolicy::None, memory_storage: true, ..Default::default() };
        let consumer = self.nats.stream(kind).await?.create_consumer(settings).await?;
        let messages = consumer.stream().max_messages_per_batch(2 * MAX_BATCH).expires(Duration::from_secs(10));
        let mut messages = messages.messages().await?.take(count);
        while let Some(message) = messages.next().await {
            take(message.context("a message was not delivered")?)?;
        }
        Ok(())
    }
}
