//! A world of its own for one test.

mod expectations;

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

use adapters::event_store::{Journal, JournalOptions};
use adapters::nats::Nats;
use adapters::nats::topology::StreamKind;
use adapters::postgres::MIGRATOR;
use anyhow::{Context, ensure};
use async_nats::jetstream::message::StreamMessage;
use domain::ids::{AccountId, ListingId, OrgId, TargetId, UnitId};
use domain::metadata::{Actor, Metadata};
use domain::target::{NewTarget, TargetCommand};
use domain::window::RateLimit;
use futures::{StreamExt, TryStreamExt};
use rustix::process::{Signal, pidfd_send_signal};
use serde_json::Value;
use services::commands::Commands;
use services::linking::AtChannel;
use services::syncing::Syncing;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool};
use uuid::Uuid;

use crate::process::Process;
use crate::sandbox::Sandbox;

/// The organisation of most tests.
pub const ORG: &str = "tvl";
/// Its account.
pub const ACCOUNT: &str = "villas";

/// What a world begins with, where that is not nothing.
#[derive(Debug, Default)]
pub struct Beginning {
    /// A database of another Postgres than the shared one.
    pub database_url: Option<String>,
    /// Other NATS servers than the shared one.
    pub nats_url: Option<String>,
    /// On how many of them each stream is.
    pub replicas: Option<usize>,
    /// The prefix of streams that are there already.
    pub prefix: Option<String>,
    /// The database as a dump in plain SQL. It is not migrated, and no stream is made.
    pub tables: Option<String>,
    /// The sandbox's state file.
    pub channel: Option<PathBuf>,
}

/// Everything that one test needs.
pub struct World {
    /// The sandbox.
    pub sandbox: Sandbox,
    /// A pool on this world's database.
    pub pool: PgPool,
    /// A connection with this world's prefix.
    pub nats: Nats,
    /// Commands and syncs, as the command line gives them.
    pub syncing: Syncing,
    published: AtomicI64,
    started: AtomicI64,
    /// The processes of the service that were started, whether they run or not.
    services: Mutex<Vec<OwnedFd>>,
    folder: tempfile::TempDir,
    nats_url: String,
    database: String,
    /// Databases whose place was taken by a restore.
    replaced: Vec<String>,
    /// Any database of its Postgres.
    postgres_url: String,
    server: PgConnectOptions,
}

/// Commands and syncs of a process that has seen nothing yet.
fn syncing(pool: &PgPool) -> Syncing {
    Syncing::over(Journal::new(pool.clone(), JournalOptions::default()))
}

fn variable(name: &str) -> anyhow::Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set: run the tests by `./justw test`"))
}

/// The options with the password and socket of `options`, but another database, as a URL.
fn url_of(base: &str, database: &str) -> anyhow::Result<String> {
    let (head, query) = base.split_once('?').map_or((base, ""), |(head, query)| (head, query));
    let slash = head.rfind('/').context("DATABASE_URL names a database")?;
    let query = if query.is_empty() { String::new() } else { format!("?{query}") };
    Ok(format!("{}/{database}{query}", &head[..slash]))
}

impl World {
    /// A world with a sandbox of these accounts.
    pub async fn new(accounts: &[u64]) -> anyhow::Result<Self> {
        Self::begin(Beginning::default(), accounts).await
    }

    /// The same with another beginning.
    pub async fn begin(beginning: Beginning, accounts: &[u64]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let Beginning { database_url, nats_url, replicas, prefix, tables, channel } = beginning;
        // Another server does not have it, and whoever brings tables wants no others.
        let template = std::env::var("TEST_TEMPLATE").ok().filter(|_| database_url.is_none() && tables.is_none());
        let postgres_url = database_url.map_or_else(|| variable("DATABASE_URL"), Ok)?;
        let id = Uuid::now_v7().simple().to_string();
        let database = format!("e2e_{id}");
        let server = PgConnectOptions::from_str(&postgres_url)?;
        let mut admin = server.connect().await?;
        let template = template.map(|name| format!(" TEMPLATE {name}")).unwrap_or_default();
        sqlx::query(&format!("CREATE DATABASE {database}{template}")).execute(&mut admin).await?;
        admin.close().await?;
        let pool = PgPoolOptions::new().max_connections(8).connect_with(server.clone().database(&database)).await?;
        let nats_url = nats_url.map_or_else(|| variable("NATS_URL"), Ok)?;
        let prefix = prefix.unwrap_or_else(|| format!("e2e-{}", &id[20..])).parse()?;
        let nats = Nats::connect(&nats_url, prefix, "end-to-end").await?.with_replicas(replicas);
        if let Some(tables) = tables {
            // A dump changes the settings of its session, which nobody else should have.
            let mut session = server.clone().database(&database).connect().await?;
            sqlx::raw_sql(&tables).execute(&mut session).await?;
            session.close().await?;
        } else {
            MIGRATOR.run(&pool).await?;
            nats.ensure_streams().await?;
        }
        let state = channel.map(|file| ["--state-file".to_owned(), file.display().to_string()]);
        let further: Vec<&str> = state.iter().flatten().map(String::as_str).collect();
        let sandbox = Sandbox::start_with(folder.path(), accounts, &further).await?;
        std::fs::create_dir(folder.path().join("secrets"))?;
        for account in accounts {
            use std::os::unix::fs::PermissionsExt;
            let path = folder.path().join(format!("secrets/hostaway-{account}"));
            std::fs::write(&path, format!("secret-{account}"))?;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        }
        let syncing = syncing(&pool);
        let (published, started) = (AtomicI64::new(0), AtomicI64::new(0));
        let replaced = Vec::new();
        Ok(Self {
            sandbox,
            pool,
            nats,
            syncing,
            published,
            started,
            services: Mutex::default(),
            folder,
            nats_url,
            database,
            replaced,
            postgres_url,
            server,
        })
    }

    /// The commands.
    pub fn commands(&self) -> &Commands {
        self.syncing.commands()
    }

    /// A `distribution` process with these roles, none for all.
    pub fn serve(&self, roles: &str) -> anyhow::Result<Process> {
        self.serve_with(roles, &[])
    }

    /// The same with further arguments.
    pub fn serve_with(&self, roles: &str, further: &[&str]) -> anyhow::Result<Process> {
        let mut arguments = vec!["serve".to_owned()];
        arguments.extend(further.iter().map(|argument| (*argument).to_owned()));
        if !roles.is_empty() {
            arguments.extend(["--roles".to_owned(), roles.to_owned()]);
        }
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let log = self.folder.path().join(format!("serve-{}-{number}.log", roles.replace(',', "-")));
        let service = Process::start("distribution", &arguments, &self.environment()?, &log)?;
        self.services.lock().unwrap_or_else(PoisonError::into_inner).push(service.handle()?);
        Ok(service)
    }

    /// Runs `distribution` with these arguments to its end; gives its exit code and what it printed.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<(i32, String, String)> {
        self.run_with(&[], arguments)
    }

    /// The same with further variables in its environment.
    pub fn run_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> anyhow::Result<(i32, String, String)> {
        let output = std::process::Command::new(crate::process::binary("distribution")?)
            .args(arguments)
            .envs(self.environment()?)
            .envs(variables.iter().copied())
            .output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr)))
    }

    /// Runs one of the scripts behind `./justw` with this world's addresses; gives what it printed, all of it where it failed.
    pub fn script(&self, name: &str, arguments: &[&str]) -> anyhow::Result<String> {
        self.script_with(&[], name, arguments)
    }

    /// The same with further variables in its environment.
    pub fn script_with(&self, variables: &[(&str, &str)], name: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../dev").join(name);
        let output = std::process::Command::new(path)
            .args(arguments)
            .envs(self.environment()?)
            .envs(variables.iter().copied())
            .output()?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{name} {arguments:?}: {}\n{printed}{said}", output.status);
        Ok(printed)
    }

    /// Puts a backup in the place of the database, and gives the name that the one before has now. No process of the
    /// service may run.
    pub async fn restore(&mut self, backup: &str) -> anyhow::Result<String> {
        self.restore_with(&[], backup, &[]).await?;
        self.replaced.last().cloned().context("the one before has a name")
    }

    /// The same with further variables and arguments; gives what it printed.
    pub async fn restore_with(
        &mut self,
        variables: &[(&str, &str)],
        backup: &str,
        further: &[&str],
    ) -> anyhow::Result<String> {
        self.close_connections().await?;
        let program = crate::process::binary("distribution")?.display().to_string();
        let arguments = [&[program.as_str(), backup, "--replace"], further].concat();
        let printed = match self.script_with(variables, "restore", &arguments) {
            Ok(printed) => printed,
            Err(failed) => {
                self.look_anew().await?;
                return Err(failed);
            }
        };
        let before = printed.split("what was there is ").nth(1).and_then(|rest| rest.split(' ').next());
        let before = before.with_context(|| format!("it does not say where the one before is: {printed}"))?.to_owned();
        self.replaced.push(before);
        self.look_anew().await?;
        Ok(printed)
    }

    /// Ends the test's own sessions, which have no name: sqlx may leave one that comes back to its pool while that is closed.
    async fn close_connections(&self) -> anyhow::Result<()> {
        self.pool.close().await;
        let mut admin: PgConnection = self.server.connect().await?;
        let own =
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1 AND application_name = ''
             AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
        sqlx::query(own).bind(&self.database).execute(&mut admin).await?;
        Ok(admin.close().await?)
    }

    /// Another Postgres has the database from now on, a standby that was promoted. A process of the service that runs has to be led
    /// there by the address that it knows.
    pub async fn move_to(&mut self, postgres_url: &str) -> anyhow::Result<()> {
        self.pool.close().await;
        self.server = PgConnectOptions::from_str(postgres_url)?;
        postgres_url.clone_into(&mut self.postgres_url);
        self.look_anew().await
    }

    /// The database is another one than before, which may be older.
    async fn look_anew(&mut self) -> anyhow::Result<()> {
        self.pool = self.pool_of(&self.database).await?;
        self.forget();
        let taken = self.count("SELECT coalesce(sum(count), 0)::bigint FROM intake_tally").await?;
        self.published.store(taken, Ordering::Relaxed);
        Ok(())
    }

    /// The name of the database.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Commands from now on are those of a process that has seen nothing yet.
    pub fn forget(&mut self) {
        self.syncing = syncing(&self.pool);
    }

    /// A pool on a database of this world's server.
    pub async fn pool_of(&self, database: &str) -> anyhow::Result<PgPool> {
        Ok(PgPoolOptions::new().max_connections(8).connect_with(self.server.clone().database(database)).await?)
    }

    /// Every message of a stream, in order.
    pub async fn messages(&self, kind: StreamKind) -> anyhow::Result<Vec<StreamMessage>> {
        let stream = self.nats.stream(kind).await?;
        let state = stream.cached_info().state.clone();
        let mut messages = Vec::new();
        for sequence in state.first_sequence..=state.last_sequence {
            messages.push(stream.get_raw_message(sequence).await?);
        }
        Ok(messages)
    }

    /// What programs of this world find in their environment.
    pub fn environment(&self) -> anyhow::Result<Vec<(&'static str, String)>> {
        Ok(vec![
            ("DATABASE_URL", url_of(&self.postgres_url, &self.database)?),
            ("DISTRIBUTION_LISTEN", "127.0.0.1:0".to_owned()),
            ("NATS_URL", self.nats_url.clone()),
            ("NATS_PREFIX", self.nats.prefix.to_string()),
            ("DISTRIBUTION_SECRETS_DIR", self.path("secrets").display().to_string()),
            ("DISTRIBUTION_ALLOW_PRIVATE_CHANNELS", "true".to_owned()),
            ("RUST_LOG", "info,sqlx=warn".to_owned()),
            // Postgres starts a process for each connection, which was more of a run of the tests than anything else of it.
            ("DISTRIBUTION_POOL", "8".to_owned()),
        ])
    }

    /// A path in this world's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a target of a sandbox account.
    pub async fn target(&self, account: u64, rate_limit: RateLimit) -> anyhow::Result<TargetId> {
        let target_id = TargetId(Uuid::now_v7());
        let create = TargetCommand::Create(NewTarget {
            target_id,
            org_id: ORG.parse()?,
            account_id: ACCOUNT.parse()?,
            name: format!("hostaway {account}"),
            channel: domain::channel::ChannelKind::Hostaway,
            base_url: format!("{}/v1", self.sandbox.url),
            channel_account: account.to_string(),
            credential: format!("file:hostaway-{account}").parse()?,
            rate_limit,
            account_rate_limit: None,
        });
        self.commands().target(target_id, create, &self.metadata(target_id)?).await?;
        Ok(target_id)
    }

    /// Metadata of a test's own commands on a target.
    pub fn metadata(&self, target_id: TargetId) -> anyhow::Result<Metadata> {
        Ok(Metadata {
            org_id: OrgId::new(ORG)?,
            account_id: AccountId::new(ACCOUNT)?,
            target_id,
            unit_id: None,
            actor: Actor::cli("tester"),
            correlation_id: Uuid::now_v7(),
            on_behalf_of: None,
            source: None,
            causation_id: None,
            traceparent: None,
        })
    }

    /// Publishes unit messages and waits until the stream has each.
    pub async fn publish(&self, messages: &[Value]) -> anyhow::Result<()> {
        futures::stream::iter(messages)
            .map(|message| async move {
                let name = |field: &str| message[field].as_str().context("a unit message names its org and unit");
                let (org, unit) = (name("org_id")?.parse()?, name("unit_id")?.parse()?);
                let subject = self.nats.prefix.unit_changed(&org, &unit);
                self.publish_raw(subject, serde_json::to_vec(message)?).await
            })
            .buffer_unordered(64)
            .try_collect()
            .await
    }

    /// Publishes a body as it is.
    pub async fn publish_raw(&self, subject: String, body: Vec<u8>) -> anyhow::Result<()> {
        self.publish_with(subject, async_nats::HeaderMap::new(), body).await
    }

    /// The same with headers.
    pub async fn publish_with(
        &self,
        subject: String,
        headers: async_nats::HeaderMap,
        body: Vec<u8>,
    ) -> anyhow::Result<()> {
        self.nats.jetstream.publish_with_headers(subject, headers, body.into()).await?.await?;
        self.published.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Links units to a target.
    pub async fn link(&self, target: TargetId, units: &[String]) -> anyhow::Result<Vec<ListingId>> {
        futures::stream::iter(units)
            .map(|unit| async move {
                let unit = UnitId::new(unit.clone())?;
                Ok(self.syncing.link(target, unit, AtChannel::Kept, Actor::cli("tester")).await?.listing_id)
            })
            .buffered(64)
            .try_collect()
            .await
    }

    /// Adds an event to a listing that this build does not know, as a newer one may have.
    pub async fn make_unreadable(&self, listing: ListingId) -> anyhow::Result<()> {
        sqlx::query(
            "INSERT INTO events (event_id, org_id, account_id, aggregate_type, aggregate_id, sequence, event_type,
                                 event_version, payload, metadata)
             SELECT gen_random_uuid(), org_id, account_id, aggregate_type, aggregate_id, sequence + 1,
                    'OfAnotherBuild', '1.0', '{\"OfAnotherBuild\": {}}', metadata
             FROM events WHERE aggregate_id = $1 ORDER BY sequence DESC LIMIT 1",
        )
        .bind(listing.to_string())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// One number from this world's database.
    pub async fn count(&self, sql: &str) -> anyhow::Result<i64> {
        Ok(sqlx::query_scalar(sql).fetch_one(&self.pool).await?)
    }

    /// Ends every connection of the service to its database, as a restart of Postgres does; gives how many there were.
    pub async fn cut_off(&self) -> anyhow::Result<i64> {
        let ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE application_name = 'distribution' AND datname = current_database()";
        self.count(ended).await
    }

    /// Deletes a stream behind the service's back.
    pub async fn delete_stream(&self, kind: StreamKind) -> anyhow::Result<()> {
        let name = self.nats.stream_config(kind)?.name;
        self.nats.jetstream.delete_stream(&name).await?;
        Ok(())
    }

    /// Takes the world down, with whatever runs of the service: that would make streams anew, which stayed for ever. A failed test
    /// leaves its database for a look, for an hour.
    pub async fn close(self) -> anyhow::Result<()> {
        let services = std::mem::take(&mut *self.services.lock().unwrap_or_else(PoisonError::into_inner));
        for service in services {
            // Most have ended.
            let _ = pidfd_send_signal(&service, Signal::KILL);
        }
        for kind in StreamKind::ALL {
            let _ = self.delete_stream(kind).await;
        }
        self.pool.close().await;
        let mut admin: PgConnection = self.server.connect().await?;
        for database in self.replaced.iter().chain([&self.database]) {
            sqlx::query(&format!("DROP DATABASE {database} WITH (FORCE)")).execute(&mut admin).await?;
        }
        Ok(())
    }
}
