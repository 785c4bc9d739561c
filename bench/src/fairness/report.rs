//! The figures of `bench fairness`.

use std::path::Path;

use serde_json::{Value, json};

use super::FairnessOptions;
use crate::figures::{Spread, machine, percentile, rounded, sorted};
use crate::plot::{Bars, Group};
use crate::say;

pub fn tell(round: usize, times: &[Vec<f64>; 2]) {
    let [without, with] = times.each_ref().map(|times| percentile(&sorted(times), 0.99));
    say(&format!("{round}: p99 without the backlog {without} ms, with it {with} ms"));
}

pub fn figures(
    options: &FairnessOptions,
    times: [Vec<f64>; 2],
    left: i64,
    folder: Option<&Path>,
) -> anyhow::Result<Value> {
    let [without, with] = times.map(|times| sorted(&times));
    let side = |times: &[f64]| json!({"changes": times.len(), "p50_ms": percentile(times, 0.5), "p99_ms": percentile(times, 0.99)});
    let ratio = |share: f64| rounded(percentile(&with, share) / percentile(&without, share));
    let figures = json!({
        "bench": "fairness", "backlog": options.backlog, "backlog_left": left, "quiet_targets": options.targets,
        "limit": options.limit.to_string(), "changes_per_s": options.pace, "turns": options.repeat,
        "machine": machine(), "ratio": ratio(0.99), "ratio_p50": ratio(0.5), "without": side(&without),
        "with": side(&with),
    });
    let bar = |times: &[f64], share: f64| Spread::exactly(percentile(times, share));
    let group = |(name, share): (&str, f64)| Group {
        name: name.to_owned(),
        bars: vec![bar(&without, share), bar(&with, share)],
    };
    let groups: Vec<Group> = [("p50", 0.5), ("p99", 0.99)].map(group).into();
    let title = format!("From change to call on {} quiet targets", options.targets);
    let sides = ["nobody else", &format!("{} listings queued elsewhere", options.backlog)];
    Bars { title: &title, unit: "ms", sides: &sides, groups: &groups }.save(folder, "fairness", &figures)?;
    Ok(figures)
}
