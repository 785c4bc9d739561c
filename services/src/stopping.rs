//! How a process stops: it is asked to, and where Postgres is away then, it does not wait for it for long.

use std::time::Duration;

use adapters::postgres::answers;
use sqlx::PgPool;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// From one question to the next.
const LOOK: Duration = Duration::from_millis(250);
/// The longest wait for an answer, by either way.
const PATIENCE: Duration = Duration::from_millis(500);

/// A stop, as roles see it. Clones are one.
#[derive(Debug, Clone, Default)]
pub struct Stopping {
    /// Nothing new begins, what is under way ends.
    pub asked: CancellationToken,
    /// Nothing can be written down any more: what is under way is cut, and told to the log.
    pub in_vain: CancellationToken,
}

impl Stopping {
    /// Runs what has nothing to tell once all is in vain: what it waits for then, it leaves as it does in a crash.
    pub async fn unless_in_vain(self, work: impl Future<Output = ()>) {
        tokio::select! {
            () = work => {}
            () = self.in_vain.cancelled() => {}
        }
    }

    /// Returns when Postgres has not answered for so long, and ends the waiting for it. To be called after the stop.
    pub async fn watch(&self, pool: &PgPool, longest: Duration) {
        let mut answered_at = Instant::now();
        loop {
            match answers(pool, PATIENCE).await {
                Ok(()) => answered_at = Instant::now(),
                Err(reason) if answered_at.elapsed() >= longest => {
                    tracing::warn!(
                        %reason,
                        "stopping without Postgres: what is under way is cut, leases and slots run out by themselves"
                    );
                    self.in_vain.cancel();
                    return;
                }
                Err(_) => {}
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
