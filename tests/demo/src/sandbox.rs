//! The sandbox: its process, and its inspection API.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::process::{self, Guarded};
use crate::stage::Stage;
use crate::targets::CAST;

/// The program.
pub const PROGRAM: &str = "hostaway-sandbox";

/// A client of the inspection API.
#[derive(Debug, Clone)]
pub struct Sandbox {
    http: reqwest::Client,
    /// `127.0.0.1:12345`
    pub address: String,
}

/// What the sandbox saw.
#[derive(Debug, Clone, Deserialize)]
pub struct Summary {
    /// Every call.
    pub calls: u64,
    /// By account.
    pub accounts: BTreeMap<u64, AccountSummary>,
}

/// What it saw of one account.
#[derive(Debug, Clone, Deserialize)]
pub struct AccountSummary {
    /// Its calls.
    pub calls: u64,
    /// When the first of them arrived, in microseconds since the Unix epoch.
    pub first_at_us: u64,
    /// The most of them in any window.
    pub worst_window: u64,
    /// Listings beyond the first that carry one reference.
    pub duplicate_references: u64,
}

/// A call that arrived.
#[derive(Debug, Clone, Deserialize)]
pub struct Arrival {
    /// When, in microseconds since the Unix epoch.
    pub at_us: u64,
    /// Whose.
    pub account: Option<u64>,
    /// The method.
    pub method: String,
    /// The path without the query.
    pub path: String,
    /// What was answered.
    pub status: Option<u16>,
}

#[derive(Deserialize)]
struct Arrivals {
    arrivals: Vec<Arrival>,
}

#[derive(Deserialize)]
struct Listings {
    listings: Vec<Value>,
}

#[derive(Deserialize)]
struct Days {
    days: Vec<Value>,
}

/// The one that runs, if it does.
pub fn find(stage: &Stage) -> Option<Sandbox> {
    process::find(&stage.pid_file("sandbox"), PROGRAM)?;
    Sandbox::at(std::fs::read_to_string(port_file(stage)).ok()?).ok()
}

fn port_file(stage: &Stage) -> PathBuf {
    stage.folder.join("sandbox.address")
}

/// Starts it where it was before, if that port is still free, else on any, and waits until it listens.
pub async fn start(stage: &Stage, before: Option<&str>) -> anyhow::Result<(Guarded, Sandbox)> {
    let port_file = port_file(stage);
    let log = stage.log_file("sandbox");
    // An old one would name a port that is nobody's any more.
    let _ = std::fs::remove_file(&port_file);
    let mut command = Command::new(stage.program(PROGRAM)?);
    command.args(["--limits", "off", "--token-delay-ms", "1000", "--port-file"]).arg(&port_file);
    if let Some(address) = before.filter(|address| TcpListener::bind(address).is_ok()) {
        command.args(["--listen", address]);
    }
    if let Some(path) = stage.sandbox_state() {
        command.arg("--state-file").arg(path);
    }
    let process = process::start(command, &log, &stage.pid_file("sandbox"))?;
    let since = Instant::now();
    loop {
        if let Ok(address) = std::fs::read_to_string(&port_file) {
            return Ok((process, Sandbox::at(address)?));
        }
        let dead = !process.running().is_alive() && since.elapsed() > Duration::from_millis(500);
        anyhow::ensure!(
            !dead && since.elapsed() < Duration::from_secs(10),
            "the sandbox did not start:\n{}",
            process::last_lines(&log)
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl Sandbox {
    /// The sandbox at an address.
    pub fn at(address: String) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
        Ok(Self { http, address })
    }

    /// Opens the accounts with their secrets.
    pub async fn admit(&self, secrets: &BTreeMap<u64, String>) -> anyhow::Result<()> {
        for (account, secret) in secrets {
            self.send("POST", "accounts", &json!({ "account_id": account, "secret": secret })).await?;
        }
        Ok(())
    }

    /// Has each target's limit enforced on its account; a sandbox does not keep limits.
    pub async fn enforce_limits(&self) -> anyhow::Result<()> {
        let limit = |role: &crate::targets::Role| json!({ "limit": role.requests, "window_ms": role.window_ms });
        let accounts: BTreeMap<u64, Value> = CAST.iter().map(|role| (role.channel_account, limit(role))).collect();
        self.send("PUT", "limits", &json!({ "account": null, "ip": null, "accounts": accounts })).await?;
        Ok(())
    }

    /// Everything it saw; windows are of ten seconds, as all limits here are.
    pub async fn summary(&self) -> anyhow::Result<Summary> {
        self.get("summary?window_ms=10000").await
    }

    /// The listings of an account.
    pub async fn listings(&self, account: u64) -> anyhow::Result<Vec<Value>> {
        Ok(self.get::<Listings>(&format!("accounts/{account}/listings")).await?.listings)
    }

    /// The nights of a listing.
    pub async fn days(&self, account: u64, listing: u64, first: &str, last: &str) -> anyhow::Result<Vec<Value>> {
        let path = format!("accounts/{account}/listings/{listing}/calendar?startDate={first}&endDate={last}");
        Ok(self.get::<Days>(&path).await?.days)
    }

    /// Calls since a time, oldest first.
    pub async fn arrivals(&self, since_us: u64) -> anyhow::Result<Vec<Arrival>> {
        Ok(self.get::<Arrivals>(&format!("arrivals?since_us={since_us}&limit=20000")).await?.arrivals)
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/_sandbox/{path}", self.address)
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let answer = self.http.get(self.url(path)).send().await.context("the sandbox does not answer")?;
        answer.error_for_status()?.json().await.with_context(|| format!("the sandbox's answer to {path} is odd"))
    }

    async fn send(&self, method: &str, path: &str, body: &impl Serialize) -> anyhow::Result<()> {
        let request = self.http.request(method.parse()?, self.url(path)).json(body);
        let answer = request.send().await.context("the sandbox does not answer")?;
        let status = answer.status();
        anyhow::ensure!(status.is_success(), "the sandbox refused {path}: {}", answer.text().await.unwrap_or_default());
        Ok(())
    }
}
