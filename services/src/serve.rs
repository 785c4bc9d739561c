//! Running the roles until a signal: the first one stops gently, the second one at once.

mod database;
mod front;
mod transport;

use std::sync::Arc;
use std::time::Duration;

use adapters::event_store::{Journal, JournalOptions};
use adapters::hostaway::{self, Hostaway};
use adapters::identity::{LocalIdentity, Sessions, SignInLinks};
use adapters::nats::Nats;
use adapters::units::UnitStore;
use anyhow::Context;
use sqlx::PgPool;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::api::identity::Identity;
use crate::clock;
use crate::commands::Commands;
use crate::config::{CallOptions, ChannelReach, Connections, Role, SecretsOptions, ServeOptions};
use crate::descriptors;
use crate::dispatcher::{Channels, Dispatcher, DispatcherOptions};
use crate::health::Scheduler;
use crate::intake::Intake;
use crate::payloads::Payloads;
use crate::projector::Projector;
use crate::relay::Relay;
use crate::schema::Schema;
use crate::stopping::{Signals, Stopping};
use crate::syncing::Syncing;
use crate::telemetry::{self, Logs, Pools};
use front::{Front, Threads};

/// A stop waits for a Postgres that is away for so much longer than it drains.
const WITHOUT_POSTGRES: Duration = Duration::from_secs(5);
/// What was cut, or only tells how the process does, has so long to end.
const LAST: Duration = Duration::from_secs(2);
/// The last of the traces may take so long to be sent.
const TELLING: Duration = Duration::from_secs(5);

/// Runs the roles until a signal asks for the stop. They begin when the schema is there and JetStream has answered, or had its time for
/// that; probes are answered before.
///
/// A panic, in whatever task, ends the process at once, so that a supervisor starts it afresh: a task that is gone
/// would leave its leases, its slots or the journal's queue to nobody.
pub async fn serve(connections: &Connections, options: &ServeOptions, logs: Logs) -> anyhow::Result<()> {
    abort_on_panic();
    descriptors::raise();
    let stopping = Stopping::default();
    let stop = &stopping.asked;
    let pool = connections.postgres_for_lookups(options.pool).await?;
    let schema = Schema::of(&pool).await.context("failed to look at the schema")?;
    clock::warn(&pool).await;
    let there = schema.lacks().is_none();
    if there {
        // What was migrated is compared with what this build knows of it.
        schema.complete(&pool, !options.no_migrate).await?;
    }
    let mut watchers = JoinSet::new();
    let nats = transport::reach(connections).await?;
    let mut making = Box::pin(transport::make(&nats));
    let mut made = None;
    if there {
        transport::own(&nats, &pool).await?;
        made = transport::soon(&mut making, &schema).await?;
    }
    let front = if options.runs(Role::Api) { Some(Front::open(connections, options, &schema).await?) } else { None };
    let pools = Pools { work: pool.clone(), api: front.as_ref().map(Front::pool) };
    let told = telemetry::serve(&options.telemetry, logs, pools, &nats, &schema, &mut watchers, stop).await?;
    // Also while it stops: what is under way would wait for answers that do not come.
    let mut database = JoinSet::new();
    let longest_silence = Duration::from_secs(options.silence_s);
    database.spawn(database::watch(pool.clone(), longest_silence, stopping.in_vain.clone()));
    let (mut roles, _threads) = start(&pool, &nats, options, front, &schema, &stopping)?;
    let serving = async {
        if !there {
            schema.complete(&pool, !options.no_migrate).await?;
            schema.hold(transport::ASKED);
            // Before any role begins: it refuses streams of another database from then on.
            transport::own(&nats, &pool).await?;
        }
        let has_streams = match made {
            Some(made) => made,
            None => making.await?,
        };
        schema.open();
        tracing::info!(roles = ?options.roles(), "serving");
        tokio::select! {
            _ = roles.join_next() => anyhow::Ok(()),
            refused = transport::set_up(&nats, has_streams) => Err(refused),
        }
    };
    let mut signals = Signals::listen().context("a process may listen for signals")?;
    let refused = tokio::select! {
        // First of all: roles end by themselves then.
        biased;
        () = stopping.in_vain.cancelled() => Some(anyhow::anyhow!("Postgres was lost: {}", database::LOST)),
        () = signals.wait() => None,
        ended = serving => match ended {
            Ok(()) => anyhow::bail!("a role ended by itself; see the log above"),
            Err(refused) => Some(refused),
        },
    };
    tracing::info!("stopping: calls under way end and are recorded; SIGTERM or SIGINT twice stops at once");
    stop.cancel();
    let asked_at = Instant::now();
    tokio::select! {
        () = all(&mut roles) => tracing::info!("stopped"),
        () = signals.twice() => tracing::warn!("stopped at once; leases and slots run out by themselves"),
        () = stopping.watch(&pool, Duration::from_secs(options.drain_s) + WITHOUT_POSTGRES) => {}
        () = stopping.in_vain.cancelled() => {}
    }
    if stopping.in_vain.is_cancelled() {
        let _ = tokio::time::timeout(LAST, all(&mut roles)).await;
    }
    // They were told at the same time as the roles.
    if tokio::time::timeout_at(asked_at + LAST, all(&mut watchers)).await.is_err() {
        watchers.shutdown().await;
    }
    // The last of the traces is sent by a thread that may block.
    if let Some(told) = Arc::into_inner(told) {
        tokio::task::spawn_blocking(move || told.stop(TELLING)).await?;
    }
    refused.map_or(Ok(()), Err)
}

/// Until each of them has ended.
async fn all(tasks: &mut JoinSet<()>) {
    while tasks.join_next().await.is_some() {}
}

fn start(
    pool: &PgPool,
    nats: &Nats,
    options: &ServeOptions,
    front: Option<Front>,
    schema: &Schema,
    stopping: &Stopping,
) -> anyhow::Result<(JoinSet<()>, Option<Threads>)> {
    let stop = &stopping.asked;
    let mut roles = JoinSet::new();
    let head = watch::Sender::new(0);
    let appended = head.subscribe();
    let journal = Journal::telling(pool.clone(), JournalOptions::default(), head.clone());
    let commands = Arc::new(Commands::new(journal));
    let units = UnitStore::new(pool.clone());
    let sends = options.runs(Role::Dispatcher);
    let payloads = if sends { Payloads::keeping(units.clone()) } else { Payloads::new(units.clone()) };
    let payloads = Arc::new(payloads);
    if options.runs(Role::Relay) {
        let relay = Relay::new(pool.clone(), nats.clone(), appended).run(stop.clone());
        roles.spawn(schema.clone().then(stop.clone(), stopping.clone().unless_in_vain(relay)));
    }
    if options.runs(Role::Projector) {
        let projector = Projector::new(pool.clone(), nats.clone()).run(stop.clone());
        roles.spawn(schema.clone().then(stop.clone(), stopping.clone().unless_in_vain(projector)));
    }
    let syncing = Syncing::new(commands.clone(), units, payloads.clone());
    let channels = channels(&options.calls, &options.secrets, options.reach)?;
    let threads = front.map(|front| front.serve(nats, &channels, head, options, &mut roles, stopping)).transpose()?;
    if options.runs(Role::Intake) {
        let intake = Intake::new(nats.clone(), syncing).run(stop.clone());
        roles.spawn(schema.clone().then(stop.clone(), stopping.clone().unless_in_vain(intake)));
    }
    if options.runs(Role::Health) {
        let interval = Duration::from_secs(options.health_interval_s);
        let scheduler = Scheduler::new(pool.clone(), interval).run(stop.clone());
        roles.spawn(schema.clone().then(stop.clone(), stopping.clone().unless_in_vain(scheduler)));
    }
    if options.runs(Role::Dispatcher) {
        let options = DispatcherOptions {
            concurrency: options.concurrency.into(),
            call_timeout: options.calls.call_timeout(),
            egress: options.calls.egress.clone(),
            egress_limit: options.egress_limit,
            ..DispatcherOptions::default()
        };
        let dispatcher = Dispatcher::new(pool.clone(), nats.clone(), commands, payloads, channels, options);
        roles.spawn(schema.clone().then(stop.clone(), dispatcher.run(stopping.clone())));
    }
    Ok((roles, threads))
}

/// The channels, with credentials from these keepers.
pub fn channels(calls: &CallOptions, secrets: &SecretsOptions, reach: ChannelReach) -> anyhow::Result<Channels> {
    let config = hostaway::Config {
        call_timeout: calls.call_timeout(),
        destinations: reach.destinations(),
        ..hostaway::Config::default()
    };
    let hostaway = Hostaway::new(&config, Arc::new(secrets.secrets())).context("failed to set up the HTTP client")?;
    Ok(Channels { hostaway: Arc::new(hostaway) })
}

/// Who may come in. What this service gives out itself is good only where there is no identity provider.
fn identity(pool: &PgPool, options: &ServeOptions) -> anyhow::Result<Identity> {
    let local = match options.identity.providers.provider() {
        Some(_) => None,
        None => Some(LocalIdentity::open(&options.secrets.secrets_dir)?),
    };
    let secrets = Arc::new(options.secrets.secrets());
    let sessions = Sessions::new(pool.clone());
    let sessions = if local.is_some() { sessions } else { sessions.of_the_provider() };
    Ok(Identity {
        local,
        services: options.identity.service_tokens()?,
        oidc: options.identity.oidc_login(secrets, pool.clone())?,
        links: SignInLinks::new(pool.clone()),
        sessions,
    })
}

fn abort_on_panic() {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        told(panic);
        std::process::abort();
    }));
}
