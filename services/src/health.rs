//! The role health: sees to it that every active target is checked now and then. It only asks; the dispatchers make the
//! checks, inside the windows (`dispatcher/checks.rs`). It takes away old rows, too (`retention.rs`). One is active, others stand
//! by.

use std::time::Duration;

use adapters::dispatch::DispatchStore;
use adapters::leader::Leadership;
use async_trait::async_trait;
use sqlx::PgPool;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::leading::{LeadingRole, lead_in_turn};
use crate::retention::{SWEEP, sweep};

/// The health role.
#[derive(Debug)]
pub struct Scheduler {
    pool: PgPool,
    store: DispatchStore,
    interval: Duration,
}

impl Scheduler {
    /// A scheduler that has each target checked once in `interval`, at random.
    pub fn new(pool: PgPool, interval: Duration) -> Self {
        Self { store: DispatchStore::new(pool.clone(), Uuid::now_v7()), pool, interval }
    }

    /// Works until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let pool = self.pool.clone();
        lead_in_turn(self, &pool, "health", &stop).await;
    }
}

#[async_trait]
impl LeadingRole for Scheduler {
    const NAME: &'static str = "role health";

    async fn lead(&mut self, leadership: &mut Leadership, stop: &CancellationToken) -> anyhow::Result<()> {
        // Often enough that a check is not late by much of its interval.
        let turn = (self.interval / 20).clamp(Duration::from_millis(100), Duration::from_secs(5));
        let mut swept_at: Option<Instant> = None;
        while !stop.is_cancelled() {
            anyhow::ensure!(leadership.is_held().await, "the session that holds the role ended");
            let asked = self.store.plan_checks(self.interval).await?;
            if asked > 0 {
                tracing::debug!(asked, "asked for checks");
            }
            if swept_at.is_none_or(|at| at.elapsed() > SWEEP) {
                swept_at = Some(Instant::now());
                sweep(&self.store).await?;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(turn) => {}
            }
        }
        Ok(())
    }
}
