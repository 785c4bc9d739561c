//! A Postgres of one's own, reached by a socket alone: crashed, killed and started again, and copied to a standby that takes
//! over.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, PgConnection, PgPool};

use crate::process::Process;
use crate::server_tools::Tools;
use crate::wait::wait_until;

const PORT: u16 = 5432;
const DATABASE: &str = "distribution";
/// It replays its log first.
const TO_START: Duration = Duration::from_secs(60);
/// Children that do not hear are killed by it after 5 s; on a busy machine it takes longer.
const TO_END: Duration = Duration::from_secs(60);

/// The server, running or not.
#[derive(Debug)]
pub struct PostgresServer {
    tools: Tools,
    data: PathBuf,
    log: PathBuf,
    settings: Vec<String>,
    /// Not in the run's folder: a socket's path may have 107 bytes at most.
    socket: tempfile::TempDir,
    process: Option<Process>,
}

impl PostgresServer {
    /// Makes a cluster with its files in `folder`, and starts it.
    pub async fn start(tools: &Tools, folder: &Path) -> anyhow::Result<Self> {
        Self::start_with(tools, folder, &[]).await
    }

    /// The same with further settings, each `name=value`.
    pub async fn start_with(tools: &Tools, folder: &Path, settings: &[&str]) -> anyhow::Result<Self> {
        let mut server = Self::stopped(tools, folder, "postgres", settings)?;
        let fresh = tools.fresh_cluster()?.join(".");
        let copied = tools.command(Path::new("cp")).arg("-a").arg(fresh).arg(&server.data).output()?;
        ensure!(copied.status.success(), "cp failed: {}", String::from_utf8_lossy(&copied.stderr));
        server.run().await?;
        sqlx::query(&format!("CREATE DATABASE {DATABASE}")).execute(&mut server.admin().await?).await?;
        Ok(server)
    }

    /// A standby of this server, which may be in use: a copy that follows it, not synchronously.
    pub async fn standby(&self, folder: &Path) -> anyhow::Result<Self> {
        let mut standby = Self::stopped(&self.tools, folder, "standby", &[])?;
        standby.settings.clone_from(&self.settings);
        let copied = self
            .tools
            .command(&self.tools.postgres.join("pg_basebackup"))
            .args(["-U", "postgres", "-p", &PORT.to_string(), "-X", "stream", "-R", "-c", "fast", "--no-sync", "-h"])
            .arg(self.socket.path())
            .arg("-D")
            .arg(&standby.data)
            .output()
            .context("pg_basebackup cannot be run")?;
        ensure!(copied.status.success(), "pg_basebackup failed: {}", String::from_utf8_lossy(&copied.stderr));
        standby.run().await?;
        Ok(standby)
    }

    fn stopped(tools: &Tools, folder: &Path, name: &str, settings: &[&str]) -> anyhow::Result<Self> {
        let data = folder.join(name);
        tools.own_folder(&data)?;
        let socket = tempfile::Builder::new().prefix("torture-").tempdir_in("/tmp")?;
        tools.own_folder(socket.path())?;
        let log = folder.join(format!("{name}.log"));
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        Ok(Self { tools: tools.clone(), data, log, settings, socket, process: None })
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.socket.path().join(format!(".s.PGSQL.{PORT}"))
    }

    /// The address of a database of its own, for `DATABASE_URL`.
    pub fn url(&self) -> String {
        format!("postgres:///{DATABASE}?host={}&port={PORT}&user=postgres", self.socket.path().display())
    }

    /// How to connect past every proxy.
    pub fn options(&self) -> PgConnectOptions {
        let folder = self.socket.path().to_string_lossy();
        PgConnectOptions::new_without_pgpass().host(&folder).port(PORT).username("postgres").database(DATABASE)
    }

    /// A connection to the server's own database.
    pub async fn admin(&self) -> anyhow::Result<PgConnection> {
        Ok(self.options().database("postgres").connect().await?)
    }

    /// A pool past every proxy.
    pub fn pool(&self) -> PgPool {
        PgPoolOptions::new().max_connections(6).connect_lazy_with(self.options())
    }

    /// Whether it was started and has not been ended.
    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// Starts it where it does not run, and waits until it answers.
    pub async fn run(&mut self) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + TO_START;
        loop {
            if self.process.is_none() {
                self.process = Some(self.spawn()?);
            }
            let answers = self.admin().await;
            let ended = self.process.as_mut().map(Process::ended).transpose()?.flatten();
            match (answers, ended) {
                (Ok(_), None) => return Ok(()),
                // The children of one that was killed keep its memory for a moment, and it refuses to start.
                (_, Some(_)) => self.process = None,
                (Err(_), None) => {}
            }
            if tokio::time::Instant::now() > deadline {
                bail!("Postgres did not start within {TO_START:?}: see {}", self.log.display());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn spawn(&self) -> anyhow::Result<Process> {
        let mut command = self.tools.command(&self.tools.postgres.join("postgres"));
        command.arg("-D").arg(&self.data);
        let socket = format!("unix_socket_directories={}", self.socket.path().display());
        let settings = [
            &socket,
            "listen_addresses=",
            "max_connections=300",
            "shared_buffers=64MB",
            "fsync=on",
            "jit=off",
            "autovacuum_naptime=10s",
            "logging_collector=off",
            "log_line_prefix=%m [%p] ",
        ];
        for setting in settings.into_iter().chain(self.settings.iter().map(String::as_str)) {
            command.args(["-c", setting]);
        }
        Process::spawn(command, &self.log)
    }

    /// Ends at once, with everything that was not written.
    pub async fn crash(&mut self) -> anyhow::Result<()> {
        self.end(Signal::QUIT).await
    }

    /// A fast shutdown: it ends its sessions, which are told so, writes everything, and ends.
    pub async fn shut_down(&mut self) -> anyhow::Result<()> {
        self.end(Signal::INT).await
    }

    async fn end(&mut self, signal: Signal) -> anyhow::Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        let _ = process.signal(signal);
        let process = std::sync::Mutex::new(&mut process);
        wait_until("Postgres has ended", TO_END, || async {
            let ended = process.lock().is_ok_and(|mut process| !matches!(process.ended(), Ok(None)));
            Ok(if ended { Ok(()) } else { Err("it runs".to_owned()) })
        })
        .await
    }

    /// kill -9: the server is lost. Its children see it and end.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// SIGSTOP of the server and of all its children for a while, then SIGCONT. Gives whether it ran.
    pub async fn freeze(&self, span: Duration) -> anyhow::Result<bool> {
        let Some(process) = &self.process else { return Ok(false) };
        // The server first: it makes no more children then.
        let mut frozen = Frozen::default();
        frozen.freeze(process.id())?;
        for child in process.children()? {
            // It may have ended a moment ago.
            let _ = frozen.freeze(child);
        }
        tokio::time::sleep(span).await;
        Ok(true)
    }

    /// How far its log reaches, in bytes; of a standby, how much of it was replayed.
    async fn reached(&self) -> anyhow::Result<i64> {
        let sql = "SELECT (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END
                           - '0/0'::pg_lsn)::bigint";
        Ok(sqlx::query_scalar(sql).fetch_one(&mut self.admin().await?).await?)
    }

    /// Waits until a standby has what this server has now.
    pub async fn is_followed_by(&self, standby: &Self) -> anyhow::Result<()> {
        let mine = self.reached().await?;
        wait_until("the standby has everything", TO_START, || async {
            let its = standby.reached().await?;
            Ok(if its >= mine { Ok(()) } else { Err(format!("{its} of {mine}")) })
        })
        .await
    }

    /// A standby hears nothing more of its primary.
    pub async fn cut_off(&self) -> anyhow::Result<()> {
        let mut admin = self.admin().await?;
        sqlx::query("ALTER SYSTEM SET primary_conninfo = ''").execute(&mut admin).await?;
        sqlx::query("SELECT pg_reload_conf()").execute(&mut admin).await?;
        wait_until("the standby is cut off", TO_START, || async {
            let hears: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_stat_wal_receiver")
                .fetch_one(&mut self.admin().await?)
                .await?;
            Ok(if hears == 0 { Ok(()) } else { Err("it hears".to_owned()) })
        })
        .await
    }

    /// A standby becomes a primary, and is one when this returns.
    pub async fn promote(&self) -> anyhow::Result<()> {
        let promoted: bool =
            sqlx::query_scalar("SELECT pg_promote(true, 60)").fetch_one(&mut self.admin().await?).await?;
        ensure!(promoted, "the standby was not promoted: see {}", self.log.display());
        Ok(())
    }

    /// Writes the database to a file.
    pub fn dump(&self, file: &Path) -> anyhow::Result<()> {
        let dumped = self
            .tools
            .command(&self.tools.postgres.join("pg_dump"))
            .args(["-U", "postgres", "-d", DATABASE, "-p", &PORT.to_string(), "-h"])
            .arg(self.socket.path())
            .stdout(std::fs::File::create(file)?)
            .output()?;
        ensure!(dumped.status.success(), "pg_dump failed: {}", String::from_utf8_lossy(&dumped.stderr));
        Ok(())
    }
}

/// Processes that are stopped. They go on when it is dropped, also where whoever waits is: what is stopped would outlive its
/// server.
#[derive(Debug, Default)]
struct Frozen(Vec<Pid>);

impl Frozen {
    fn freeze(&mut self, id: u32) -> anyhow::Result<()> {
        let pid = i32::try_from(id).ok().and_then(Pid::from_raw).context("a process has an id")?;
        kill_process(pid, Signal::STOP)?;
        self.0.push(pid);
        Ok(())
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for pid in &self.0 {
            let _ = kill_process(*pid, Signal::CONT);
        }
    }
}

impl Drop for PostgresServer {
    /// Its children go with it, which they do not at once after a kill -9.
    fn drop(&mut self) {
        let Some(process) = &mut self.process else { return };
        let _ = process.signal(Signal::QUIT);
        for _ in 0..50 {
            if !matches!(process.ended(), Ok(None)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
