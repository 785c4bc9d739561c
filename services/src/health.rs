//! The role health: sees to it that every active target is checked now and then. It only asks; the dispatchers make the
//! checks, inside the windows (`dispatcher/checks.rs`). It takes away old checks, calls of looks for drift and openings of circuits, too. One is active,
//! others stand by.

use std::time::Duration;

use adapters::dispatch::DispatchStore;
use adapters::leader::Leadership;
use sqlx::PgPool;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::views::{circuit, health};

/// From one try to take the role to the next.
const STAND_BY: Duration = Duration::from_millis(500);
/// How often old ones are taken away.
const SWEEP: Duration = Duration::from_secs(600);

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
        while !stop.is_cancelled() {
            let taken = tokio::select! {
                () = stop.cancelled() => return,
                taken = Leadership::take(&self.pool, "health", STAND_BY) => taken,
            };
            match taken {
                Ok(mut leadership) => {
                    if let Err(error) = self.lead(&mut leadership, &stop).await {
                        tracing::warn!(error = format!("{error:#}"), "the role health starts again");
                    }
                    leadership.release().await;
                }
                Err(error) => tracing::warn!(error = %error, "the role health cannot reach the database"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(STAND_BY) => {}
            }
        }
    }

    async fn lead(&self, leadership: &mut Leadership, stop: &CancellationToken) -> anyhow::Result<()> {
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
                self.store.forget_checks(health::KEPT_FOR).await?;
                self.store.forget_drift_calls(health::KEPT_FOR).await?;
                self.store.forget_openings(circuit::KNOWN_FOR).await?;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(turn) => {}
            }
        }
        Ok(())
    }
}
