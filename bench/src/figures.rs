//! Figures out of repeated runs: median and spread, percentiles, rounding, and what they were measured on.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

/// A figure that was measured several times.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Spread {
    /// The middle one.
    pub median: f64,
    /// The lowest.
    pub min: f64,
    /// The highest.
    pub max: f64,
}

impl Spread {
    /// Of a figure that has none.
    pub fn exactly(figure: f64) -> Self {
        Self { median: figure, min: figure, max: figure }
    }

    /// Of these runs.
    pub fn of(runs: impl IntoIterator<Item = f64>) -> Self {
        let runs = sorted(&runs.into_iter().collect::<Vec<_>>());
        let at = |index: usize| runs.get(index).copied().map_or(0.0, rounded);
        let middle = match runs.len() {
            0 => 0.0,
            count if count % 2 == 0 => f64::midpoint(runs[count / 2 - 1], runs[count / 2]),
            count => runs[count / 2],
        };
        Self { median: rounded(middle), min: at(0), max: at(runs.len().saturating_sub(1)) }
    }
}

/// From the lowest to the highest.
pub fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}

/// Four digits that count.
pub fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    #[expect(clippy::cast_possible_truncation, reason = "the order of magnitude of a figure is small")]
    let digits = 3 - value.abs().log10().floor() as i32;
    let factor = 10_f64.powi(digits);
    (value * factor).round() / factor
}

/// The value below which this share of the sorted values lies.
pub fn percentile(sorted: &[f64], share: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index"
    )]
    let index = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(index.clamp(1, sorted.len().max(1)) - 1).copied().map_or(0.0, rounded)
}

/// Counts as numbers to divide by.
#[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
pub fn float(count: usize) -> f64 {
    count as f64
}

/// How many cores this machine gives.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(0, std::num::NonZero::get)
}

/// The commit of the checkout, and the versions of the servers, as `dev/bench-tools` has seen them.
fn versions() -> BTreeMap<String, String> {
    let told = std::env::var("BENCH_VERSIONS").unwrap_or_default();
    let versions = told.split_whitespace().filter_map(|version| version.split_once('='));
    versions.map(|(name, version)| (name.to_owned(), version.to_owned())).collect()
}

/// The machine, the day, and what was measured: the commit and the servers.
pub fn machine() -> Value {
    let mut versions = versions();
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    json!({
        "cpu": model.map_or("unknown", |(_, model)| model.trim()),
        "cores": cores(),
        "date": chrono::Utc::now().date_naive(),
        "build": if cfg!(debug_assertions) { "debug" } else { "release" },
        "commit": versions.remove("commit").unwrap_or_else(|| "unknown".to_owned()),
        "versions": versions,
    })
}
