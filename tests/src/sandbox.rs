//! The sandbox as a process, and its inspection API.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use crate::process::Process;
use crate::wait::wait_until;

/// A running sandbox.
#[derive(Debug)]
pub struct Sandbox {
    /// Its process.
    pub process: Process,
    /// Its root, e.g. `http://127.0.0.1:4711`.
    pub url: String,
    http: reqwest::Client,
}

impl Sandbox {
    /// Starts one without limits; `accounts` are ids, each with the secret `secret-ID`.
    pub async fn start(folder: &Path, accounts: &[u64]) -> anyhow::Result<Self> {
        Self::start_with(folder, accounts, &[]).await
    }

    /// The same with further arguments.
    pub async fn start_with(folder: &Path, accounts: &[u64], further: &[&str]) -> anyhow::Result<Self> {
        let port_file = folder.join("sandbox.port");
        let mut arguments: Vec<String> =
            ["--listen", "127.0.0.1:0", "--limits", "off", "--token-delay-ms", "1000", "--port-file"]
                .map(str::to_owned)
                .into();
        arguments.push(port_file.display().to_string());
        arguments.extend(further.iter().map(|argument| (*argument).to_owned()));
        for account in accounts {
            arguments.extend(["--account".to_owned(), format!("{account}:secret-{account}")]);
        }
        let process = Process::start("hostaway-sandbox", &arguments, &[], &folder.join("sandbox.log"))?;
        let address = wait_until("the sandbox listens", Duration::from_secs(20), || async {
            Ok(std::fs::read_to_string(&port_file).map_err(|error| error.to_string()))
        })
        .await?;
        Ok(Self { process, url: format!("http://{}", address.trim()), http: reqwest::Client::new() })
    }

    /// GET on the inspection API.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let answer = self.http.get(format!("{}/_sandbox{path}", self.url)).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    /// POST or PUT on the inspection API.
    pub async fn send(&self, method: reqwest::Method, path: &str, body: &Value) -> anyhow::Result<Value> {
        let answer = self.http.request(method, format!("{}/_sandbox{path}", self.url)).json(body).send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        anyhow::ensure!(status.is_success(), "{path}: {status}: {text}");
        serde_json::from_str(&text).context("the sandbox answers JSON")
    }

    /// Adds a fault rule.
    pub async fn fault(&self, rule: Value) -> anyhow::Result<()> {
        self.send(reqwest::Method::POST, "/faults", &rule).await.map(drop)
    }

    /// Adds a fault rule and gives its number.
    pub async fn fault_rule(&self, rule: &Value) -> anyhow::Result<u64> {
        let added = self.send(reqwest::Method::POST, "/faults", rule).await?;
        added["faults"][0]["id"].as_u64().context("an added rule has a number")
    }

    /// The nights of a listing.
    pub async fn nights(&self, account: u64, listing: u64, first: &str, last: &str) -> anyhow::Result<Vec<Value>> {
        let path = format!("/accounts/{account}/listings/{listing}/calendar?startDate={first}&endDate={last}");
        Ok(self.get(&path).await?["days"].as_array().cloned().unwrap_or_default())
    }

    /// How many calls a fault rule met; none where it is gone already.
    pub async fn hits(&self, rule: u64) -> anyhow::Result<u64> {
        let rules = self.get("/faults").await?;
        let rules = rules["faults"].as_array().into_iter().flatten();
        Ok(rules.filter(|one| one["id"] == rule).filter_map(|one| one["hits"].as_u64()).sum())
    }

    /// Takes one fault rule away; one that is gone already is no error.
    pub async fn mend(&self, rule: u64) -> anyhow::Result<()> {
        self.http.delete(format!("{}/_sandbox/faults/{rule}", self.url)).send().await?;
        Ok(())
    }

    /// Takes every fault rule away.
    pub async fn heal(&self) -> anyhow::Result<()> {
        self.http.delete(format!("{}/_sandbox/faults", self.url)).send().await?.error_for_status()?;
        Ok(())
    }

    /// Enforces `limit` requests in `window_ms` for every account.
    pub async fn enforce(&self, limit: u32, window_ms: u32) -> anyhow::Result<()> {
        let table = json!({"account": {"limit": limit, "window_ms": window_ms}});
        self.send(reqwest::Method::PUT, "/limits", &table).await.map(drop)
    }

    /// What it saw of one account in all.
    pub async fn account(&self, account: u64) -> anyhow::Result<Value> {
        let summary = self.get("/summary?window_ms=10000").await?;
        Ok(summary["accounts"][account.to_string()].clone())
    }

    /// The listings of an account.
    pub async fn listings(&self, account: u64) -> anyhow::Result<Vec<Value>> {
        let answer = self.get(&format!("/accounts/{account}/listings")).await?;
        Ok(answer["listings"].as_array().cloned().unwrap_or_default())
    }

    /// The arrivals of an account, oldest first.
    pub async fn arrivals(&self, account: u64) -> anyhow::Result<Vec<Value>> {
        let answer = self.get(&format!("/arrivals?account={account}&limit=1000000")).await?;
        Ok(answer["arrivals"].as_array().cloned().unwrap_or_default())
    }
}
