//! `bench smoke`: every benchmark, tiny, two at a time, and the three of `pressure` beside each other. The figures mean nothing; that they come out does.

use std::path::Path;

use anyhow::ensure;
use clap::{ArgMatches, FromArgMatches};
use serde_json::{Map, Value, json};

use crate::{
    api, dashboard, fairness, floor, growth, journal, latency, memory, pressure, rebuild, say, scale, sync, telemetry,
    window,
};

/// Figures by benchmark.
type Figures = Map<String, Value>;

/// The options of a command with these arguments.
fn options<T: clap::Args + FromArgMatches>(arguments: &[&str]) -> anyhow::Result<T> {
    let command = T::augment_args(clap::Command::new("smoke").no_binary_name(true));
    let matches: ArgMatches = command.try_get_matches_from(arguments)?;
    Ok(T::from_arg_matches(&matches)?)
}

/// Runs them and checks that they give what they promise.
pub async fn run(folder: Option<&Path>) -> anyhow::Result<Value> {
    let (mut all, others) = tokio::try_join!(whole(folder), parts(folder))?;
    all.extend(others);
    for (bench, names) in [
        ("sync", &["ratio_throughput", "ratio_cpu"][..]),
        ("sync --windows", &["ratio_ideal", "worst_window"]),
        ("window", &["worst_window", "peer_worst_window", "budget_used"]),
        ("journal", &["ratio"]),
        ("latency", &["idle_p50_ms", "idle_p99_ms"]),
        ("fairness", &["ratio"]),
        ("growth", &["claim_ratio"]),
        ("rebuild", &["rebuild_events_per_s", "live_events_per_s", "relay_events_per_s"]),
        ("scale", &["ratio_two"]),
        ("floor", &["ratio_cpu", "ratio_throughput"]),
        ("memory", &["private_mb"]),
        ("pressure hanging-channel", &["peak_mb", "recovery_s", "worst_window"]),
        ("pressure slow-postgres", &["peak_mb", "recovery_s", "worst_window"]),
        ("pressure full-nats", &["peak_mb", "recovery_s", "worst_window"]),
        ("telemetry", &["ratio"]),
        ("api", &["read_p99_ms", "write_p99_ms"]),
        ("dashboard", &["first_view_p50_ms", "ratio"]),
    ] {
        let figures = &all[bench];
        for name in names {
            ensure!(figures[name].as_f64().is_some_and(|figure| figure > 0.0), "{name} is missing: {figures}");
        }
    }
    for (bench, limit) in [("window", 6), ("sync --windows", 4)] {
        let worst = all[bench]["worst_window"].as_u64();
        ensure!(worst.is_some_and(|worst| worst <= limit), "a window was overrun: {}", all[bench]);
    }
    all.insert("bench".to_owned(), json!("smoke"));
    Ok(Value::Object(all))
}

fn note(all: &mut Figures, bench: &str, figures: Value) {
    say(&format!("{bench} runs"));
    all.insert(bench.to_owned(), figures);
}

/// Those that drive the service as a whole, next to the peer.
async fn whole(folder: Option<&Path>) -> anyhow::Result<Figures> {
    let mut all = Figures::new();
    let tiny = ["--changes=100", "--repeat=1", "--targets=4", "--paced-seconds=1"];
    note(&mut all, "sync", sync::run(&options(&tiny)?, folder).await?);
    let tiny = ["--changes=100", "--repeat=1", "--targets=4"];
    note(&mut all, "floor", floor::run(&options(&tiny)?, folder).await?);
    let tiny = ["--seconds=3", "--after=2", "--targets=1", "--limit=6/1s"];
    note(&mut all, "window", window::run(&options(&tiny)?, folder).await?);
    let tiny = ["--listings=50", "--repeat=1", "--targets=4", "--load=50", "--seconds=1", "--idle-changes=5"];
    note(&mut all, "latency", latency::run(&options(&tiny)?, folder).await?);
    let tiny = ["--backlog=200", "--targets=4", "--listings=3", "--changes=12", "--repeat=1"];
    note(&mut all, "fairness", fairness::run(&options(&tiny)?, folder).await?);
    let tiny = ["--targets=20", "--rows=200", "--views=3", "--viewers=2", "--changes=50", "--repeat=1"];
    note(&mut all, "dashboard", dashboard::run(&options(&tiny)?, folder).await?);
    Ok(all)
}

/// Those that wait for windows and latencies, and those that measure parts of the service.
async fn parts(folder: Option<&Path>) -> anyhow::Result<Figures> {
    let mut all = Figures::new();
    let tiny = ["--windows", "--windows-targets=2", "--windows-limit=4/1s", "--windows-changes=8", "--repeat=1"];
    note(&mut all, "sync --windows", sync::run(&options(&tiny)?, folder).await?);
    let tiny = ["--dispatchers=1,2", "--seconds=1", "--concurrency=2", "--repeat=1", "--targets=2"];
    note(&mut all, "scale", scale::run(&options(&tiny)?, folder).await?);
    let tiny = ["--seconds=1", "--repeat=1", "--concurrency=32"];
    note(&mut all, "journal", journal::run(&options(&tiny)?, folder).await?);
    note(&mut all, "rebuild", rebuild::run(&options(&["--listings=300", "--repeat=2"])?, folder).await?);
    let tiny = ["--queued=300,600", "--events=2000", "--targets=4", "--repeat=2"];
    note(&mut all, "growth", growth::run(&options(&tiny)?, folder).await?);
    let tiny = ["--listings=50", "--targets=4", "--pace=20", "--seconds=2", "--repeat=1"];
    note(&mut all, "api", api::run(&options(&tiny)?, folder).await?);
    let tiny = ["--changes=50", "--targets=4", "--repeat=1"];
    note(&mut all, "telemetry", telemetry::run(&options(&tiny)?, folder).await?);
    let tiny = ["--targets=10", "--listings=100", "--burst=20", "--settle=1"];
    note(&mut all, "memory", memory::run(&options(&tiny)?, folder).await?);
    // What they do is to wait, for the most part: beside each other they take as long as one.
    let hanging = ["--scenario=hanging-channel", "--changes=200", "--listings=50", "--targets=4", "--hang-ms=8000"];
    let slow = [
        "--scenario=slow-postgres",
        "--changes=200",
        "--listings=50",
        "--targets=4",
        "--slow-ms=300",
        "--slow-seconds=1",
    ];
    // So few for each target that no window is ever full.
    let full = ["--scenario=full-nats", "--windows", "--changes=48", "--listings=48", "--targets=12"];
    let (hanging, slow, full) = (options(&hanging)?, options(&slow)?, options(&full)?);
    let (hanging, slow, full) =
        tokio::try_join!(pressure::run(&hanging, folder), pressure::run(&slow, folder), pressure::run(&full, folder))?;
    note(&mut all, "pressure hanging-channel", hanging);
    note(&mut all, "pressure slow-postgres", slow);
    note(&mut all, "pressure full-nats", full);
    Ok(all)
}
