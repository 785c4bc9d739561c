//! What dispatchers share in Postgres: the claim of due work, the windows, the leases.
//!
//! Invariant: at most n requests in any window. A slot is a row; it is taken under the lock of its lane (or of its
//! scope, where several lanes share one), by the database's clock, and comes back a window after the answer.
//! Invariant: one target never starves another. Work is claimed lane by lane, in one statement for all due lanes.

mod lease;
mod round;
mod scope;
mod slot;

pub use lease::{FinishedTry, Lease};
pub use round::{Candidate, Claims, Lane, Round, RoundRequest, SharedScope};
pub use scope::ScopeLimit;
pub use slot::{Slot, SlotHold};

use sqlx::PgPool;
use uuid::Uuid;

/// The shared state, seen by one dispatcher.
#[derive(Debug, Clone)]
pub struct DispatchStore {
    pool: PgPool,
    holder: Uuid,
}

impl DispatchStore {
    /// A dispatcher's view; `holder` is its name on leases, new at each start.
    pub fn new(pool: PgPool, holder: Uuid) -> Self {
        Self { pool, holder }
    }

    /// How long until some lane wakes, in milliseconds; `None` when nothing is planned. Negative when one is due.
    pub async fn next_wake_ms(&self) -> Result<Option<i64>, sqlx::Error> {
        sqlx::query_scalar(
            // Of targets that a round would look at: the lane of a held or deleted one stays due for ever.
            "SELECT (extract(epoch FROM min(l.wake_at) - now()) * 1000)::bigint
             FROM dispatch_lanes l JOIN channel_targets t USING (target_id)
             WHERE l.wake_at < 'infinity' AND t.lifecycle = 'active' AND t.health <> 'unauthorised'",
        )
        .fetch_one(&self.pool)
        .await
    }

    /// Wakes every lane that has work: the guarantee behind all the hints.
    pub async fn wake_all(&self) -> Result<(), sqlx::Error> {
        sqlx::query(
            "INSERT INTO dispatch_lanes (target_id, wake_at)
             SELECT DISTINCT target_id, now() FROM sync_queue ORDER BY target_id
             ON CONFLICT (target_id) DO UPDATE SET wake_at = least(dispatch_lanes.wake_at, excluded.wake_at)",
        )
        .execute(&self.pool)
        .await
        .map(|_| ())
    }
}
