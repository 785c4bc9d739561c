//! A NATS server of a test's own, for what the shared one must not go through.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::ensure;
use async_nats::jetstream::{self, stream};

use crate::process::Process;
use crate::server_tools::Tools;
use crate::wait::wait_until;

/// A server, or several with their routes, may take so long to be there.
pub const TO_START: Duration = Duration::from_secs(120);
/// What a store holds at most, in megabytes, if nothing else was asked for.
const STORE_MB: u64 = 4_096;
const FILLER: &str = "FILLER";
const PIECE: usize = 900 * 1024;

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
    start_with_store(program, folder, name, port, STORE_MB, more)
}

/// The same with a store that holds so many megabytes.
fn start_with_store(
    program: &Path,
    folder: &Path,
    name: &str,
    port: u16,
    store_mb: u64,
    more: &str,
) -> anyhow::Result<Process> {
    let settings = format!(
        "server_name: {name}\nhost: 127.0.0.1\nport: {port}\nmax_payload: 1MB\n\
         jetstream {{ store_dir: \"{}\", max_memory_store: 64MB, max_file_store: {store_mb}MB, \
         sync_interval: always }}\n{more}",
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
        let jetstream = jetstream::new(client);
        Ok(jetstream.query_account().await.map(drop).map_err(|error| error.to_string()))
    })
    .await
}

/// A server on a port of its own, which answers.
#[derive(Debug)]
pub struct NatsServer {
    folder: PathBuf,
    port: u16,
    store_mb: u64,
    /// Its process, to be killed, stopped for a while, or asked for its id.
    pub process: Process,
}

impl NatsServer {
    const NAME: &'static str = "own";

    /// Starts it, with its files in `folder`.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        Self::start_small(folder, STORE_MB).await
    }

    /// The same with a store that holds so many megabytes, so that it can be full.
    pub async fn start_small(folder: &Path, store_mb: u64) -> anyhow::Result<Self> {
        let [port] = free_ports()?;
        let process = start_with_store(&program()?, folder, Self::NAME, port, store_mb, "")?;
        let server = Self { folder: folder.to_owned(), port, store_mb, process };
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
        self.process = start_with_store(&program()?, &self.folder, Self::NAME, self.port, self.store_mb, "")?;
        ready(&self.url()).await
    }
}

/// Fills a server's store to the brim.
pub async fn fill(url: &str) -> anyhow::Result<()> {
    let client = async_nats::connect(url).await?;
    let jetstream = jetstream::new(client);
    let config = stream::Config { name: FILLER.to_owned(), subjects: vec![FILLER.to_owned()], ..Default::default() };
    jetstream.create_stream(config).await?;
    // Pieces get smaller, so that in the end nothing fits.
    let mut piece = PIECE;
    while piece > 256 {
        let sent = jetstream.publish(FILLER, vec![0; piece].into()).await?;
        if sent.await.is_err() {
            piece /= 4;
        }
    }
    Ok(())
}

/// Takes away what [`fill`] put there.
pub async fn empty(url: &str) -> anyhow::Result<()> {
    let jetstream = jetstream::new(async_nats::connect(url).await?);
    match jetstream.delete_stream(FILLER).await {
        Ok(_) => Ok(()),
        // Wiped meanwhile.
        Err(error) if error.to_string().contains("not found") => Ok(()),
        Err(error) => Err(error.into()),
    }
}
