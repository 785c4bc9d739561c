//! What is in the way of the changes: how it begins and how it ends.

use std::fmt;

use anyhow::Context as _;
use clap::ValueEnum;
use end_to_end::nats_server::{self, NatsServer};
use end_to_end::proxy::{Line, Proxy, Upstream};
use end_to_end::server_tools::Tools;
use serde::Serialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::PressureOptions;
use crate::tools;
use crate::world::World;

/// What is in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// The channel answers later than a call may take
    HangingChannel,
    /// Each word to Postgres and back takes its time
    SlowPostgres,
    /// NATS takes nothing more, the relay's messages above all
    FullNats,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::HangingChannel, Self::SlowPostgres, Self::FullNats];

    /// As it is written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::HangingChannel => "hanging-channel",
            Self::SlowPostgres => "slow-postgres",
            Self::FullNats => "full-nats",
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is needed to bring it about.
pub enum Trouble {
    /// All accounts of the channel, from 1 on, and how long they wait for an answer.
    Channel { accounts: usize, hang_ms: u32 },
    /// The service's way to Postgres, and how much longer it becomes.
    Postgres { line: Proxy, slow_ms: u64 },
    /// A server of one's own, whose store is in a folder that goes last.
    Nats { server: NatsServer, _folder: TempDir },
}

impl Trouble {
    /// Nothing is in the way yet.
    pub async fn prepare(scenario: Scenario, options: &PressureOptions) -> anyhow::Result<Self> {
        Ok(match scenario {
            Scenario::HangingChannel => Self::Channel { accounts: options.targets(), hang_ms: options.hang_ms },
            Scenario::SlowPostgres => {
                let server = tools::postgres()?;
                let port = server.get_port();
                let upstream = match server.get_socket() {
                    Some(folder) => Upstream::Socket(folder.join(format!(".s.PGSQL.{port}"))),
                    None => Upstream::Port(port),
                };
                Self::Postgres { line: Proxy::start(upstream).await?, slow_ms: options.slow_ms }
            }
            Scenario::FullNats => {
                let folder = Tools::find()?.temporary_folder()?;
                // 8 KB for each change, which has 5, and some room for what the relay publishes before it is full.
                let store_mb = 64 + (options.all() + 4 * options.listings) / 128;
                let server = NatsServer::start_small(folder.path(), u64::try_from(store_mb)?).await?;
                Self::Nats { server, _folder: folder }
            }
        })
    }

    /// The NATS of the world.
    pub fn nats_url(&self) -> anyhow::Result<String> {
        match self {
            Self::Nats { server, .. } => Ok(server.url()),
            _ => tools::variable("NATS_URL"),
        }
    }

    /// How the service comes to Postgres, where it goes another way than by default.
    pub fn database_argument(&self, world: &World) -> Option<String> {
        match self {
            Self::Postgres { line, .. } => Some(format!("--database-url={}", world.database_url_at(line.port))),
            _ => None,
        }
    }

    /// From now on it is in the way.
    pub async fn begin(&self, world: &World) -> anyhow::Result<()> {
        match self {
            Self::Channel { accounts, hang_ms } => world.channel.latencies(&latencies(*accounts, *hang_ms)).await,
            Self::Postgres { line, slow_ms } => {
                line.set(Some(Line::Slow { ms: *slow_ms }));
                Ok(())
            }
            Self::Nats { server, .. } => nats_server::fill(&server.url()).await.context("NATS cannot be filled"),
        }
    }

    /// Somebody came into it: the service does go by the slow way. What a channel and NATS hold up shows by itself.
    pub fn was_met(&self) -> bool {
        match self {
            Self::Postgres { line, .. } => line.broken() > 0,
            Self::Channel { .. } | Self::Nats { .. } => true,
        }
    }

    /// All is well again.
    pub async fn end(&self, world: &World) -> anyhow::Result<()> {
        match self {
            Self::Channel { accounts, .. } => world.channel.latencies(&latencies(*accounts, 0)).await,
            Self::Postgres { line, .. } => {
                line.set(None);
                Ok(())
            }
            Self::Nats { server, .. } => nats_server::empty(&server.url()).await.context("NATS cannot be emptied"),
        }
    }
}

fn latencies(accounts: usize, ms: u32) -> Value {
    (1..=accounts).map(|account| json!({"account": account, "ms": ms, "jitter_ms": 0})).collect()
}
