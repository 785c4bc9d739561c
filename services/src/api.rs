//! The HTTP API: the same commands and read models as the command line, for admins, other services and the dashboard.
//! Who may do what is decided in [`policy`] and `domain::access`, and by Postgres once more in [`reader`].
//!
//! Reading order: [`policy`], [`router`], [`admission`] (what every request passes), [`targets`], [`listings`].

pub mod admission;
pub(crate) mod answer;
pub(crate) mod audit;
pub(crate) mod by;
pub(crate) mod dead_letters;
#[cfg(any(test, fuzzing))]
pub mod door;
mod export;
mod freshness;
mod history;
mod idempotency;
pub mod identity;
pub(crate) mod input;
mod limiter;
pub(crate) mod listings;
mod me;
mod openapi;
pub(crate) mod page;
pub mod policy;
mod probes;
pub mod problem;
mod queue;
pub mod reader;
mod refusals;
mod router;
mod server;
mod service_levels;
mod sign_in;
pub(crate) mod targets;
pub mod vault;

use std::sync::Arc;
use std::time::Duration;

use adapters::destinations::Destinations;
use adapters::identity::Sessions;
use adapters::nats::Nats;
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::TraceUrl;
use crate::dashboard::Live;
use crate::drift::DriftReader;
use crate::syncing::Syncing;
use identity::Identity;
use limiter::Limiter;
use vault::Vault;

pub use openapi::document;
pub use router::router;

/// How often what has expired is taken away.
const SWEEP: Duration = Duration::from_secs(600);

/// How the API is run.
#[derive(Debug, Clone)]
pub struct ApiOptions {
    /// Requests that one caller may make in a second; as many again may come at once.
    pub requests_per_second: u32,
    /// Where targets may lead.
    pub destinations: Destinations,
    /// Where traces can be looked at.
    pub trace_url: Option<TraceUrl>,
    /// When the process is to stop.
    pub stop: CancellationToken,
    /// How long those who come after the stop are served, until others know of it.
    pub drain: Duration,
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
    destinations: Destinations,
    trace_url: Option<TraceUrl>,
    live: Live,
    /// The process is to stop.
    stop: CancellationToken,
    drain: Duration,
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
        let ApiOptions { destinations, trace_url, stop, drain, .. } = options;
        Self {
            inner: Arc::new(Inner {
                pool,
                nats,
                syncing,
                identity,
                vault,
                drift,
                limiter,
                destinations,
                trace_url,
                live: Live::until(stop.clone()),
                stop,
                drain,
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

    /// Where traces can be looked at.
    pub(crate) fn trace_url(&self) -> Option<&TraceUrl> {
        self.inner.trace_url.as_ref()
    }

    /// Who is signed in.
    pub(crate) fn sessions(&self) -> &Sessions {
        &self.inner.identity.sessions
    }

    /// Pages that are kept up to date.
    pub(crate) fn live(&self) -> &Live {
        &self.inner.live
    }

    /// Serves until the stop; requests under way end first.
    pub async fn run(self, listener: TcpListener) {
        let sessions = self.inner.identity.sessions.clone();
        if self.inner.identity.local.is_none() {
            match sessions.end_links().await {
                Ok(0) => {}
                Ok(ended) => tracing::info!(
                    ended,
                    "there is a provider now: links, and sessions that began with one, have ended"
                ),
                Err(error) => tracing::warn!(%error, "sessions that began with a link could not be ended"),
            }
        }
        let (stop, drain) = (self.inner.stop.clone(), self.inner.drain);
        let swept = stop.child_token();
        tokio::spawn(swept.run_until_cancelled_owned(async move { sweep(&sessions).await }));
        server::serve(listener, router(self), stop, drain).await;
    }
}

/// Forgets sessions, links and logins that have expired.
async fn sweep(sessions: &Sessions) {
    let mut turns = tokio::time::interval(SWEEP);
    loop {
        turns.tick().await;
        if let Err(error) = sessions.sweep().await {
            tracing::warn!(error = %error, "failed to sweep what has expired");
        }
    }
}
