//! A Postgres that is reached by a socket alone; crashed and started again while a run lasts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use end_to_end::process::Process;
use end_to_end::wait::wait_until;
use rustix::process::Signal;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, PgPool};

use super::Tools;

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
    /// Not in the run's folder: a socket's path may have 107 bytes at most.
    socket: tempfile::TempDir,
    process: Option<Process>,
}

impl PostgresServer {
    /// Makes a cluster and starts it.
    pub async fn start(tools: &Tools, folder: &Path) -> anyhow::Result<Self> {
        let data = folder.join("postgres");
        tools.own_folder(&data)?;
        let socket = tempfile::Builder::new().prefix("torture-").tempdir_in("/tmp")?;
        tools.own_folder(socket.path())?;
        let made = tools
            .command(&tools.postgres.join("initdb"))
            .arg("-D")
            .arg(&data)
            .args(["-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"])
            .output()
            .context("initdb cannot be run")?;
        ensure!(made.status.success(), "initdb failed: {}", String::from_utf8_lossy(&made.stderr));
        let log = folder.join("postgres.log");
        let mut server = Self { tools: tools.clone(), data, log, socket, process: None };
        server.run().await?;
        let mut admin = server.options().database("postgres").connect().await?;
        sqlx::query(&format!("CREATE DATABASE {DATABASE}")).execute(&mut admin).await?;
        Ok(server)
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.socket.path().join(format!(".s.PGSQL.{PORT}"))
    }

    /// How to connect past every proxy.
    pub fn options(&self) -> PgConnectOptions {
        let folder = self.socket.path().to_string_lossy();
        PgConnectOptions::new_without_pgpass().host(&folder).port(PORT).username("postgres").database(DATABASE)
    }

    /// A pool past every proxy.
    pub fn pool(&self) -> PgPool {
        PgPoolOptions::new().max_connections(6).connect_lazy_with(self.options())
    }

    /// Starts it where it does not run, and waits until it answers.
    pub async fn run(&mut self) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + TO_START;
        loop {
            if self.process.is_none() {
                self.process = Some(self.spawn()?);
            }
            let answers = self.options().database("postgres").connect().await;
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
        for setting in settings {
            command.args(["-c", setting]);
        }
        Process::spawn(command, &self.log)
    }

    /// Ends at once, with everything that was not written.
    pub async fn crash(&mut self) -> anyhow::Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        let _ = process.signal(Signal::QUIT);
        let process = std::sync::Mutex::new(&mut process);
        wait_until("Postgres has ended", TO_END, || async {
            let ended = process.lock().is_ok_and(|mut process| !matches!(process.ended(), Ok(None)));
            Ok(if ended { Ok(()) } else { Err("it runs".to_owned()) })
        })
        .await
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
