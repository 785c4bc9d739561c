//! A NATS server of a test's own, for what the shared one must not go through.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::ensure;

use crate::process::Process;
use crate::server_tools::Tools;
use crate::wait::wait_until;

/// A server, or several with their routes, may take so long to be there.
pub const TO_START: Duration = Duration::from_secs(60);

/// The machine's own server, or the pinned one that `dev/up` has fetched.
pub fn program() -> anyhow::Result<PathBuf> {
    let program = Tools::find()?.nats;
    ensure!(program.is_file(), "no nats-server at {}", program.display());
    Ok(program)
}

/// So many ports that nobody has.
pub fn free_ports<const COUNT: usize>() -> anyhow::Result<[u16; COUNT]> {
    let mut ports = [0; COUNT];
    // All of them at once, so that none is given twice.
    let free: Vec<TcpListener> = (0..COUNT).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    for (port, listener) in ports.iter_mut().zip(&free) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

/// Starts a server whose name is that of its files in `folder`: the store, the log, and the settings, to which `more` is added. As
/// in production a write is acknowledged when it is on disk.
pub fn start(program: &Path, folder: &Path, name: &str, port: u16, more: &str) -> anyhow::Result<Process> {
    let settings = format!(
        "server_name: {name}\nhost: 127.0.0.1\nport: {port}\nmax_payload: 1MB\n\
         jetstream {{ store_dir: \"{}\", max_memory_store: 64MB, max_file_store: 4GB, sync_interval: always }}\n{more}",
        folder.join(name).display(),
    );
    let file = folder.join(format!("{name}.conf"));
    std::fs::write(&file, settings)?;
    let mut command = Command::new(program);
    command.arg("-c").arg(file);
    Process::spawn(command, &folder.join(format!("{name}.log")))
}

/// Waits until one of these servers has a JetStream that answers.
pub async fn ready(url: &str) -> anyhow::Result<()> {
    wait_until("NATS answers", TO_START, || async {
        let client = match async_nats::connect(url.split(',').collect::<Vec<_>>()).await {
            Ok(client) => client,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let jetstream = async_nats::jetstream::new(client);
        Ok(jetstream.query_account().await.map(drop).map_err(|error| error.to_string()))
    })
    .await
}

/// A server on a port of its own, which answers.
#[derive(Debug)]
pub struct NatsServer {
    folder: PathBuf,
    port: u16,
    /// Its process, to be killed, stopped for a while, or asked for its id.
    pub process: Process,
}

impl NatsServer {
    const NAME: &'static str = "own";

    /// Starts it, with its files in `folder`.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        let [port] = free_ports()?;
        let process = start(&program()?, folder, Self::NAME, port, "")?;
        let server = Self { folder: folder.to_owned(), port, process };
        ready(&server.url()).await?;
        Ok(server)
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Where its store is.
    pub fn store(&self) -> PathBuf {
        self.folder.join(Self::NAME)
    }

    /// Starts it again, once it was killed.
    pub async fn run(&mut self) -> anyhow::Result<()> {
        self.process = start(&program()?, &self.folder, Self::NAME, self.port, "")?;
        ready(&self.url()).await
    }
}
