//! What NATS takes when nobody else asks for the machine: the messages that the relay has published, headers, fence and all,
//! once more and in its order: a batch on CHANNELS beside those on AUDIT that tell of the same events, with fsync. They are
//! ready-made, so a relay that publishes like that can only be slower.

use std::time::Instant;

use adapters::nats::batch::{BatchError, BatchMessage, MAX_BATCH};
use adapters::nats::topology::StreamKind;
use anyhow::ensure;
use futures::{StreamExt as _, TryStreamExt as _};
use services::relay::{POSITION, position_header};

use super::relay::Relayed;
use crate::figures::float;
use crate::world::World;

/// Batches of requests that are taken, and as many of their ends.
const BATCHES: usize = 10;
/// Messages that are fetched at the same time.
const FETCHED: usize = 64;
/// What AUDIT tells of an end: the call and the outcome.
const TOLD: usize = 2;

/// What the relay makes of events that it reads together.
#[derive(Clone)]
struct Chunk {
    channels: Vec<BatchMessage>,
    audit: Vec<Vec<BatchMessage>>,
}

/// Messages of the relay.
pub struct Published(Vec<Chunk>);

impl Published {
    /// Those of the last requests of so many listings, and of their ends; of each as many as of the other, as in the journal.
    pub async fn of(world: &World, listings: usize) -> anyhow::Result<Self> {
        let count = listings.min(BATCHES * MAX_BATCH);
        let requests = fetch(world, StreamKind::Channels, listings, count).await?;
        let ends = fetch(world, StreamKind::Channels, 0, count).await?;
        let told = fetch(world, StreamKind::Audit, 0, TOLD * count).await?;
        let first = |messages: &[BatchMessage]| position_header(Some(&messages.first()?.headers), POSITION);
        ensure!(first(&ends).is_some() && first(&ends) == first(&told), "AUDIT tells something else than CHANNELS");
        let asked = requests.chunks(MAX_BATCH).map(|messages| Chunk { channels: messages.to_vec(), audit: Vec::new() });
        let ended = ends.chunks(MAX_BATCH).zip(told.chunks(TOLD * MAX_BATCH)).map(|(messages, told)| Chunk {
            channels: messages.to_vec(),
            audit: told.chunks(MAX_BATCH).map(<[_]>::to_vec).collect(),
        });
        Ok(Self(asked.chain(ended).collect()))
    }

    /// Publishes them behind what the streams have.
    pub async fn once_more(&self, world: &World) -> anyhow::Result<Relayed> {
        let (chunks, nats) = (self.0.clone(), &world.nats);
        let mut channels_end = last_sequence(world, StreamKind::Channels).await?;
        let mut audit_end = last_sequence(world, StreamKind::Audit).await?;
        let (mut events, mut messages) = (0, 0);
        let started = Instant::now();
        for Chunk { channels, audit } in chunks {
            events += channels.len();
            messages += channels.len() + audit.iter().map(Vec::len).sum::<usize>();
            let told = async move {
                let mut end = audit_end;
                for batch in audit {
                    end = nats.publish_batch(Some(end), batch).await?;
                }
                Ok::<u64, BatchError>(end)
            };
            (channels_end, audit_end) = tokio::try_join!(nats.publish_batch(Some(channels_end), channels), told)?;
        }
        let seconds = started.elapsed().as_secs_f64();
        Ok(Relayed { events: float(events) / seconds, messages: float(messages) / seconds })
    }
}

async fn last_sequence(world: &World, kind: StreamKind) -> anyhow::Result<u64> {
    Ok(world.nats.stream(kind).await?.cached_info().state.last_sequence)
}

/// So many messages of a stream, in order; so many others are behind them. Without what the batch that they came in has put
/// into their headers.
async fn fetch(world: &World, kind: StreamKind, behind: usize, count: usize) -> anyhow::Result<Vec<BatchMessage>> {
    let stream = world.nats.stream(kind).await?;
    let end = (stream.cached_info().state.last_sequence + 1).saturating_sub(u64::try_from(behind)?);
    let first = end.saturating_sub(u64::try_from(count)?);
    let stream = &stream;
    let one = |sequence: u64| async move {
        let stored = stream.get_raw_message(sequence).await?;
        let mut message = BatchMessage::new(stored.subject.to_string(), stored.payload);
        let own = stored.headers.iter().filter(|(name, _)| !name.to_string().starts_with("Nats-"));
        for (name, value) in own.filter_map(|(name, values)| Some((name, values.first()?))) {
            message.headers.insert(name.clone(), value.clone());
        }
        anyhow::Ok(message)
    };
    futures::stream::iter(first..end).map(one).buffered(FETCHED).try_collect().await
}
