//! A private Redis on a unix socket, with the append-only file written every second.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Patience, Process};
use crate::tools;

/// A running Redis.
pub struct Redis {
    /// Its process.
    pub process: Process,
    /// Its socket.
    pub socket: PathBuf,
}

impl Redis {
    /// Starts one with its data in `folder`.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        let socket = folder.join("redis.sock");
        let mut command = Command::new(tools::variable("BENCH_REDIS_SERVER")?);
        // Only Redis itself needs the libraries that were fetched beside it.
        if let Ok(libraries) = std::env::var("BENCH_REDIS_LIBRARIES") {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command.args(["--port", "0", "--appendonly", "yes", "--appendfsync", "everysec", "--save", ""]);
        command.arg("--unixsocket").arg(&socket).arg("--dir").arg(folder);
        let process = Process::start(command, &folder.join("redis.log"))?;
        process.until(Patience::START, "listening", async || Ok(socket.exists())).await?;
        Ok(Self { process, socket })
    }
}
