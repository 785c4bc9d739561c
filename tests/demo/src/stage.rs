//! Where one demo lives: its database, its prefix on NATS, its folder and its pid files. No two demos share any of
//! them, and none of them is anybody else's.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use url::Url;

/// What the caller gives.
#[derive(Debug, Clone)]
pub struct Servers {
    /// Any database of the server.
    pub database_url: Url,
    /// NATS.
    pub nats_url: String,
    /// `.dev`.
    pub dev: PathBuf,
}

/// One demo's places.
#[derive(Debug, Clone)]
pub struct Stage {
    /// A database that is there before and after us, to make and drop ours from.
    pub maintenance_url: Url,
    /// Our database's name.
    pub database: String,
    /// And its address.
    pub database_url: Url,
    /// NATS.
    pub nats_url: String,
    /// What our streams and subjects begin with.
    pub prefix: String,
    /// Our folder.
    pub folder: PathBuf,
    /// Where `dev/down` looks for pid files.
    run: PathBuf,
    log: PathBuf,
    programs: PathBuf,
    /// What our pid and log files begin with; empty for the one that stays.
    mark: String,
}

impl Stage {
    /// The demo that stays until `./justw down`.
    pub fn lasting(servers: &Servers) -> anyhow::Result<Self> {
        Self::new(servers, "distribution_demo", "demo", "")
    }

    /// The demo of one check.
    pub fn of_check(servers: &Servers) -> anyhow::Result<Self> {
        let id = std::process::id();
        Self::new(
            servers,
            &format!("distribution_demo_check_{id}"),
            &format!("demo-check-{id}"),
            &format!("check-{id}-"),
        )
    }

    fn new(servers: &Servers, database: &str, prefix: &str, mark: &str) -> anyhow::Result<Self> {
        let mut database_url = servers.database_url.clone();
        database_url.set_path(&format!("/{database}"));
        std::fs::create_dir_all(&servers.dev).with_context(|| format!("cannot make {}", servers.dev.display()))?;
        let dev = servers.dev.canonicalize().with_context(|| format!("cannot use {}", servers.dev.display()))?;
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let stage = Self {
            maintenance_url: servers.database_url.clone(),
            database: database.to_owned(),
            database_url,
            nats_url: servers.nats_url.clone(),
            prefix: prefix.to_owned(),
            folder: dev.join(prefix),
            run: dev.join("run"),
            log: dev.join("log"),
            programs: program.parent().context("a program lies in a folder")?.to_owned(),
            mark: mark.to_owned(),
        };
        for folder in [&stage.folder, &stage.run, &stage.log] {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        Ok(stage)
    }

    /// A program that was built beside this one.
    pub fn program(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.programs.join(name);
        anyhow::ensure!(
            path.is_file(),
            "{} is not there: build it with `cargo build --workspace --bins`",
            path.display()
        );
        Ok(path)
    }

    /// Where the pid of one of our processes is written.
    pub fn pid_file(&self, name: &str) -> PathBuf {
        self.run.join(format!("{}{name}.pid", self.mark))
    }

    /// Where it writes its log.
    pub fn log_file(&self, name: &str) -> PathBuf {
        self.log.join(format!("{}{name}.log", self.mark))
    }

    /// Where it stands from which byte of its log on the process that runs has written.
    pub fn log_begins(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.log-begins"))
    }

    /// Removes the logs of a demo that nobody will look at again.
    pub fn remove_logs(&self) {
        for name in ["distribution", "sandbox"] {
            // One that is not there is as good as removed.
            let _ = std::fs::remove_file(self.log_file(name));
        }
    }

    /// The folder of the secrets that `file:` references point into.
    pub fn secrets(&self) -> PathBuf {
        self.folder.join("secrets")
    }

    /// Where the sandbox keeps what it has; the one of a check need not.
    pub fn sandbox_state(&self) -> Option<PathBuf> {
        self.mark.is_empty().then(|| self.folder.join("sandbox-state.json"))
    }

    /// What the service and its command line are told by their environment.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("DATABASE_URL", self.database_url.to_string()),
            ("NATS_URL", self.nats_url.clone()),
            ("NATS_PREFIX", self.prefix.clone()),
            ("DISTRIBUTION_SECRETS_DIR", self.secrets().display().to_string()),
            // A free port: others may have the one that the API takes by default.
            ("DISTRIBUTION_LISTEN", "127.0.0.1:0".to_owned()),
            ("DISTRIBUTION_ALLOW_PRIVATE_CHANNELS", "true".to_owned()),
        ]
    }

    /// The path as one would type it here.
    pub fn shown(path: &Path) -> String {
        let here = std::env::current_dir().unwrap_or_default();
        path.strip_prefix(&here).unwrap_or(path).display().to_string()
    }
}
