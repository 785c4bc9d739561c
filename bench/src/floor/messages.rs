//! The messages of syncs, ready-made: the unit's change, the events on CHANNELS, the audit events on AUDIT, each published
//! once in batches as large as they may be, with fsync, and delivered to nobody. Into streams of their own, so that no relay
//! finds them behind its own.

use adapters::event_store::PgEventLog;
use adapters::nats::Nats;
use adapters::nats::batch::{BatchMessage, MAX_BATCH};
use adapters::nats::topology::StreamKind;
use domain::audit::audit_events;
use domain::recorded::Position;
use uuid::Uuid;

use crate::tools;
use crate::units::{self, Messages};
use crate::world::World;

/// Whole batches, each for one stream.
pub struct Batches {
    nats: Nats,
    batches: Vec<Vec<BatchMessage>>,
}

impl Batches {
    /// Those of the syncs after a position, by a change of each of these units.
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
        let (mut channels, mut audit, mut after) = (Vec::new(), Vec::new(), Position(since));
        loop {
            let events = log.stored(after, head, i64::try_from(MAX_BATCH)?).await?;
            let Some(last) = events.last() else { break };
            after = Position(last.position);
            for event in events {
                channels.push(BatchMessage::new(nats.prefix.event(&event), serde_json::to_vec(&event)?.into()));
                for told in audit_events(&event.recorded()?) {
                    audit.push(BatchMessage::new(nats.prefix.audit(&told), serde_json::to_vec(&told)?.into()));
                }
            }
        }
        let mut batches = Vec::new();
        for all in [changes, channels, audit] {
            batches.extend(all.chunks(MAX_BATCH).map(<[_]>::to_vec));
        }
        Ok(Self { nats, batches })
    }

    /// Publishes them.
    pub async fn publish(&mut self) -> anyhow::Result<()> {
        for batch in std::mem::take(&mut self.batches) {
            self.nats.publish_batch(None, batch).await?;
        }
        Ok(())
    }

    /// Takes the streams away, which no sync asks for.
    pub async fn take_away(self) -> anyhow::Result<()> {
        for kind in StreamKind::ALL {
            let name = self.nats.stream_config(kind)?.name;
            self.nats.jetstream.delete_stream(&name).await?;
        }
        Ok(())
    }
}
