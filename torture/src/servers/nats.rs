//! A NATS with a small store; killed, wiped, filled and started again while a run lasts.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use async_nats::jetstream::{self, stream};
use end_to_end::process::Process;
use end_to_end::wait::wait_until;

use super::Tools;

/// What its store holds at most. Streams with a prefix reserve nothing, so this is met when it is full.
const STORE_MB: usize = 192;
const FILLER: &str = "FILLER";
const PIECE: usize = 900 * 1024;
const TO_START: Duration = Duration::from_secs(60);

/// The server, running or not.
#[derive(Debug)]
pub struct NatsServer {
    tools: Tools,
    folder: PathBuf,
    log: PathBuf,
    /// The same for the whole run.
    pub port: u16,
    process: Option<Process>,
}

impl NatsServer {
    /// Starts one with an empty store.
    pub async fn start(tools: &Tools, folder: &Path) -> anyhow::Result<Self> {
        let data = folder.join("nats");
        tools.own_folder(&data)?;
        let port = free_port()?;
        // A write is acknowledged after its fsync, as in production.
        let settings = format!(
            "server_name: torture\nhost: 127.0.0.1\nport: {port}\nmax_payload: 1MB\n\
             jetstream {{ store_dir: \"{}\", max_memory_store: 64MB, max_file_store: {STORE_MB}MB, sync_interval: always }}\n",
            data.join("store").display()
        );
        std::fs::write(data.join("nats.conf"), settings)?;
        let log = folder.join("nats.log");
        let mut server = Self { tools: tools.clone(), folder: data, log, port, process: None };
        server.run().await?;
        Ok(server)
    }

    /// Its address, past every proxy.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Starts it where it does not run, and waits until it answers.
    pub async fn run(&mut self) -> anyhow::Result<()> {
        if self.process.is_none() {
            let mut command = self.tools.command(&self.tools.nats);
            command.arg("-c").arg(self.folder.join("nats.conf"));
            self.process = Some(Process::spawn(command, &self.log)?);
        }
        wait_until("NATS answers", TO_START, || async {
            let client = match async_nats::connect(self.url()).await {
                Ok(client) => client,
                Err(error) => return Ok(Err(error.to_string())),
            };
            Ok(jetstream::new(client).query_account().await.map(drop).map_err(|error| error.to_string()))
        })
        .await
    }

    /// kill -9. Gives whether it ran.
    pub fn kill(&mut self) -> bool {
        let ran = self.process.take();
        // A process that is dropped is killed.
        ran.is_some()
    }

    /// Takes its store away; it must not run.
    pub fn wipe(&self) -> anyhow::Result<()> {
        let store = self.folder.join("store");
        if store.exists() { std::fs::remove_dir_all(store).context("NATS's store cannot be removed") } else { Ok(()) }
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

/// Takes away what `fill` put there.
pub async fn empty(url: &str) -> anyhow::Result<()> {
    let jetstream = jetstream::new(async_nats::connect(url).await?);
    match jetstream.delete_stream(FILLER).await {
        Ok(_) => Ok(()),
        // Wiped meanwhile.
        Err(error) if error.to_string().contains("not found") => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A port that nobody has, below the range of outgoing connections.
pub fn free_port() -> anyhow::Result<u16> {
    let mut ports = (0..1_000).map(|_| rand::random_range(20_000..30_000));
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).context("no port is free")
}
