//! What dispatchers share in Postgres: the claim of due work, the windows, the leases.
//!
//! Invariant: at most n requests in any window. A slot is a row; it is taken under the lock of its lane (or of its
//! scope, where several lanes share one), by the database's clock, and comes back a window after the answer.
//! Invariant: one target never starves another. Work is claimed lane by lane, in one round over all due lanes.
//! Locks are taken in one order: lanes by target, then scopes by name, then slots by scope and number.

mod check;
mod circuit;
mod closed;
mod drift_calls;
mod due_checks;
mod failover;
mod lease;
mod linked;
mod round;
mod scope;
mod settlement;
mod shared_scope;
mod slot;
mod strangers;
mod wake;

pub use check::BY_TURN;
pub use circuit::BY_CIRCUIT;
pub use due_checks::{CheckRoom, DueCheck};
pub use failover::LONGEST_HOLD;
pub use lease::{FinishedTry, Lease};
pub use linked::{NAMES_ID, in_json, linked_at_target, linked_in_account};
pub use round::{Candidate, Claims, Lane, Round, RoundRequest};
pub use scope::{ACCOUNT_SCOPE, ScopeLimit};
pub use settlement::Settlement;
pub use shared_scope::SharedScope;
pub use slot::{Slot, SlotHold};
pub use strangers::{ORG_STRANGERS_WINDOW_MS, STRANGERS_WINDOW_MS, strangers_rule, waiting_strangers};
pub use wake::WakesTaken;

use std::sync::LazyLock;

use sqlx::{PgPool, Postgres, Transaction};
use uuid::Uuid;

use crate::postgres::{PLANNED_FOR_LOOKUPS, begin_with};

/// Targets (`t`) that may be called now: the others keep their work.
const CALLABLE: &str = "t.lifecycle = 'active' AND t.health <> 'unauthorised' AND NOT EXISTS (
    SELECT 1 FROM dispatch_circuits o WHERE o.target_id = t.target_id AND o.opened > 0)";

/// Rows of the queue that nobody works on and whose work is not done; `q` is the row, `c` its listing, `d` that one's lease. What is done
/// is so for a while only: see [`settlement::DONE_FOR`].
const CLAIMABLE: &str = "c.state = 'active' AND (d.listing_id IS NULL OR d.lease_until <= now()
    OR (d.done AND (q.ordinal, q.tries) > (d.ordinal, d.tries)))";

// Rows are looked up by index, whatever a plan was made on. Planned while few listings were leased, a claim scans all
// leases for each candidate: 3.3 s instead of 33 ms at 10,000 leases. All of it goes to the server together.
static BEGIN: LazyLock<String> =
    LazyLock::new(|| format!("BEGIN; SET LOCAL plan_cache_mode = force_generic_plan; {}", *PLANNED_FOR_LOOKUPS));

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

    /// A transaction over lanes, slots, leases and the queue. Unless it is `durable`, its commit does not wait for the
    /// disk, and a crash of the database may take it back.
    async fn begin(&self, durable: bool) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        let waits = if durable { "" } else { "; SET LOCAL synchronous_commit = off" };
        begin_with(&self.pool, format!("{}{waits}", *BEGIN)).await
    }

    /// The same for a round, which wants the first of what waits: a bitmap has no order, so that a plan made while the queue is empty
    /// would sort all of it.
    async fn begin_ordered(&self) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        begin_with(&self.pool, format!("{}; SET LOCAL enable_bitmapscan = off", *BEGIN)).await
    }

    /// The same where the index has the order but for what is due at one time: Postgres 15 would sort all of it by a plan that was made
    /// while nothing was due, and later ones sort what is due at one time.
    async fn begin_ordered_by_time(&self) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        let settings = "SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off";
        begin_with(&self.pool, format!("{}; {settings}", *BEGIN)).await
    }
}
