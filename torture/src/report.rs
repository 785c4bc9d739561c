//! What a run came to, for people and for machines.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

/// Of the calls of which nobody could tell so many are named; `figures` have their number.
const NAMED: usize = 200;

/// Figures of what a check looks at, each with what the runs have not shown where there was none of it. That is no violation:
/// whether there is any is up to the seed and to how fast the machine is, not to the service.
const LOOKED_AT: [(&str, &str); 2] = [
    ("full windows of the address", "that the address keeps to its limit: it never came to it"),
    ("retries", "that a retry becomes one job: nothing was retried"),
];

/// A line for people, on stdout.
pub fn say(line: &str) {
    // Nobody reads it any more where this fails.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// One run.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// What it was drawn from.
    pub seed: u64,
    /// How often each fault came about.
    pub faults: BTreeMap<String, u64>,
    /// How many there were to be.
    pub planned: u64,
    /// What must not be.
    pub violations: Vec<String>,
    /// From the last healing of all that was broken at once until all was quiet; `None` where it never was.
    pub quiet_after: Option<Duration>,
    /// Classes of faults, each with how long the recovery took.
    pub recoveries: Vec<(&'static str, Duration)>,
    /// Calls of which nobody could tell, by their request ids, each with what made it so.
    pub unknowable: Vec<String>,
    /// Figures by name.
    pub figures: BTreeMap<&'static str, i64>,
    /// Where what it left is kept, where it is.
    pub kept: Option<PathBuf>,
}

impl Report {
    /// For people. Each line tells its seed: runs beside it have lines of their own.
    pub fn lines(&self) -> Vec<String> {
        let violations = self.violations.iter().map(|violation| format!("  {violation}"));
        let kept = self.kept.iter().map(|folder| format!("  logs, database and arrivals: {}", folder.display()));
        [self.told()].into_iter().chain(violations).chain(kept).map(|line| line_of(self.seed, &line)).collect()
    }

    fn told(&self) -> String {
        let faults: u64 = self.faults.values().sum();
        let quiet = self.quiet_after.map_or_else(|| "never".to_owned(), |took| format!("{:.1} s", took.as_secs_f64()));
        let recovered: Vec<String> =
            self.recoveries.iter().map(|(class, took)| format!("{class} {:.1} s", took.as_secs_f64())).collect();
        let mut told = vec![format!("{faults} of {} faults", self.planned), format!("quiet after {quiet}")];
        if !recovered.is_empty() {
            told.push(format!("recovery from {}", recovered.join(", ")));
        }
        told.extend(self.figures.iter().map(|(name, value)| format!("{value} {name}")));
        let verdict = if self.violations.is_empty() {
            "holds".to_owned()
        } else {
            format!("{} VIOLATIONS", self.violations.len())
        };
        format!("{}: {verdict}", told.join(", "))
    }
}

/// A line that a run prints.
pub fn line_of(seed: u64, line: &str) -> String {
    format!("seed {seed}: {line}")
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
    let recoveries = || reports.iter().flat_map(|report| report.recoveries.iter().copied());
    let classes: BTreeSet<&str> = recoveries().map(|(class, _)| class).collect();
    let by_class: BTreeMap<&str, Value> = classes
        .into_iter()
        .map(|class| (class, spread(recoveries().filter(|(other, _)| *other == class).map(|(_, took)| took))))
        .collect();
    let details: Vec<String> = reports
        .iter()
        .flat_map(|report| report.violations.iter().map(|violation| format!("seed {}: {violation}", report.seed)))
        .collect();
    let unknowable: Vec<String> = reports
        .iter()
        .flat_map(|report| report.unknowable.iter().map(|call| line_of(report.seed, call)))
        .take(NAMED)
        .collect();
    let with =
        |name: &str| reports.iter().filter(|report| report.figures.get(name).is_some_and(|one| *one > 0)).count();
    let runs_with: BTreeMap<&str, usize> = LOOKED_AT.iter().map(|(name, _)| (*name, with(name))).collect();
    let unshown: Vec<&str> =
        LOOKED_AT.iter().filter(|(name, _)| with(name) == 0).map(|(_, unshown)| *unshown).collect();
    json!({
        "runs": reports.len(),
        "seed": reports.first().map(|report| report.seed),
        "verdict": if details.is_empty() { "holds" } else { "violated" },
        "faults": by_name.values().sum::<u64>(),
        "faults_planned": reports.iter().map(|report| report.planned).sum::<u64>(),
        "faults_by_name": by_name,
        "violations": details.len(),
        "details": details,
        "runs_with": runs_with,
        "unshown": unshown,
        "unknowable": unknowable,
        "recovery_s": spread(recoveries().map(|(_, took)| took)),
        "recovery_by_class_s": by_class,
        "quiet_after_s": spread(reports.iter().filter_map(|report| report.quiet_after)),
        "figures": figures,
    })
}

/// The middle and the longest, in seconds, and how many there were.
fn spread(times: impl Iterator<Item = Duration>) -> Value {
    let mut seconds: Vec<f64> = times.map(|took| (took.as_secs_f64() * 10.0).round() / 10.0).collect();
    seconds.sort_by(f64::total_cmp);
    json!({ "count": seconds.len(), "p50": seconds.get(seconds.len() / 2), "max": seconds.last() })
}

/// How long recoveries took, class by class, for people.
pub fn recovery_lines(summary: &Value) -> Vec<String> {
    let classes = summary["recovery_by_class_s"].as_object().into_iter().flatten();
    classes
        .map(|(class, took)| {
            format!("recovery from {class}: p50 {} s, max {} s of {}", took["p50"], took["max"], took["count"])
        })
        .collect()
}

/// What the runs have not shown although nothing was violated, and in how many of them there was something to look at, for people.
pub fn shown_lines(summary: &Value) -> Vec<String> {
    let with = summary["runs_with"].as_object().into_iter().flatten();
    let with = with.map(|(name, runs)| format!("{name} in {runs} of {} runs", summary["runs"]));
    let unshown = summary["unshown"].as_array().into_iter().flatten().filter_map(Value::as_str);
    with.chain(unshown.map(|what| format!("NOT SHOWN {what}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nothing_was_measured_no_recovery_is_told() {
        let report = Report { seed: 7, planned: 3, ..Report::default() };
        assert_eq!(report.lines(), ["seed 7: 0 of 3 faults, quiet after never: holds"]);
        let summary = summary(&[report]);
        assert_eq!(summary["recovery_s"], json!({ "count": 0, "p50": null, "max": null }));
        assert!(recovery_lines(&summary).is_empty());
    }

    #[test]
    fn what_no_run_came_to_is_told_as_not_shown_and_violates_nothing() {
        let report = |full, retries| Report {
            figures: BTreeMap::from([("full windows of the address", full), ("retries", retries)]),
            ..Report::default()
        };
        let never = summary(&[report(0, 4), report(0, 0)]);
        assert_eq!(never["runs_with"], json!({ "full windows of the address": 0, "retries": 1 }));
        assert_eq!(never["unshown"], json!(["that the address keeps to its limit: it never came to it"]));
        assert_eq!(never["verdict"], "holds");
        let told = shown_lines(&never);
        assert_eq!(told[..2], ["full windows of the address in 0 of 2 runs", "retries in 1 of 2 runs"]);
        assert_eq!(told[2..], ["NOT SHOWN that the address keeps to its limit: it never came to it"]);
        let once = summary(&[report(0, 4), report(6, 0)]);
        assert_eq!((&once["unshown"], &once["figures"]["full windows of the address"]), (&json!([]), &json!(6)));
        // A run that came to no end has no figures.
        assert_eq!(summary(&[Report::default()])["unshown"].as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn runs_add_up() {
        let report = |seed, seconds, violations: &[&str]| Report {
            seed,
            faults: BTreeMap::from([("kill-api".to_owned(), 2)]),
            violations: violations.iter().map(|text| (*text).to_owned()).collect(),
            planned: 3,
            quiet_after: Some(Duration::from_secs(1)),
            recoveries: vec![("kill", Duration::from_secs(seconds)), ("wipe", Duration::from_secs(2 * seconds))],
            unknowable: vec!["a call".to_owned(); 90],
            figures: BTreeMap::from([("events", 10)]),
            kept: None,
        };
        let kept = Report { kept: Some("/tmp/8-1".into()), ..report(8, 9, &["one"]) };
        let told = kept.lines();
        assert!(told.len() == 3 && told.iter().all(|line| line.starts_with("seed 8: ")), "{told:?}");
        assert!(told[0].ends_with(": 1 VIOLATIONS") && told[1].ends_with("  one") && told[2].ends_with("/tmp/8-1"));
        let summary = summary(&[report(7, 3, &[]), report(8, 9, &["one"]), report(9, 4, &[])]);
        assert_eq!((&summary["runs"], &summary["seed"], &summary["faults"]), (&json!(3), &json!(7), &json!(6)));
        assert_eq!(summary["details"], json!(["seed 8: one"]));
        assert_eq!((&summary["verdict"], &summary["faults_planned"]), (&json!("violated"), &json!(9)));
        assert_eq!(summary["recovery_s"], json!({ "count": 6, "p50": 8.0, "max": 18.0 }));
        assert_eq!(summary["recovery_by_class_s"]["kill"], json!({ "count": 3, "p50": 4.0, "max": 9.0 }));
        assert_eq!(summary["quiet_after_s"], json!({ "count": 3, "p50": 1.0, "max": 1.0 }));
        assert_eq!(recovery_lines(&summary)[1], "recovery from wipe: p50 8.0 s, max 18.0 s of 3");
        assert_eq!(summary["figures"], json!({ "events": 30 }));
        let named = summary["unknowable"].as_array().expect("a list");
        assert_eq!((named.len(), &named[90]), (NAMED, &json!("seed 8: a call")), "not more than anybody reads");
    }
}
