//! A world of its own for one run: database, NATS prefix, channel, folder. Nothing of it is left afterwards.

use std::path::PathBuf;

use adapters::event_store::{Journal, JournalOptions};
use adapters::nats::Nats;
use adapters::nats::topology::StreamKind;
use adapters::postgres::MIGRATOR;
use anyhow::Context as _;
use domain::ids::{AccountId, OrgId, TargetId};
use domain::metadata::{Actor, Metadata};
use domain::target::{Configuration, NewTarget, TargetCommand};
use domain::window::RateLimit;
use futures::{StreamExt as _, TryStreamExt as _};
use services::syncing::Syncing;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgPool};
use uuid::Uuid;

use crate::channel::Channel;
use crate::cost::Part;
use crate::tools;
use crate::units::{ACCOUNT, ORG};

/// The account at the channel whose token everybody shares where windows are not measured.
pub const SHARED_ACCOUNT: u32 = 1;

/// Everything that a run needs.
pub struct World {
    /// The channel.
    pub channel: Channel,
    /// A pool on this world's database.
    pub pool: PgPool,
    /// A connection with this world's prefix.
    pub nats: Nats,
    /// Commands and syncs, in this process: to set things up.
    pub syncing: Syncing,
    /// Where logs, secrets and sockets are.
    pub folder: tempfile::TempDir,
    database: String,
    server: PgConnectOptions,
    nats_url: String,
}

impl World {
    /// A fresh one.
    pub async fn new() -> anyhow::Result<Self> {
        Self::on(tools::variable("NATS_URL")?).await
    }

    /// A fresh one on this NATS.
    pub async fn on(nats_url: String) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let id = Uuid::now_v7().simple().to_string();
        let database = format!("bench_{id}");
        let server = tools::postgres()?;
        let mut admin = server.connect().await.context("cannot reach Postgres")?;
        sqlx::query(&format!("CREATE DATABASE {database}")).execute(&mut admin).await?;
        admin.close().await?;
        let pool = PgPoolOptions::new().max_connections(8).connect_with(server.clone().database(&database)).await?;
        MIGRATOR.run(&pool).await?;
        let prefix = format!("bench-{}", &id[20..]).parse()?;
        let nats = Nats::connect(&nats_url, prefix, "bench").await.context("cannot reach NATS")?;
        nats.ensure_streams().await?;
        let channel = Channel::start(folder.path()).await?;
        let secrets = folder.path().join("secrets");
        std::fs::create_dir(&secrets)?;
        write_secret(&secrets.join("channel"))?;
        let syncing = Syncing::over(Journal::new(pool.clone(), JournalOptions::default()));
        Ok(Self { channel, pool, nats, syncing, folder, database, server, nats_url })
    }

    /// A path in this world's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The address of this world's database.
    pub fn database_url(&self) -> anyhow::Result<String> {
        tools::database_url(&self.database)
    }

    /// The same by way of a port of this machine that leads to the server.
    pub fn database_url_at(&self, port: u16) -> String {
        format!("postgres://{}@127.0.0.1:{port}/{}", self.server.get_username(), self.database)
    }

    /// What the service is started with.
    pub fn environment(&self) -> anyhow::Result<Vec<(&'static str, String)>> {
        Ok(vec![
            ("DATABASE_URL", self.database_url()?),
            ("DISTRIBUTION_LISTEN", "127.0.0.1:0".to_owned()),
            ("NATS_URL", self.nats_url.clone()),
            ("NATS_PREFIX", self.nats.prefix.to_string()),
            ("DISTRIBUTION_SECRETS_DIR", self.path("secrets").display().to_string()),
            ("DISTRIBUTION_ALLOW_PRIVATE_CHANNELS", "true".to_owned()),
            ("RUST_LOG", "warn".to_owned()),
        ])
    }

    /// Makes a target with an account at the channel.
    pub async fn target(&self, account: u32, rate_limit: RateLimit) -> anyhow::Result<TargetId> {
        let target_id = TargetId(Uuid::now_v7());
        let create = TargetCommand::Create(NewTarget {
            target_id,
            org_id: ORG.parse()?,
            account_id: ACCOUNT.parse()?,
            name: format!("target {target_id}"),
            channel: domain::channel::ChannelKind::Hostaway,
            base_url: format!("{}/v1", self.channel.url),
            channel_account: account.to_string(),
            credential: "file:channel".parse()?,
            rate_limit,
            account_rate_limit: None,
        });
        self.syncing.commands().target(target_id, create, &metadata(target_id)?).await?;
        Ok(target_id)
    }

    /// Makes so many targets with one account.
    pub async fn targets(&self, count: usize, account: u32, rate_limit: RateLimit) -> anyhow::Result<Vec<TargetId>> {
        futures::stream::iter(0..count).map(|_| self.target(account, rate_limit)).buffered(256).try_collect().await
    }

    /// Makes so many targets with an account each, from 1 on.
    pub async fn targets_apart(&self, count: usize, rate_limit: RateLimit) -> anyhow::Result<Vec<TargetId>> {
        let accounts = 1..=u32::try_from(count)?;
        futures::stream::iter(accounts)
            .map(|account| self.target(account, rate_limit))
            .buffered(256)
            .try_collect()
            .await
    }

    /// Takes away what lies about for whoever comes next: dead rows, which autovacuum would clear in its time and at its
    /// cost, and dirty pages.
    pub async fn tidy(&self) -> anyhow::Result<()> {
        sqlx::raw_sql("VACUUM (ANALYZE)").execute(&self.pool).await?;
        self.checkpoint().await
    }

    /// Has dirty pages written now, and not while something is measured.
    pub async fn checkpoint(&self) -> anyhow::Result<()> {
        sqlx::raw_sql("CHECKPOINT").execute(&self.pool).await?;
        Ok(())
    }

    /// The last position of the journal.
    pub async fn head(&self) -> anyhow::Result<i64> {
        self.count("SELECT coalesce(max(position), 0) FROM events").await
    }

    /// Changes a target's limit.
    pub async fn limit(&self, target_id: TargetId, rate_limit: RateLimit) -> anyhow::Result<()> {
        let change =
            TargetCommand::Configure(Configuration { rate_limit: Some(rate_limit), ..Configuration::default() });
        self.syncing.commands().target(target_id, change, &metadata(target_id)?).await?;
        Ok(())
    }

    /// One number from this world's database.
    pub async fn count(&self, sql: &str) -> anyhow::Result<i64> {
        Ok(sqlx::query_scalar(sql).fetch_one(&self.pool).await?)
    }

    /// The Postgres server as a part of the cost: the parent of the process behind any session.
    pub async fn postgres_part(&self) -> anyhow::Result<Part> {
        let backend = self.count("SELECT pg_backend_pid()::bigint").await?;
        let status = std::fs::read_to_string(format!("/proc/{backend}/status"))
            .context("Postgres runs elsewhere: its cost cannot be seen")?;
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).context("a process has a parent")?;
        Ok(Part { name: "postgres", pid: parent.trim().parse()? })
    }

    /// Takes the world down.
    pub async fn close(self) -> anyhow::Result<()> {
        for kind in StreamKind::ALL {
            let name = self.nats.stream_config(kind)?.name;
            let _ = self.nats.jetstream.delete_stream(&name).await;
        }
        self.pool.close().await;
        let mut admin = self.server.connect().await?;
        sqlx::query(&format!("DROP DATABASE {} WITH (FORCE)", self.database)).execute(&mut admin).await?;
        Ok(())
    }
}

fn metadata(target_id: TargetId) -> anyhow::Result<Metadata> {
    Ok(Metadata {
        org_id: OrgId::new(ORG)?,
        account_id: AccountId::new(ACCOUNT)?,
        target_id,
        unit_id: None,
        actor: Actor::cli("bench"),
        correlation_id: Uuid::now_v7(),
        on_behalf_of: None,
        source: None,
        causation_id: None,
        traceparent: None,
    })
}

fn write_secret(path: &std::path::Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, "secret")?;
    Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?)
}
