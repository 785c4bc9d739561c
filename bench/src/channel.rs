//! The channel as a process, and what is asked of it.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::Value;

use crate::arrivals::{self, Arrival};
use crate::process::Process;
use crate::tools;

/// A running channel.
pub struct Channel {
    /// Its process, whose cost is on neither side.
    process: Process,
    /// Its root, e.g. `http://127.0.0.1:4711`.
    pub url: String,
    http: reqwest::Client,
}

impl Channel {
    /// Starts one.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        let port_file = folder.join("channel.port");
        let mut command = Command::new(tools::program("bench-channel")?);
        command.arg("--port-file").arg(&port_file);
        let mut process = Process::start(command, &folder.join("channel.log"))?;
        let asked = Instant::now();
        while !port_file.exists() {
            process.must_run()?;
            ensure!(asked.elapsed() < Duration::from_secs(20), "the channel did not start");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let url = format!("http://{}", std::fs::read_to_string(&port_file)?);
        Ok(Self { process, url, http: reqwest::Client::new() })
    }

    /// How many writes of listings arrived since the last reset.
    pub async fn writes(&mut self) -> anyhow::Result<usize> {
        self.process.must_run()?;
        Ok(self.ask("writes", &Value::Null).await?.trim().parse()?)
    }

    /// Forgets the arrivals, not the listings.
    pub async fn reset(&self) -> anyhow::Result<()> {
        self.ask("reset", &Value::Null).await.map(drop)
    }

    /// How long accounts wait for their answers: `[{"account": 1, "ms": 50, "jitter_ms": 25}]`.
    pub async fn latencies(&self, latencies: &Value) -> anyhow::Result<()> {
        self.ask("latencies", latencies).await.map(drop)
    }

    /// Everything that arrived since the last reset.
    pub async fn arrivals(&self) -> anyhow::Result<Vec<Arrival>> {
        arrivals::read(&self.ask("arrivals", &Value::Null).await?)
    }

    async fn ask(&self, what: &str, body: &Value) -> anyhow::Result<String> {
        let answer = self.http.post(format!("{}/_bench/{what}", self.url)).json(body).send().await?;
        Ok(answer.error_for_status()?.text().await?)
    }
}
