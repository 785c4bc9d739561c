//! What a run came to, for people and for machines.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

/// One run.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// What it was drawn from.
    pub seed: u64,
    /// How often each fault came.
    pub faults: BTreeMap<String, u64>,
    /// What must not be.
    pub violations: Vec<String>,
    /// From the healing until all was quiet; `None` where it never was.
    pub recovered: Option<Duration>,
    /// Figures by name.
    pub figures: BTreeMap<&'static str, i64>,
}

impl Report {
    /// One line for people.
    pub fn line(&self) -> String {
        let faults: u64 = self.faults.values().sum();
        let recovered =
            self.recovered.map_or_else(|| "never".to_owned(), |took| format!("{:.1} s", took.as_secs_f64()));
        let figures: Vec<String> = self.figures.iter().map(|(name, value)| format!("{value} {name}")).collect();
        let verdict = if self.violations.is_empty() {
            "holds".to_owned()
        } else {
            format!("{} VIOLATIONS", self.violations.len())
        };
        format!("seed {}: {faults} faults, quiet after {recovered}, {}: {verdict}", self.seed, figures.join(", "))
    }
}

/// All runs as one JSON object.
pub fn summary(reports: &[Report]) -> Value {
    let mut by_name: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, count) in reports.iter().flat_map(|report| &report.faults) {
        *by_name.entry(name).or_default() += count;
    }
    let mut figures: BTreeMap<&str, i64> = BTreeMap::new();
    for (name, value) in reports.iter().flat_map(|report| &report.figures) {
        *figures.entry(name).or_default() += value;
    }
    let mut recovered: Vec<f64> = reports
        .iter()
        .filter_map(|report| report.recovered)
        .map(|took| (took.as_secs_f64() * 10.0).round() / 10.0)
        .collect();
    recovered.sort_by(f64::total_cmp);
    let details: Vec<String> = reports
        .iter()
        .flat_map(|report| report.violations.iter().map(|violation| format!("seed {}: {violation}", report.seed)))
        .collect();
    json!({
        "runs": reports.len(),
        "seed": reports.first().map(|report| report.seed),
        "faults": by_name.values().sum::<u64>(),
        "faults_by_name": by_name,
        "violations": details.len(),
        "details": details,
        "recovery_s": { "p50": recovered.get(recovered.len() / 2), "max": recovered.last() },
        "figures": figures,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_add_up() {
        let report = |seed, seconds, violations: &[&str]| Report {
            seed,
            faults: BTreeMap::from([("kill-api".to_owned(), 2)]),
            violations: violations.iter().map(|text| (*text).to_owned()).collect(),
            recovered: Some(Duration::from_secs(seconds)),
            figures: BTreeMap::from([("events", 10)]),
        };
        let summary = summary(&[report(7, 3, &[]), report(8, 9, &["one"]), report(9, 4, &[])]);
        assert_eq!((&summary["runs"], &summary["seed"], &summary["faults"]), (&json!(3), &json!(7), &json!(6)));
        assert_eq!(summary["details"], json!(["seed 8: one"]));
        assert_eq!(summary["recovery_s"], json!({ "p50": 4.0, "max": 9.0 }));
        assert_eq!(summary["figures"], json!({ "events": 30 }));
    }
}
