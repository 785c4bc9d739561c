//! Streams that took many events to read: the state that was made of one is kept as a snapshot, so that the next process, or this one
//! after a restart, does not read them all again. A cache: nobody waits for it and nothing depends on it.

use std::time::{Duration, Instant};

use cqrs_es::Aggregate;
use quick_cache::sync::Cache;
use serde_json::Value;
use sqlx::PgPool;
use tokio::sync::mpsc;

use super::load::keep_snapshot;
use super::version::Version;

/// A state is not kept again sooner: beside an older build, which leaves snapshots that are of no use here, it would be at each read.
const AGAIN: Duration = Duration::from_secs(600);
/// Aggregates of which it is remembered.
const REMEMBERED: usize = 10_000;
/// States that wait at most, as they are written one by one to leave the connections to others. One more is kept at a later read.
const WAITING: usize = 256;

struct LongRead {
    aggregate_type: &'static str,
    aggregate_id: String,
    version: Version,
    state: Value,
}

/// Keeps what long reads made, as long as it lives.
pub(super) struct LongReads {
    states: mpsc::Sender<LongRead>,
    lately: Cache<(&'static str, String), Instant>,
}

impl LongReads {
    pub(super) fn new(pool: PgPool) -> Self {
        let (states, waiting) = mpsc::channel(WAITING);
        tokio::spawn(write(pool, waiting));
        Self { states, lately: Cache::new(REMEMBERED) }
    }

    pub(super) fn keep<A: Aggregate>(&self, id: &str, version: Version, state: &A) {
        let key = (A::TYPE, id.to_owned());
        if self.lately.get(&key).is_some_and(|at| at.elapsed() < AGAIN) {
            return;
        }
        let Ok(place) = self.states.try_reserve() else { return };
        let Ok(state) = serde_json::to_value(state) else { return };
        self.lately.insert(key, Instant::now());
        place.send(LongRead { aggregate_type: A::TYPE, aggregate_id: id.to_owned(), version, state });
    }
}

async fn write(pool: PgPool, mut waiting: mpsc::Receiver<LongRead>) {
    while let Some(LongRead { aggregate_type, aggregate_id, version, state }) = waiting.recv().await {
        if let Err(error) = keep_snapshot(&pool, aggregate_type, &aggregate_id, version, &state).await {
            tracing::debug!(%error, aggregate_id, "failed to keep a snapshot of an aggregate that took long to read");
        }
    }
}
