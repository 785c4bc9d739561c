//! The relay role itself, in this process, from where its streams end to the end of the journal.

use std::time::{Duration, Instant};

use adapters::nats::topology::StreamKind;
use anyhow::ensure;
use services::relay::Relay;
use tokio_util::sync::CancellationToken;

use crate::figures::float;
use crate::ours::relayed;
use crate::process::Patience;
use crate::world::World;

const STREAMS: [StreamKind; 2] = [StreamKind::Channels, StreamKind::Audit];

/// What went out in a second.
#[derive(Debug)]
pub struct Relayed {
    /// Events of the journal.
    pub events: f64,
    /// Messages in both streams: audit events are further ones.
    pub messages: f64,
}

/// Publishes what the streams do not have yet. The journal has to end with an event that both streams show.
pub async fn events_per_s(world: &World) -> anyhow::Result<Relayed> {
    let head = world.head().await?;
    let events = usize::try_from(head - relayed(world, StreamKind::Channels).await?)?;
    let before = messages(world).await?;
    let stop = CancellationToken::new();
    let appended = world.syncing.commands().journal().appended();
    let relay = Relay::new(world.pool.clone(), world.nats.clone(), appended);
    let started = Instant::now();
    let running = tokio::spawn(relay.run(stop.clone()));
    // Links have no audit event: the audit stream is not waited for when it gets none.
    while relayed(world, StreamKind::Channels).await? < head || audit_is_behind(world, head).await? {
        ensure!(started.elapsed() < Patience::WORK.limit, "the relay does not get to the end of the journal");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let seconds = started.elapsed().as_secs_f64();
    let messages = messages(world).await? - before;
    stop.cancel();
    running.await?;
    Ok(Relayed { events: float(events) / seconds, messages: float(messages) / seconds })
}

async fn audit_is_behind(world: &World, head: i64) -> anyhow::Result<bool> {
    let accepted = world
        .count(
            "SELECT count(*) FROM (SELECT event_type FROM events ORDER BY position DESC LIMIT 1) last
        WHERE event_type = 'SyncAccepted'",
        )
        .await?;
    Ok(accepted > 0 && relayed(world, StreamKind::Audit).await? < head)
}

async fn messages(world: &World) -> anyhow::Result<usize> {
    let mut messages = 0;
    for kind in STREAMS {
        messages += usize::try_from(world.nats.stream(kind).await?.cached_info().state.last_sequence)?;
    }
    Ok(messages)
}
