//! The channel as a process, and what is asked of it.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::arrivals::{self, Arrival};
use crate::process::{Patience, Process};
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
        let process = Process::start(command, &folder.join("channel.log"))?;
        process.until(Patience::START, "listening", async || Ok(port_file.exists())).await?;
        let url = format!("http://{}", std::fs::read_to_string(&port_file)?);
        Ok(Self { process, url, http: reqwest::Client::new() })
    }

    /// How many writes of listings an account has made since the last reset.
    pub async fn writes(&self, account: u32) -> anyhow::Result<usize> {
        self.process.must_run()?;
        Ok(self.ask("writes", &json!(account)).await?.trim().parse()?)
    }

    /// Waits until an account has made so many writes, unless `maker` ends: the channel counts them, so that nobody's
    /// database is asked meanwhile.
    pub async fn until_written(&self, maker: &Process, account: u32, writes: usize) -> anyhow::Result<()> {
        let what = format!("done with {writes} calls");
        maker.until(Patience::WORK, &what, async || Ok(self.writes(account).await? >= writes)).await
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
