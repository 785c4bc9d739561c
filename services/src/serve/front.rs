//! The API and the dashboard on threads and connections of its own, in whatever process it runs: a request waits neither behind the mapping
//! of a thousand units nor behind the journal's next batch of them.

use std::sync::Arc;
use std::time::Duration;

use adapters::event_store::{Journal, JournalOptions};
use adapters::nats::Nats;
use anyhow::Context as _;
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Channels, identity};
use crate::api::vault::Vault;
use crate::api::{Api, ApiOptions};
use crate::config::{Connections, Role, ServeOptions};
use crate::dashboard::Dashboard;
use crate::descriptors;
use crate::drift::DriftReader;
use crate::http;
use crate::schema::Schema;
use crate::stopping::Stopping;
use crate::syncing::Syncing;

/// Requests mostly wait for Postgres.
const THREADS: usize = 2;

/// Threads and connections of the API.
pub(super) struct Front {
    threads: Threads,
    handle: Handle,
    pool: PgPool,
    listener: TcpListener,
    schema: Schema,
}

impl Front {
    /// Listens, and connects as often as `options.pool` allows. Before the schema is there it will answer probes alone.
    pub(super) async fn open(
        connections: &Connections,
        options: &ServeOptions,
        schema: &Schema,
    ) -> anyhow::Result<Self> {
        let (address, most, connections) = (options.listen, options.pool, connections.clone());
        let listen = async move {
            let refused =
                || format!("the API cannot listen at {address}: give another --listen, or leave out the role api");
            let listener = TcpListener::bind(address).await.with_context(refused)?;
            Ok((listener, connections.postgres_pinging(most).await?))
        };
        let runtime = Builder::new_multi_thread().worker_threads(THREADS).thread_name("api").enable_all().build();
        let runtime = runtime.context("the API has no threads")?;
        let (handle, threads) = (runtime.handle().clone(), Threads(Some(runtime)));
        let opened: anyhow::Result<_> = handle.spawn(listen).await?;
        let (listener, pool) = opened?;
        Ok(Self { threads, handle, pool, listener, schema: schema.clone() })
    }

    /// Its connections.
    pub(super) fn pool(&self) -> PgPool {
        self.pool.clone()
    }

    /// Serves until the stop. The threads stay until what is returned goes: connections to channels that a request opened
    /// are used by others too. `appended` is told what requests wrote.
    pub(super) fn serve(
        self,
        nats: &Nats,
        channels: &Channels,
        appended: watch::Sender<i64>,
        options: &ServeOptions,
        roles: &mut JoinSet<()>,
        stopping: &Stopping,
    ) -> anyhow::Result<Threads> {
        let stop = &stopping.asked;
        let _inside = self.handle.enter();
        let pool = self.pool.clone();
        let journal = Journal::telling(pool.clone(), JournalOptions::default(), appended);
        let syncing = Syncing::over(journal);
        let vault = Vault::new(Arc::new(options.secrets.secrets()), options.keep_secrets_in);
        let api_options = ApiOptions {
            requests_per_second: options.api_rate,
            destinations: options.reach.destinations(),
            trusted_proxies: options.trusted_proxies.clone(),
            provider: options.identity.providers.provider(),
            schema: self.schema,
            stop: stop.clone(),
        };
        let drift = DriftReader::new(pool.clone(), syncing.clone(), channels.clone(), options.calls.egress());
        let identity = identity(&pool, options)?;
        let api = Api::new(pool, nats.clone(), syncing, identity, vault, drift, api_options);
        let most = connections(options);
        let dashboard = Dashboard::new(api.clone(), options.trace_url.clone(), stop.clone(), most);
        let drain = Duration::from_secs(options.drain_s);
        let served = http::run(api, dashboard, self.listener, most, stop.clone(), drain);
        let served = self.handle.spawn(served);
        let served = async move {
            // A panic has ended the process already.
            let _ = served.await;
        };
        roles.spawn(stopping.clone().unless_in_vain(served));
        Ok(self.threads)
    }
}

/// As many as the limit of open files leaves room for.
fn connections(options: &ServeOptions) -> usize {
    let calls = if options.runs(Role::Dispatcher) { options.concurrency } else { 0 };
    let files = descriptors::now();
    let most = descriptors::connections(files, descriptors::reserve(options.pool, calls));
    if most < descriptors::CONNECTIONS {
        let few = "the limit of open files leaves room for few connections to the API: raise it";
        tracing::warn!(connections = most, files, "{few}");
    }
    most
}

/// Threads that go when this does, whatever they still do: a runtime that just drops would wait for them.
pub(super) struct Threads(Option<Runtime>);

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
