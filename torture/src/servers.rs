//! Postgres and NATS of a run, started here so that they can be killed.

mod nats;
mod postgres;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

pub use nats::{NatsServer, empty, fill, free_port};
pub use postgres::PostgresServer;

/// Where the servers' programs are, and who runs them: `dev/torture` says so in the environment.
#[derive(Debug, Clone)]
pub struct Tools {
    /// The folder of Postgres's programs.
    pub postgres: PathBuf,
    /// The program of NATS.
    pub nats: PathBuf,
    /// Where runs have their folders.
    pub folder: PathBuf,
    /// User and group of the servers, where they are not our own.
    account: Option<(u32, u32)>,
}

fn variable(name: &str) -> anyhow::Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set: run it by `./justw torture`"))
}

impl Tools {
    /// From the environment.
    pub fn find() -> anyhow::Result<Self> {
        let account = variable("TORTURE_ACCOUNT")?;
        let account = match account.split_once(':') {
            Some((user, group)) => Some((user.parse()?, group.parse()?)),
            None => None,
        };
        Ok(Self {
            postgres: variable("TORTURE_POSTGRES_BIN")?.into(),
            nats: variable("TORTURE_NATS_SERVER")?.into(),
            folder: variable("TORTURE_FOLDER")?.into(),
            account,
        })
    }

    /// A command that runs as the servers do.
    pub fn command(&self, program: &Path) -> Command {
        use std::os::unix::process::CommandExt as _;
        let mut command = Command::new(program);
        // The caller's PGHOST and its like must not lead elsewhere.
        for name in ["PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGOPTIONS", "PGSERVICE", "PGDATA"] {
            command.env_remove(name);
        }
        if let Some((user, group)) = self.account {
            command.uid(user).gid(group).current_dir("/");
        }
        command
    }

    /// Makes a folder that the servers own.
    pub fn own_folder(&self, folder: &Path) -> anyhow::Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::create_dir_all(folder)?;
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
        if let Some((user, group)) = self.account {
            std::os::unix::fs::chown(folder, Some(user), Some(group))?;
        }
        Ok(())
    }
}
