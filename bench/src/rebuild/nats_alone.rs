//! What NATS takes when nobody else asks for the machine: the journal's events as messages, in the same batches, into a
//! stream with fsync. The relay cannot be faster than this.

use std::time::{Duration, Instant};

use adapters::event_store::PgEventLog;
use adapters::nats::batch::{BatchMessage, MAX_BATCH};
use adapters::nats::topology::StreamKind;
use bytes::Bytes;
use domain::recorded::Position;

use crate::figures::float;
use crate::world::World;

/// Batches that are sent.
const BATCHES: usize = 40;

/// Messages a second. Each body is an event of the journal; the headers are those of the batch alone.
pub async fn messages_per_s(world: &World) -> anyhow::Result<f64> {
    // The one of a run before was taken away.
    world.nats.ensure_streams().await?;
    let log = PgEventLog::new(world.pool.clone());
    let head = log.settled_position().await?;
    let events = log.stored(Position::default(), head, i64::try_from(MAX_BATCH)?).await?;
    let mut messages = Vec::with_capacity(events.len());
    for event in &events {
        let subject = world.nats.prefix.event(event);
        messages.push(BatchMessage::new(subject, Bytes::from(serde_json::to_vec(event)?)));
    }
    let mut spent = Duration::ZERO;
    for _ in 0..BATCHES {
        let batch = messages.clone();
        let started = Instant::now();
        world.nats.publish_batch(None, batch).await?;
        spent += started.elapsed();
    }
    // The relay is to find its own stream, not this one.
    let stream = world.nats.stream(StreamKind::Channels).await?.cached_info().config.name.clone();
    world.nats.jetstream.delete_stream(stream).await?;
    Ok(float(BATCHES * messages.len()) / spent.as_secs_f64())
}
