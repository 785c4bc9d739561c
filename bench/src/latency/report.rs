//! The figures of `bench latency`.

use std::path::Path;

use serde_json::{Value, json};

use super::{LatencyOptions, Level, Levels};
use crate::figures::{Spread, machine, percentile, sorted};
use crate::plot::{Bars, Group};
use crate::say;

fn named<'a>(options: &LatencyOptions, levels: &'a Levels) -> Vec<(String, &'a Level)> {
    let loads = options.load.iter().zip(&levels.loads).map(|(load, level)| (format!("{load} %"), level));
    [("idle".to_owned(), &levels.idle)].into_iter().chain(loads).collect()
}

pub fn tell(side: &str, round: usize, options: &LatencyOptions, levels: &Levels) {
    let level = |(name, level): &(String, &Level)| {
        let times = sorted(&level.times);
        format!("{name}: {} and {} ms", percentile(&times, 0.5), percentile(&times, 0.99))
    };
    let parts: Vec<String> = named(options, levels).iter().map(level).collect();
    say(&format!("{side}, {round} runs, p50 and p99: {}", parts.join(", ")));
}

fn side(options: &LatencyOptions, levels: &Levels) -> Value {
    let level = |(name, level): (String, &Level)| {
        let times = sorted(&level.times);
        json!({
            "load": name, "changes_per_s": Spread::of(level.rates.iter().copied()), "changes": times.len(),
            "p50_ms": percentile(&times, 0.5), "p99_ms": percentile(&times, 0.99), "most_ms": percentile(&times, 1.0),
        })
    };
    let levels_json: Vec<Value> = named(options, levels).into_iter().map(level).collect();
    json!({"syncs_per_s": Spread::of(levels.throughput.iter().copied()), "levels": levels_json})
}

pub fn figures(
    options: &LatencyOptions,
    ours: &Levels,
    theirs: &Levels,
    folder: Option<&Path>,
) -> anyhow::Result<Value> {
    let (our_side, their_side) = (side(options, ours), side(options, theirs));
    let figures = json!({
        "bench": "latency", "listings": options.listings, "targets": options.set_up.targets, "runs": options.set_up.repeat,
        "machine": machine(), "idle_p50_ms": our_side["levels"][0]["p50_ms"],
        "idle_p99_ms": our_side["levels"][0]["p99_ms"], "peer_idle_p50_ms": their_side["levels"][0]["p50_ms"],
        "peer_idle_p99_ms": their_side["levels"][0]["p99_ms"], "levels": our_side["levels"],
        "peer_levels": their_side["levels"], "syncs_per_s": our_side["syncs_per_s"],
        "peer_syncs_per_s": their_side["syncs_per_s"],
    });
    let bar = |level: &Level| {
        let times = sorted(&level.times);
        Spread { median: percentile(&times, 0.5), min: percentile(&times, 0.5), max: percentile(&times, 0.99) }
    };
    let pairs = named(options, ours).into_iter().zip(named(options, theirs));
    let groups: Vec<Group> =
        pairs.map(|((name, our), (_, their))| Group { name, bars: vec![bar(our), bar(their)] }).collect();
    let title = "From change to call at shares of each side's throughput: p50, and p99 as the line";
    Bars { title, unit: "ms", sides: &["ours", "BullMQ"], groups: &groups }.save(folder, "latency", &figures)?;
    Ok(figures)
}
