//! The service and its command line, used as anyone would: `serve` in the background, and commands with JSON answers.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use demo::villas::{ACCOUNT, ORG, unit_id};
use serde_json::Value;
use uuid::Uuid;

use crate::process::{self, Guarded};
use crate::publisher::Publisher;
use crate::stage::Stage;
use crate::targets::{CAST, Target, role_of};

/// The program.
pub const PROGRAM: &str = "distribution";

/// Starts every role and waits until unit changes can be published.
pub async fn serve(stage: &Stage, publisher: &Publisher) -> anyhow::Result<Guarded> {
    let log = stage.log_file(PROGRAM);
    let mut command = Command::new(stage.program(PROGRAM)?);
    command.arg("serve").envs(stage.environment());
    // Whoever looks into the log for where it listens passes over what one before it has written.
    let begins = std::fs::metadata(&log).map_or(0, |log| log.len());
    std::fs::write(stage.log_begins(PROGRAM), begins.to_string()).context("cannot write to the demo's folder")?;
    let process = process::start(command, &log, &stage.pid_file(PROGRAM))?;
    let since = Instant::now();
    while !publisher.intake_is_up().await {
        let dead = !process.running().is_alive() && since.elapsed() > Duration::from_millis(500);
        anyhow::ensure!(
            !dead && since.elapsed() < Duration::from_secs(20),
            "the service did not start:\n{}",
            process::last_lines(&log)
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(process)
}

/// Runs a command and reads its JSON answer.
async fn run(stage: &Stage, arguments: &[&str]) -> anyhow::Result<Value> {
    let mut command = tokio::process::Command::new(stage.program(PROGRAM)?);
    command.args(arguments).args(["--output", "json", "--as", "demo"]).envs(stage.environment());
    command.stdin(Stdio::null()).kill_on_drop(true);
    let shown = arguments.iter().take(2).copied().collect::<Vec<_>>().join(" ");
    let output = command.output().await.with_context(|| format!("cannot run distribution {shown}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(
        output.status.success(),
        "distribution {shown} failed ({}): {}{}",
        output.status,
        errors.trim(),
        String::from_utf8_lossy(&output.stdout).trim()
    );
    serde_json::from_slice(&output.stdout).with_context(|| format!("distribution {shown} did not answer in JSON"))
}

/// Makes the targets of the whole cast at a sandbox.
pub async fn create_targets(stage: &Stage, sandbox: &str) -> anyhow::Result<Vec<Target>> {
    let mut targets = Vec::new();
    for (index, role) in CAST.iter().enumerate() {
        let (url, account) = (base_url(sandbox), role.channel_account.to_string());
        let (secret, limit) = (format!("file:{}", role.secret()), role.limit());
        let arguments = [
            ["target", "create"],
            ["--org", ORG],
            ["--account", ACCOUNT],
            ["--name", role.name],
            ["--base-url", &url],
            ["--channel-account", &account],
            ["--secret-ref", &secret],
            ["--rate-limit", &limit],
        ];
        let answer = run(stage, arguments.as_flattened()).await?;
        let id: Option<Uuid> = answer["target_id"].as_str().and_then(|id| id.parse().ok());
        targets.push(Target::new(id.with_context(|| format!("there is no target_id in {answer}"))?, index));
    }
    Ok(targets)
}

/// Tells the targets that the sandbox is at another address.
pub async fn move_targets(stage: &Stage, targets: &[Target], sandbox: &str) -> anyhow::Result<()> {
    for target in targets {
        let id = target.target_id.to_string();
        run(stage, &["target", "configure", &id, "--base-url", &base_url(sandbox)]).await?;
    }
    Ok(())
}

fn base_url(sandbox: &str) -> String {
    format!("http://{sandbox}/v1")
}

/// Puts every villa on its target.
pub async fn link(stage: &Stage, targets: &[Target], villas: usize) -> anyhow::Result<()> {
    for (role, target) in targets.iter().enumerate() {
        let units: Vec<String> = (0..villas).filter(|villa| role_of(*villa) == role).map(unit_id).collect();
        let id = target.target_id.to_string();
        let mut arguments = vec!["listing", "link", "--target", &id];
        arguments.extend(units.iter().flat_map(|unit| ["--unit", unit]));
        run(stage, &arguments).await?;
    }
    Ok(())
}

/// Holds a target's syncs.
pub async fn pause(stage: &Stage, target: &Target, reason: &str) -> anyhow::Result<()> {
    run(stage, &["target", "pause", &target.target_id.to_string(), "--reason", reason]).await.map(drop)
}

/// Lets them go on.
pub async fn resume(stage: &Stage, target: &Target) -> anyhow::Result<()> {
    run(stage, &["target", "resume", &target.target_id.to_string()]).await.map(drop)
}
