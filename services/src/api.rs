//! The HTTP API: the same commands and read models as the command line, for admins, other services and the dashboard.
//! Who may do what is decided in [`policy`] and `domain::access`, and by Postgres once more in [`reader`].
//!
//! It knows no dashboard: [`crate::http`] serves the two together.
//!
//! Reading order: [`policy`], [`router`], [`admission`] (what every request passes), [`targets`], [`listings`].

pub mod admission;
pub(crate) mod answer;
pub(crate) mod audit;
pub(crate) mod by;
mod conditional;
pub(crate) mod connection;
pub(crate) mod dead_letters;
pub(crate) mod described;
mod export;
mod freshness;
#[cfg(any(test, fuzzing))]
pub mod fuzz_door;
pub(crate) mod history;
mod idempotency;
pub mod identity;
pub(crate) mod if_match;
pub(crate) mod input;
mod known;
mod limiter;
pub(crate) mod listings;
mod me;
mod openapi;
pub(crate) mod page;
pub mod policy;
pub(crate) mod probes;
pub mod problem;
pub mod proxies;
mod queue;
pub mod reader;
mod router;
pub(crate) mod service_levels;
pub(crate) mod targets;
pub(crate) mod ties;
pub(crate) mod transport;
pub mod vault;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use adapters::destinations::Destinations;
use adapters::identity::{Sessions, tell_provider};
use adapters::nats::Nats;
use domain::ids::OrgId;
use sqlx::PgPool;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::credentials::left_over::Gone;
use crate::drift::DriftReader;
use crate::schema::Schema;
use crate::shared_look::SharedLook;
use crate::syncing::Syncing;
use identity::Identity;
use known::Known;
use limiter::Limiter;
use probes::{Answering, PATIENCE};
use proxies::TrustedProxy;
use transport::{Letters, Transport};
use vault::Vault;

pub use openapi::document;

/// How often what has expired is taken away.
const SWEEP: Duration = Duration::from_secs(600);
/// How often secrets without an event are looked for.
const LOOK: Duration = Duration::from_secs(20);

/// How the API is run.
#[derive(Debug, Clone)]
pub struct ApiOptions {
    /// Requests that one caller may make in a second; as many again may come at once.
    pub requests_per_second: u32,
    /// Where targets may lead.
    pub destinations: Destinations,
    /// Whose word is taken for the address that a request comes from.
    pub trusted_proxies: Vec<TrustedProxy>,
    /// The setting that names an identity provider, if one does.
    pub provider: Option<&'static str>,
    /// Until it is there, probes alone are answered.
    pub schema: Schema,
    /// When the process is to stop.
    pub stop: CancellationToken,
}

/// What handlers work with. Clones share everything.
#[derive(Debug, Clone)]
pub struct Api {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    pool: PgPool,
    nats: Nats,
    syncing: Syncing,
    identity: Identity,
    vault: Vault,
    drift: DriftReader,
    limiter: Limiter,
    known: Known,
    destinations: Destinations,
    trusted_proxies: Vec<TrustedProxy>,
    last_look: SharedLook<Answering>,
    last_look_at_nats: SharedLook<bool>,
    transport: watch::Sender<Transport>,
    letters: watch::Sender<Letters>,
    provider: Option<&'static str>,
    schema: Schema,
    /// Set when requests may be served.
    opened: OnceLock<()>,
    /// The process is to stop.
    stop: CancellationToken,
}

impl Api {
    /// An API over these.
    pub fn new(
        pool: PgPool,
        nats: Nats,
        syncing: Syncing,
        identity: Identity,
        vault: Vault,
        drift: DriftReader,
        options: ApiOptions,
    ) -> Self {
        let limiter = Limiter::new(options.requests_per_second);
        let ApiOptions { destinations, trusted_proxies, provider, schema, stop, .. } = options;
        Self {
            inner: Arc::new(Inner {
                pool,
                nats,
                syncing,
                identity,
                vault,
                drift,
                limiter,
                known: Known::default(),
                destinations,
                trusted_proxies,
                last_look: SharedLook::default(),
                last_look_at_nats: SharedLook::default(),
                transport: watch::Sender::default(),
                letters: watch::Sender::default(),
                provider,
                schema,
                opened: OnceLock::new(),
                stop,
            }),
        }
    }

    /// The database.
    pub(crate) fn pool(&self) -> &PgPool {
        &self.inner.pool
    }

    /// Asking for syncs.
    pub(crate) fn syncing(&self) -> &Syncing {
        &self.inner.syncing
    }

    /// The credentials that are taken.
    pub(crate) fn identity(&self) -> &Identity {
        &self.inner.identity
    }

    /// Who is signed in.
    pub(crate) fn sessions(&self) -> &Sessions {
        &self.inner.identity.sessions
    }

    /// The schema, as this process has seen it last.
    pub(crate) fn schema(&self) -> &Schema {
        &self.inner.schema
    }

    /// Whether requests are served.
    pub(crate) fn is_open(&self) -> bool {
        self.inner.opened.get().is_some()
    }

    /// Begins to serve requests, on a schema that is there.
    pub(crate) async fn open(&self) {
        // The migration that was waited for may have ended connections of the pool.
        let mut told = tell_provider(&self.inner.pool, self.inner.provider).await;
        for _ in 0..2 {
            if told.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            told = tell_provider(&self.inner.pool, self.inner.provider).await;
        }
        if let Err(error) = told {
            let untold = "`distribution sign-in` and `token` are not told whether there is an identity provider";
            tracing::warn!(%error, "{untold}");
        }
        self.end_what_a_provider_ends().await;
        let _ = self.inner.opened.set(());
    }

    /// Whether the process is to stop.
    pub(crate) fn stops(&self) -> bool {
        self.inner.stop.is_cancelled()
    }

    /// Returns when it is to.
    pub(super) async fn stopping(&self) {
        self.inner.stop.cancelled().await;
    }

    /// Whether NATS answers, as somebody has heard within the last second.
    async fn nats_answers(&self) -> bool {
        self.inner.last_look_at_nats.or(self.inner.nats.answers(PATIENCE)).await
    }

    /// Whether NATS and the relay do what the pages need them for, as [`Self::watch_transport`] has seen it last.
    pub(crate) fn transport(&self) -> Transport {
        *self.inner.transport.borrow()
    }

    /// How many dead letters name an organisation, as [`Self::watch_transport`] has counted them last.
    pub(crate) fn dead_letters_of(&self, org: &OrgId) -> u64 {
        self.inner.letters.borrow().get(org).copied().unwrap_or_default()
    }

    /// Keeps [`Self::transport`] and [`Self::dead_letters_of`] up to date.
    pub(crate) async fn watch_transport(&self) {
        transport::watch(self).await;
    }

    /// Returns when the looks for drift whose askers have left are over, and written down.
    pub(crate) async fn end_looks(&self) {
        self.inner.drift.end().await;
    }

    /// Where there is a provider, links and the sessions that began with one are over.
    async fn end_what_a_provider_ends(&self) {
        if self.inner.identity.local.is_some() {
            return;
        }
        match self.sessions().end_links().await {
            Ok(0) => {}
            Ok(ended) => {
                tracing::info!(ended, "there is a provider now: links, and sessions that began with one, have ended");
            }
            Err(error) => tracing::warn!(%error, "sessions that began with a link could not be ended"),
        }
    }

    /// Forgets sessions, links, logins and kept answers that have expired, again and again.
    pub(crate) async fn sweep(&self) {
        let mut turns = tokio::time::interval(SWEEP);
        loop {
            turns.tick().await;
            if let Err(error) = self.sessions().sweep().await {
                tracing::warn!(error = %error, "failed to sweep what has expired");
            }
            if let Err(error) = idempotency::sweep(self.pool()).await {
                tracing::warn!(error = %error, "failed to sweep answers that were kept for long enough");
            }
        }
    }

    /// Takes away secrets of deleted targets that are still there, now and again and again: a keeper may be away for long.
    pub(crate) async fn sweep_secrets(&self) {
        let (mut turns, mut gone) = (tokio::time::interval(SWEEP), Gone::default());
        loop {
            turns.tick().await;
            self.inner.vault.sweep(self.pool(), &mut gone).await;
        }
    }

    /// Takes back secrets that were put in their place without an event, the same way. Beside the other: of many deleted targets AWS is asked for
    /// minutes.
    pub(crate) async fn take_back_secrets(&self) {
        let mut looks = tokio::time::interval(LOOK);
        loop {
            looks.tick().await;
            self.inner.vault.sweep_pending(self.pool()).await;
        }
    }
}
