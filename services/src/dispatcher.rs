//! The dispatcher: claims due work over all targets at once, inside their windows, and drives the channels.
//!
//! The gate talks to the shared tables: it takes and frees slots, leases listings, and hands work to workers; checks and
//! reads for a comparison take their slots there themselves, in the same way. A worker reads the listing from the journal,
//! so a stale queue row is harmless, pushes once, and records the outcome. Any number of dispatchers may run.

mod asking;
mod check_places;
mod checks;
mod gate;
mod job;
mod learned;
mod message;
mod overtaken;
mod record;
mod round;
mod sync_slots;
mod target_health;
pub(crate) mod trace;
mod work;

use std::sync::Arc;
use std::time::Duration;

use adapters::dispatch::{DispatchStore, ScopeLimit};
use adapters::nats::Nats;
use domain::channel::ChannelKind;
use domain::port::Channel;
use domain::retry::RetryPolicy;
use domain::window::{RateLimit, Scope};
use sqlx::PgPool;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::commands::Commands;
use crate::payloads::Payloads;
use crate::slots::hold;
use crate::stopping::Stopping;
use gate::Gate;

/// The longest call that may be configured, in seconds: when a creation is settled depends on it (`CREATION_GRACE`).
pub const LONGEST_CALL_S: u64 = 20;
/// How often leases are extended while their workers live.
const EXTENDED_EACH: Duration = Duration::from_secs(5);
/// For an extension that fails once, while slots are still granted.
const SPARE: Duration = Duration::from_secs(5);

/// How a dispatcher is set up.
#[derive(Debug, Clone)]
pub struct DispatcherOptions {
    /// Syncs that are under way at the same time.
    pub concurrency: usize,
    /// How long a call may take.
    pub call_timeout: Duration,
    /// The name of the address that our calls leave from.
    pub egress: String,
    /// The limit of that address.
    pub egress_limit: Option<RateLimit>,
    /// The retry schedule.
    pub retry: RetryPolicy,
}

impl DispatcherOptions {
    /// A listing is leased for so long. Invariant: nobody takes a listing over while a call of its last holder is under
    /// way, or its bytes are, who may be cut off from the database and not from the channel: an older state would arrive last.
    fn lease(&self) -> Duration {
        EXTENDED_EACH + hold(self.call_timeout) + SPARE
    }

    /// Whether the longest call that is granted a slot now has arrived, if ever, before leases run out that were written so long ago. Who was frozen
    /// in a round, or waited long for the database there, may not go on with what it has not extended: others have it by then.
    fn is_held(&self, written: Duration) -> bool {
        written + hold(self.call_timeout) <= self.lease()
    }
}

impl Default for DispatcherOptions {
    fn default() -> Self {
        Self {
            concurrency: 256,
            call_timeout: Duration::from_secs(20),
            egress: "default".to_owned(),
            egress_limit: None,
            retry: RetryPolicy::default(),
        }
    }
}

/// The channels that a dispatcher can drive.
#[derive(Clone)]
pub struct Channels {
    /// Hostaway.
    pub hostaway: Arc<dyn Channel>,
}

impl Channels {
    pub(crate) fn of(&self, kind: ChannelKind) -> &dyn Channel {
        match kind {
            ChannelKind::Hostaway => self.hostaway.as_ref(),
        }
    }
}

/// What every worker shares.
struct Shared {
    commands: Arc<Commands>,
    payloads: Arc<Payloads>,
    channels: Channels,
    options: DispatcherOptions,
    store: DispatchStore,
    failures: target_health::FailureCounts,
    /// The checks of strangers that may wait for a slot.
    strangers: Semaphore,
    /// Those who may look or record at the same time whose an id is.
    learning: Semaphore,
}

/// The dispatcher role.
pub struct Dispatcher {
    nats: Nats,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dispatcher").finish_non_exhaustive()
    }
}

impl Dispatcher {
    /// A dispatcher with a name of its own on leases.
    pub fn new(
        pool: PgPool,
        nats: Nats,
        commands: Arc<Commands>,
        payloads: Arc<Payloads>,
        channels: Channels,
        options: DispatcherOptions,
    ) -> Self {
        let learning = learned::places(&pool);
        let store = DispatchStore::new(pool, Uuid::now_v7());
        let failures = target_health::FailureCounts::default();
        let strangers = Semaphore::new(checks::MOST_STRANGERS);
        let shared = Shared { commands, payloads, channels, options, store, failures, strangers, learning };
        Self { nats, shared: Arc::new(shared) }
    }

    /// Works until `stop`, then lets the calls under way end and records them.
    pub async fn run(self, stopping: Stopping) {
        while let Err(error) = self.ensure_egress().await {
            tracing::warn!(error = %error, "the dispatcher cannot reach the database");
            tokio::select! {
                () = stopping.asked.cancelled() => return,
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        }
        Gate::new(self.nats, self.shared, stopping).run().await;
    }

    /// A dispatcher without a limit for its address leaves what others behind it were given.
    async fn ensure_egress(&self) -> Result<(), sqlx::Error> {
        let scope = Scope::Egress(self.shared.options.egress.clone());
        match self.shared.options.egress_limit {
            Some(limit) => self.shared.store.ensure_scopes(&[ScopeLimit { scope, limit: Some(limit) }]).await,
            None => self.shared.store.know_scope(&scope).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::listing::CREATION_GRACE;
    use domain::port::LATE_ARRIVAL;

    use super::*;
    use crate::slots::START_GRACE;

    /// Cut off from the database just after a grant, which came just before the leases were to be extended.
    #[test]
    fn a_lease_outlives_the_last_call_of_a_holder_that_is_cut_off() {
        for seconds in 1..=LONGEST_CALL_S {
            let options =
                DispatcherOptions { call_timeout: Duration::from_secs(seconds), ..DispatcherOptions::default() };
            let last_call_arrives = EXTENDED_EACH + START_GRACE + options.call_timeout + LATE_ARRIVAL;
            assert!(options.lease() > last_call_arrives, "{:?} for {last_call_arrives:?}", options.lease());
        }
        assert_eq!(DispatcherOptions::default().lease(), Duration::from_secs(40));
    }

    /// Also where one extension in between failed.
    #[test]
    fn a_listing_gets_slots_while_its_lease_outlives_the_call() {
        for seconds in 1..=LONGEST_CALL_S {
            let options =
                DispatcherOptions { call_timeout: Duration::from_secs(seconds), ..DispatcherOptions::default() };
            let longest = options.lease() - START_GRACE - options.call_timeout - LATE_ARRIVAL;
            assert!(options.is_held(EXTENDED_EACH + SPARE) && options.is_held(longest), "{seconds}");
            assert!(!options.is_held(longest + Duration::from_millis(1)), "{seconds}");
        }
    }

    #[test]
    fn windows_rest_after_a_failover_for_as_long_as_a_slot_is_held_at_most() {
        assert_eq!(hold(Duration::from_secs(LONGEST_CALL_S)), adapters::dispatch::LONGEST_HOLD);
    }

    /// Hosts' clocks may differ by 5 s.
    #[test]
    fn a_creation_settles_after_the_longest_call_of_it() {
        let clocks = Duration::from_secs(5);
        let longest = Duration::from_secs(LONGEST_CALL_S);
        assert_eq!(START_GRACE + longest + LATE_ARRIVAL + clocks, CREATION_GRACE.to_std().unwrap());
    }
}
