//! `bench smoke`: every benchmark, tiny. The figures mean nothing; that they come out does.

use std::path::Path;

use anyhow::ensure;
use clap::{ArgMatches, FromArgMatches};
use serde_json::{Value, json};

use crate::{fairness, growth, journal, latency, memory, rebuild, say, scale, sync, window};

/// The options of a command with these arguments.
fn options<T: clap::Args + FromArgMatches>(arguments: &[&str]) -> anyhow::Result<T> {
    let command = T::augment_args(clap::Command::new("smoke").no_binary_name(true));
    let matches: ArgMatches = command.try_get_matches_from(arguments)?;
    Ok(T::from_arg_matches(&matches)?)
}

/// Runs them and checks that they give what they promise.
pub async fn run(folder: Option<&Path>) -> anyhow::Result<Value> {
    let tiny = ["--changes=100", "--repeat=1", "--targets=4", "--paced-seconds=1"];
    let sync = sync::run(&options(&tiny)?, folder).await?;
    say("sync runs");
    let tiny = ["--windows", "--windows-targets=2", "--windows-limit=4/1s", "--windows-changes=8", "--repeat=1"];
    let windows = sync::run(&options(&tiny)?, folder).await?;
    say("sync --windows runs");
    let tiny = ["--seconds=3", "--after=2", "--targets=1", "--limit=6/1s"];
    let window = window::run(&options(&tiny)?, folder).await?;
    say("window runs");
    let tiny = ["--seconds=1", "--repeat=1", "--concurrency=1,32"];
    let journal = journal::run(&options(&tiny)?, folder).await?;
    say("journal runs");
    let tiny = ["--listings=50", "--repeat=1", "--targets=4", "--load=50", "--seconds=1", "--idle-changes=5"];
    let latency = latency::run(&options(&tiny)?, folder).await?;
    say("latency runs");
    let tiny = ["--backlog=200", "--targets=4", "--listings=3", "--changes=12", "--repeat=1"];
    let fairness = fairness::run(&options(&tiny)?, folder).await?;
    say("fairness runs");
    let rebuild = rebuild::run(&options(&["--listings=300", "--repeat=1"])?, folder).await?;
    say("rebuild runs");
    let tiny = ["--queued=300,600", "--events=2000", "--targets=4", "--repeat=2"];
    let growth = growth::run(&options(&tiny)?, folder).await?;
    say("growth runs");
    let tiny = ["--dispatchers=1,2", "--seconds=1", "--concurrency=2", "--repeat=1", "--targets=2"];
    let scale = scale::run(&options(&tiny)?, folder).await?;
    say("scale runs");
    let tiny = ["--targets=10", "--listings=100", "--burst=20", "--settle=1"];
    let memory = memory::run(&options(&tiny)?, folder).await?;
    say("memory runs");
    for (figures, names) in [
        (&sync, &["ratio_throughput", "ratio_cpu"][..]),
        (&window, &["worst_window", "peer_worst_window", "budget_used"]),
        (&journal, &["ratio"]),
        (&fairness, &["ratio"]),
        (&growth, &["claim_ratio"]),
        (&scale, &["ratio_two"]),
        (&windows, &["ratio_ideal", "worst_window"]),
        (&memory, &["private_mb"]),
        (&rebuild, &["rebuild_events_per_s", "live_events_per_s", "relay_events_per_s"]),
        (&latency, &["idle_p50_ms", "idle_p99_ms"]),
    ] {
        for name in names {
            ensure!(figures[name].as_f64().is_some_and(|figure| figure > 0.0), "{name} is missing: {figures}");
        }
    }
    let worst = window["worst_window"].as_u64();
    ensure!(worst.is_some_and(|worst| worst <= 6), "a window was overrun: {window}");
    Ok(json!({
        "bench": "smoke", "sync": sync, "window": window, "journal": journal, "latency": latency,
        "fairness": fairness, "rebuild": rebuild, "growth": growth, "scale": scale, "sync-windows": windows, "memory": memory,
    }))
}
