//! What every command needs to know, from flags or environment variables. The environment is read elsewhere for `RUST_LOG`, for
//! `NO_COLOR`, for who asks (`USER`), and for the secrets that targets name.

mod identity;
mod telemetry;
mod trace_url;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use adapters::destinations::Destinations;
use adapters::nats::{Nats, Prefix};
use adapters::postgres;
use adapters::secrets::Secrets;
use anyhow::Context;
use async_nats::{ConnectError, ServerAddr};
use clap::Args;
use domain::window::RateLimit;
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;

use crate::api::proxies::TrustedProxy;
use crate::api::vault::Keeper;
use crate::dispatcher::LONGEST_CALL_S;
use crate::slots::visitor::Egress;

pub use identity::{IdentityOptions, ProviderOptions};
pub use telemetry::TelemetrySettings;
pub use trace_url::TraceUrl;

/// What connections name themselves.
const APPLICATION: &str = "distribution";
const NO_POSTGRES: &str = "cannot reach Postgres: check DATABASE_URL, or run `distribution doctor`";

/// Where Postgres and NATS are.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connections")]
pub struct Connections {
    /// Postgres 15 or newer, e.g. postgres://user@host/distribution
    #[arg(
        long,
        env = "DATABASE_URL",
        global = true,
        hide_env_values = true,
        default_value = "postgres:///distribution"
    )]
    pub database_url: String,

    /// NATS 2.12 or newer with JetStream; several servers of a cluster with commas in between
    #[arg(long, env = "NATS_URL", global = true, hide_env_values = true, default_value = "nats://127.0.0.1:4222")]
    pub nats_url: String,

    /// What every stream name and subject begins with, so that several instances can share a server
    #[arg(long, env = "NATS_PREFIX", global = true, default_value = "")]
    pub nats_prefix: Prefix,

    /// On how many servers of a cluster each stream is: 3 of three. Left out, a new stream is on one, and others stay as they are
    #[arg(long, env = "NATS_REPLICAS", global = true, value_parser = clap::value_parser!(u8).range(1..=5))]
    pub nats_replicas: Option<u8>,
}

/// An address that nothing can be reached by. It is not shown: it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable} is no address of {server}: {reason}; it looks like {example}")]
pub struct InvalidAddress {
    /// The environment variable.
    pub variable: &'static str,
    /// The flag, in snake case.
    pub field: &'static str,
    server: &'static str,
    reason: String,
    example: &'static str,
}

impl Connections {
    /// Where Postgres is.
    pub fn postgres_address(&self) -> Result<PgConnectOptions, InvalidAddress> {
        let invalid = |reason: String| InvalidAddress {
            variable: "DATABASE_URL",
            field: "database_url",
            server: "Postgres",
            reason,
            example: "postgres://user@host:5432/distribution",
        };
        // sqlx takes any scheme, and would look for MySQL's server as if it were Postgres.
        if !["postgres://", "postgresql://"].iter().any(|scheme| self.database_url.starts_with(scheme)) {
            return Err(invalid("it does not begin with postgres://".to_owned()));
        }
        self.database_url.parse().map_err(|error: sqlx::Error| match error {
            sqlx::Error::Configuration(reason) => invalid(reason.to_string()),
            other => invalid(other.to_string()),
        })
    }

    /// Where NATS is: its servers.
    pub fn nats_addresses(&self) -> Result<Vec<ServerAddr>, InvalidAddress> {
        let invalid = |reason: String| InvalidAddress {
            variable: "NATS_URL",
            field: "nats_url",
            server: "NATS",
            reason,
            example: "nats://host:4222",
        };
        let address = |url: &str| {
            let address: ServerAddr = url.trim().parse().map_err(|error: std::io::Error| invalid(error.to_string()))?;
            if address.host().is_empty() { Err(invalid("it names no host".to_owned())) } else { Ok(address) }
        };
        self.nats_url.split(',').map(address).collect()
    }

    /// That NATS cannot be reached: where it was looked for, without credentials, and what to do.
    pub fn no_nats(&self) -> String {
        let place = |server: &ServerAddr| {
            let (host, port) = (server.host(), server.port());
            if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
        };
        let places: Vec<String> = self.nats_addresses().unwrap_or_default().iter().map(place).collect();
        format!(
            "cannot reach NATS at {}: start it there, check NATS_URL, or run `distribution doctor`",
            places.join(", ")
        )
    }

    /// A pool of at most `connections` where Postgres answers within this time. What helps where it does not is for the caller to say.
    pub async fn postgres_within(&self, within: Duration, connections: u32) -> anyhow::Result<PgPool> {
        self.postgres_address()?;
        let opening = postgres::connect(&self.database_url, connections, APPLICATION);
        match tokio::time::timeout(within, opening).await {
            Ok(opened) => Ok(opened?),
            Err(_) => Err(anyhow::anyhow!("no answer within {} s", within.as_secs())),
        }
    }

    /// A pool for the roles, of at most `connections`.
    pub async fn postgres_for_lookups(&self, connections: u32) -> anyhow::Result<PgPool> {
        self.postgres_address()?;
        postgres::connect_for_lookups(&self.database_url, connections, APPLICATION).await.context(NO_POSTGRES)
    }

    /// The same for callers who are not to meet a connection that ended while it rested.
    pub async fn postgres_pinging(&self, connections: u32) -> anyhow::Result<PgPool> {
        self.postgres_address()?;
        postgres::connect_pinging(&self.database_url, connections, APPLICATION).await.context(NO_POSTGRES)
    }

    /// A connection to NATS.
    pub async fn nats(&self) -> anyhow::Result<Nats> {
        self.nats_addresses()?;
        self.reached(Nats::connect(&self.nats_url, self.nats_prefix.clone(), APPLICATION).await)
    }

    /// The same for whoever stops waiting after `within`, of which each address has its share.
    pub async fn nats_within(&self, within: Duration) -> anyhow::Result<Nats> {
        self.nats_addresses()?;
        self.reached(Nats::connect_within(within, &self.nats_url, self.nats_prefix.clone(), APPLICATION).await)
    }

    fn reached(&self, nats: Result<Nats, ConnectError>) -> anyhow::Result<Nats> {
        nats.map(|nats| nats.with_replicas(self.nats_replicas.map(usize::from))).with_context(|| self.no_nats())
    }

    /// A connection to NATS that is made as soon as NATS is there.
    pub async fn nats_later(&self) -> anyhow::Result<Nats> {
        let nats = Nats::connect_later(&self.nats_url, self.nats_prefix.clone(), APPLICATION).await?;
        Ok(nats.with_replicas(self.nats_replicas.map(usize::from)))
    }
}

/// A role of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Role {
    /// Takes unit changes in from NATS
    Intake,
    /// Publishes the journal to NATS
    Relay,
    /// Turns events into read models
    Projector,
    /// Drives the channels
    Dispatcher,
    /// Answers over HTTP
    Api,
    /// Sees to it that every target is checked now and then
    Health,
}

/// Where secrets are kept.
#[derive(Debug, Clone, Args)]
pub struct SecretsOptions {
    /// The folder of secrets that `serve` uses: the encrypted store, and files of mode 0600 that `file:NAME` means
    #[arg(long, env = "DISTRIBUTION_SECRETS_DIR", default_value = "secrets", value_name = "DIR")]
    pub secrets_dir: PathBuf,

    /// The key of the encrypted store, made on first use; in the store's folder by default
    #[arg(long, env = "DISTRIBUTION_SECRETS_KEY", value_name = "FILE")]
    pub secrets_key: Option<PathBuf>,

    /// Where AWS Secrets Manager is, for `aws:NAME`; what the AWS SDK finds by default, as it finds region and credentials
    #[arg(long, env = "DISTRIBUTION_AWS_ENDPOINT", value_name = "URL")]
    pub aws_endpoint: Option<String>,
}

impl SecretsOptions {
    /// Every keeper of secrets. The folder is made whole, because errors name it and `serve` may run elsewhere.
    pub fn secrets(&self) -> Secrets {
        let dir = std::path::absolute(&self.secrets_dir).unwrap_or_else(|_| self.secrets_dir.clone());
        Secrets::new(&dir, self.secrets_key.clone()).with_aws_endpoint(self.aws_endpoint.clone())
    }
}

/// Which channels may be called.
#[derive(Debug, Clone, Copy, Args)]
pub struct ChannelReach {
    /// Also call channels without HTTPS, and at addresses that are private, loopback or otherwise not public
    #[arg(long, env = "DISTRIBUTION_ALLOW_PRIVATE_CHANNELS")]
    pub allow_private_channels: bool,
}

impl ChannelReach {
    /// Where calls may go.
    pub fn destinations(self) -> Destinations {
        Destinations::allowing_private(self.allow_private_channels)
    }
}

/// How channels are called.
#[derive(Debug, Clone, Args)]
pub struct CallOptions {
    /// How long a call to a channel may take, in seconds
    #[arg(long, env = "DISTRIBUTION_CALL_TIMEOUT_S", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=LONGEST_CALL_S))]
    pub call_timeout_s: u64,

    /// The name of the address that calls leave from: those behind one address share its limit
    #[arg(long, env = "DISTRIBUTION_EGRESS", default_value = "default")]
    pub egress: String,
}

impl CallOptions {
    /// How long a call may take. The grace of a creation (domain) covers 20 s, so it is not longer than that.
    pub fn call_timeout(&self) -> Duration {
        Duration::from_secs(self.call_timeout_s)
    }

    /// The address that calls leave from.
    pub fn egress(&self) -> Egress {
        Egress { name: self.egress.clone(), call_timeout: self.call_timeout() }
    }
}

/// How `serve` runs.
#[derive(Debug, Clone, Args)]
pub struct ServeOptions {
    /// The roles to run here; all of them by default
    #[arg(long, value_enum, value_delimiter = ',', env = "DISTRIBUTION_ROLES")]
    pub roles: Vec<Role>,

    /// Where the credentials of targets are.
    #[command(flatten)]
    pub secrets: SecretsOptions,

    /// Which channels may be called.
    #[command(flatten)]
    pub reach: ChannelReach,

    /// Syncs that are under way at the same time in this process
    #[arg(long, env = "DISTRIBUTION_CONCURRENCY", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub concurrency: u16,

    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as the help of the group")]
    pub calls: CallOptions,

    /// The limit of the address that our calls leave from, e.g. 200/10s; none by default
    #[arg(long, env = "DISTRIBUTION_EGRESS_LIMIT")]
    pub egress_limit: Option<RateLimit>,

    /// Where the API listens
    #[arg(long, env = "DISTRIBUTION_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub listen: SocketAddr,

    /// Where the API keeps the secrets of targets
    #[arg(long, env = "DISTRIBUTION_KEEP_SECRETS_IN", value_enum, default_value = "store")]
    pub keep_secrets_in: Keeper,

    /// Requests that one caller of the API may make in a second
    #[arg(long, env = "DISTRIBUTION_API_RATE", default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub api_rate: u32,

    /// Proxies, or networks of them, in front of the API, whose `X-Forwarded-For` says who asks: requests without a good credential are
    /// limited by that address
    #[arg(long, env = "DISTRIBUTION_TRUSTED_PROXIES", value_delimiter = ',', value_name = "CIDR")]
    pub trusted_proxies: Vec<TrustedProxy>,

    /// Where the dashboard leads for a trace, with {trace_id} in it, e.g. https://traces.example.org/trace/{trace_id}
    #[arg(long, env = "DISTRIBUTION_TRACE_URL", value_name = "URL")]
    pub trace_url: Option<TraceUrl>,

    /// How often each target is checked, in seconds, at random around it; one whose syncs are taken is not, one whose circuit is open
    /// at that one's times
    #[arg(long, env = "DISTRIBUTION_HEALTH_INTERVAL_S", default_value_t = 300, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub health_interval_s: u64,

    /// Connections to Postgres, and one more; the API has as many of its own
    #[arg(long, env = "DISTRIBUTION_POOL", default_value_t = 16, value_parser = clap::value_parser!(u32).range(8..=200))]
    pub pool: u32,

    /// Seconds after the stop in which the API still serves those who come, until a load balancer knows of it
    #[arg(long, env = "DISTRIBUTION_DRAIN_S", default_value_t = 3, value_parser = clap::value_parser!(u64).range(0..=600))]
    pub drain_s: u64,

    /// Seconds for which what waits for Postgres on a connection from before may stay without an answer while others are answered, until the
    /// process ends. For tests: a shorter one ends it over what only takes its time
    #[arg(long, env = "DISTRIBUTION_SILENCE_S", hide = true, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub silence_s: u64,

    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as the help of the group")]
    pub identity: IdentityOptions,

    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as the help of the group")]
    pub telemetry: TelemetrySettings,

    /// Leave the schema alone: wait until somebody else has brought it up to date
    #[arg(long, env = "DISTRIBUTION_NO_MIGRATE")]
    pub no_migrate: bool,
}

impl ServeOptions {
    /// Whether a role runs here.
    pub fn runs(&self, role: Role) -> bool {
        self.roles.is_empty() || self.roles.contains(&role)
    }

    /// The roles that run here.
    pub fn roles(&self) -> Vec<Role> {
        let all = [Role::Intake, Role::Relay, Role::Projector, Role::Dispatcher, Role::Api, Role::Health];
        all.into_iter().filter(|role| self.runs(*role)).collect()
    }
}
