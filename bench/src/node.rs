//! The peer's two Node programs: the upstream that adds jobs, and the worker.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use crate::process::{Patience, Process};
use crate::tools;

fn script(name: &str) -> anyhow::Result<PathBuf> {
    Ok(PathBuf::from(tools::variable("BENCH_PEER_DIR")?).join(name))
}

/// Starts the worker and waits until it takes jobs.
pub async fn worker(settings: &Value, log: &Path) -> anyhow::Result<Process> {
    let _ = std::fs::remove_file(log);
    let mut command = Command::new("node");
    command.arg(script("worker.mjs")?).arg(settings.to_string()).env("NODE_ENV", "production");
    let process = Process::start(command, log)?;
    process.until(Patience::START, "ready", async || Ok(process.printed().contains("ready"))).await?;
    Ok(process)
}

/// Adds jobs and waits until Redis has them. Gives what the upstream printed.
pub async fn produce(settings: &Value, jobs: &[Value]) -> anyhow::Result<String> {
    let mut command = tokio::process::Command::new("node");
    command.arg(script("producer.mjs")?).arg(settings.to_string()).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().context("cannot start node")?;
    let mut input = child.stdin.take().context("a pipe was asked for")?;
    let lines: String = jobs.iter().map(|job| format!("{job}\n")).collect();
    input.write_all(lines.as_bytes()).await?;
    drop(input);
    let output = child.wait_with_output().await?;
    ensure!(output.status.success(), "the peer's upstream failed");
    Ok(String::from_utf8(output.stdout)?)
}
