//! The figures of `bench sync`.

use std::path::Path;

use serde_json::{Value, json};

use super::{Run, SyncOptions};
use crate::drain::{Drained, cpu_ms_by_part, peak_private_mb};
use crate::figures::{Spread, float, machine, percentile, rounded, sorted};
use crate::plot::{Bars, Group};
use crate::say;

fn rate(options: &SyncOptions, run: &Run) -> f64 {
    float(options.changes) / run.drained.seconds
}

fn cpu_ms(options: &SyncOptions, run: &Run) -> f64 {
    run.drained.cpu_ms(options.changes)
}

pub fn tell(side: &str, round: usize, options: &SyncOptions, run: &Run) {
    let (rate, cpu) = (rounded(rate(options, run)), rounded(cpu_ms(options, run)));
    let mut parts: Vec<String> = run.drained.cpu.iter().map(|(name, seconds)| format!("{name} {seconds:.2}")).collect();
    parts.sort_unstable();
    say(&format!("{side} {round}: {rate} syncs/s, {cpu} ms CPU each ({} s)", parts.join(", ")));
}

fn side(options: &SyncOptions, runs: &[Run]) -> Value {
    let latencies = sorted(&runs.iter().flat_map(|run| run.latencies.iter().copied()).collect::<Vec<_>>());
    let drained: Vec<&Drained> = runs.iter().map(|run| &run.drained).collect();
    json!({
        "syncs_per_s": Spread::of(runs.iter().map(|run| rate(options, run))),
        "cpu_ms_per_sync": Spread::of(runs.iter().map(|run| cpu_ms(options, run))),
        "cpu_ms_by_part": cpu_ms_by_part(&drained, options.changes),
        "cpu_ms_of_ingest": Spread::of(runs.iter().map(|run| run.drained.ingest * 1_000.0 / float(options.changes))).median,
        "peak_private_mb": peak_private_mb(&drained),
        "change_to_call_ms": {"p50": percentile(&latencies, 0.5), "p99": percentile(&latencies, 0.99)},
    })
}

pub fn figures(options: &SyncOptions, ours: &[Run], theirs: &[Run], folder: Option<&Path>) -> anyhow::Result<Value> {
    let mut figures = json!({
        "bench": "sync", "changes": options.changes, "targets": options.set_up.targets, "runs": options.set_up.repeat,
        "machine": machine(), "ours": side(options, ours),
    });
    if theirs.is_empty() {
        return Ok(figures);
    }
    figures["peer"] = side(options, theirs);
    let median = |side: &str, what: &str| figures[side][what]["median"].as_f64().unwrap_or(f64::NAN);
    let ratio = |what: &str| rounded(median("ours", what) / median("peer", what));
    let (throughput, cpu) = (ratio("syncs_per_s"), ratio("cpu_ms_per_sync"));
    figures["ratio_throughput"] = json!(throughput);
    figures["ratio_cpu"] = json!(cpu);
    let each =
        |what: fn(&SyncOptions, &Run) -> f64, runs: &[Run]| Spread::of(runs.iter().map(|run| what(options, run)));
    let groups = [
        Group { name: "syncs/s".to_owned(), bars: vec![each(rate, ours), each(rate, theirs)] },
        Group {
            name: "syncs per CPU second".to_owned(),
            bars: vec![each(per_cpu_second, ours), each(per_cpu_second, theirs)],
        },
    ];
    let title = format!("{} content changes until every audit row is there", options.changes);
    Bars { title: &title, unit: "syncs", sides: &["ours", "BullMQ"], groups: &groups }
        .save(folder, "sync", &figures)?;
    Ok(figures)
}

fn per_cpu_second(options: &SyncOptions, run: &Run) -> f64 {
    float(options.changes) / run.drained.cpu.values().sum::<f64>()
}
