//! A NATS with a small store on a small disk; killed, wiped, filled and started again while a run lasts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use async_nats::jetstream;
use end_to_end::process::Process;
use end_to_end::wait::wait_until;
use rustix::process::Signal;

use super::disk::Disk;
use super::{Port, Tools};

/// What its store holds at most. Streams with a prefix reserve nothing, so this is met when it is full.
const STORE_MB: usize = 192;
/// What its disk holds: more than the store may.
const DISK_MB: usize = 256;
const TO_START: Duration = Duration::from_secs(60);

/// The server, running or not.
#[derive(Debug)]
pub struct NatsServer {
    tools: Tools,
    folder: PathBuf,
    log: PathBuf,
    process: Option<Process>,
    /// The same for the whole run.
    port: Port,
    /// Where the store is, alone; or why there is no disk of its own. Dropped last, when nobody uses it.
    disk: Result<Disk, String>,
}

impl NatsServer {
    /// Starts one with an empty store.
    pub async fn start(tools: &Tools, folder: &Path) -> anyhow::Result<Self> {
        let data = folder.join("nats");
        tools.own_folder(&data)?;
        let place = data.join("disk");
        std::fs::create_dir(&place)?;
        let disk = Disk::mount(tools, &place, DISK_MB).map_err(|error| format!("{error:#}"));
        tools.own_folder(&place)?;
        let port = Port::free()?;
        // A write is acknowledged after its fsync, as in production.
        let settings = format!(
            "server_name: torture\nhost: 127.0.0.1\nport: {}\nmax_payload: 1MB\n\
             jetstream {{ store_dir: \"{}\", max_memory_store: 64MB, max_file_store: {STORE_MB}MB, sync_interval: always }}\n",
            port.number(),
            place.join("store").display()
        );
        std::fs::write(data.join("nats.conf"), settings)?;
        let log = folder.join("nats.log");
        let mut server = Self { tools: tools.clone(), folder: data, log, process: None, port, disk };
        server.run().await?;
        Ok(server)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Its address, past every proxy.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port())
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

    /// SIGSTOP for a while, then SIGCONT. Gives whether it ran.
    pub async fn freeze(&self, span: Duration) -> anyhow::Result<bool> {
        let Some(process) = &self.process else { return Ok(false) };
        process.signal(Signal::STOP)?;
        tokio::time::sleep(span).await;
        process.signal(Signal::CONT)?;
        Ok(true)
    }

    /// Takes its store away; it must not run.
    pub fn wipe(&self) -> anyhow::Result<()> {
        let store = self.folder.join("disk/store");
        if store.exists() { std::fs::remove_dir_all(store).context("NATS's store cannot be removed") } else { Ok(()) }
    }
}

impl NatsServer {
    /// Why its disk cannot be full; `None` where it can.
    pub fn lacks_a_disk(&self) -> Option<&str> {
        self.disk.as_ref().err().map(String::as_str)
    }

    /// Leaves no room on its disk for a while. Gives whether there was a disk to fill and it ran.
    pub async fn fill_disk(&mut self, span: Duration) -> anyhow::Result<bool> {
        let Ok(disk) = &self.disk else { return Ok(false) };
        let ran = self.process.is_some();
        disk.fill()?;
        tokio::time::sleep(span).await;
        self.empty_disk()?;
        // A stream whose write found no room refuses every further one until the server is started again (2.15), so whoever
        // makes room does that.
        self.kill();
        self.run().await?;
        Ok(ran)
    }

    /// Makes room on its disk.
    pub fn empty_disk(&self) -> anyhow::Result<()> {
        self.disk.as_ref().map_or(Ok(()), Disk::empty)
    }
}
