//! What the projector does with the bodies of messages: it reads them and applies them to every read model, batch by
//! batch. The bodies are in memory.

use std::time::{Duration, Instant};

use adapters::event_store::{PgEventLog, StoredEvent};
use domain::recorded::{Position, Recorded};

use crate::figures::float;
use crate::seed::runner;
use crate::world::World;

/// Events that are fetched from the journal, untimed, before they are applied.
const CHUNK: i64 = 20_000;

/// Applies everything that the read models do not show yet.
pub async fn events_per_s(world: &World, batch: usize) -> anyhow::Result<f64> {
    let (log, runner) = (PgEventLog::new(world.pool.clone()), runner(world));
    let head = log.settled_position().await?;
    let mut at = Position(world.count("SELECT coalesce(min(position), 0) FROM projection_checkpoints").await?);
    let (mut spent, mut applied) = (Duration::ZERO, 0);
    loop {
        let stored = log.stored(at, head, CHUNK).await?;
        if stored.is_empty() {
            return Ok(float(applied) / spent.as_secs_f64());
        }
        let bodies = stored.iter().map(serde_json::to_vec).collect::<Result<Vec<_>, _>>()?;
        drop(stored);
        let started = Instant::now();
        for bodies in bodies.chunks(batch) {
            let read = |body: &Vec<u8>| anyhow::Ok(serde_json::from_slice::<StoredEvent>(body)?.recorded()?);
            let events = bodies.iter().map(read).collect::<anyhow::Result<Vec<Recorded>>>()?;
            runner.apply_batch(&events, at).await?;
            at = events.last().map_or(at, |event| event.position);
        }
        spent += started.elapsed();
        applied += bodies.len();
    }
}
