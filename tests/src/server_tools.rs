//! Where the programs of servers are that a test or a torture run starts for itself, and who runs them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

/// The programs of Postgres and NATS, as `dev/torture` finds or fetches them.
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
    /// The mount namespace that `dev/torture` was called in.
    outside: PathBuf,
}

impl Tools {
    /// From the environment, or else from the script that makes it.
    pub fn find() -> anyhow::Result<Self> {
        let said = if std::env::var_os("TORTURE_FOLDER").is_some() { std::env::vars().collect() } else { asked()? };
        let variable = |name: &str| said.get(name).with_context(|| format!("dev/torture says no {name}"));
        let account = match variable("TORTURE_ACCOUNT")?.split_once(':') {
            Some((user, group)) => Some((user.parse()?, group.parse()?)),
            None => None,
        };
        Ok(Self {
            postgres: variable("TORTURE_POSTGRES_BIN")?.into(),
            nats: variable("TORTURE_NATS_SERVER")?.into(),
            folder: variable("TORTURE_FOLDER")?.into(),
            account,
            outside: variable("TORTURE_OUTSIDE")?.into(),
        })
    }

    /// Whether this process is in a mount namespace that `dev/torture` made for it: what it mounts is seen by nobody else, and
    /// gone with it.
    pub fn is_apart(&self) -> bool {
        std::fs::read_link("/proc/self/ns/mnt").is_ok_and(|here| here != self.outside)
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

    /// A cluster of Postgres that has never run, for others to be copied from: `initdb` takes a core for seconds. It stays for later runs.
    pub fn fresh_cluster(&self) -> anyhow::Result<PathBuf> {
        // Each Postgres has its own, and each account.
        let account = self.account.map_or(0, |(user, _)| user);
        let fresh = format!("fresh-{account}{}", self.postgres.display()).replace('/', "-");
        let fresh = self.folder.join(fresh);
        if fresh.exists() {
            return Ok(fresh);
        }
        let folder = self.temporary_folder()?;
        let data = folder.path().join("data");
        self.own_folder(&data)?;
        let made = self
            .command(&self.postgres.join("initdb"))
            .arg("-D")
            .arg(&data)
            .args(["-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"])
            .output()
            .context("initdb cannot be run")?;
        ensure!(made.status.success(), "initdb failed: {}", String::from_utf8_lossy(&made.stderr));
        match std::fs::rename(&data, &fresh) {
            // Another test was faster.
            Err(_) if fresh.exists() => {}
            renamed => renamed?,
        }
        Ok(fresh)
    }

    /// A folder for the servers of one test, gone when it is dropped.
    pub fn temporary_folder(&self) -> anyhow::Result<tempfile::TempDir> {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::Builder::new().prefix("test-").tempdir_in(&self.folder)?;
        // The servers may be somebody else's, and have folders of their own in it.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
        Ok(folder)
    }
}

fn asked() -> anyhow::Result<HashMap<String, String>> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../dev/torture");
    let asked = Command::new(script).args(["env", "-0"]).output()?;
    ensure!(asked.status.success(), "dev/torture failed: {}", String::from_utf8_lossy(&asked.stderr));
    let said = String::from_utf8_lossy(&asked.stdout).into_owned();
    let pairs = said.split('\0').filter_map(|line| line.split_once('='));
    Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}
