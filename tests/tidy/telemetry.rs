//! The alerts and the board: promtool takes them, each alert has its tests and its section in "On call", and they ask for
//! metrics and labels that the service shows.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use adapters::telemetry::{
    ChannelCall, Gauges, ServedRequest, Telemetry, TelemetryOptions, Untaken, call_made, call_starts, commits_written,
    intake_done, observe, request_served, sync_done, sync_tried,
};
use serde_json::Value;
use services::telemetry::{COMMANDED, LOGGED, SERVED};
use services::views::read_model_lag::PROMISED;

use crate::tree::{none, read, root, texts};

const ALERTS: &str = "telemetry/prometheus/alerts.yml";
const TESTS: &str = "telemetry/prometheus/alerts.test.yml";
const BOARD: &str = "telemetry/grafana/distribution.json";
const PAGE: &str = "telemetry/README.md";

/// Labels by metric.
type Metrics = BTreeMap<String, BTreeSet<String>>;

fn promtool(arguments: &[&str]) {
    promtool_of(arguments, "");
}

/// The same with something to read.
fn promtool_of(arguments: &[&str], input: &str) {
    let script = Command::new(root().join("dev/promtool")).output().expect("dev/promtool can be run");
    assert!(script.status.success(), "{}", String::from_utf8_lossy(&script.stderr));
    let path = String::from_utf8_lossy(&script.stdout).trim().to_owned();
    let mut promtool = Command::new(path);
    promtool.args(arguments).current_dir(root()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = promtool.spawn().expect("promtool can be run");
    // Dropped at the end of the line, so that it sees the end. Who reads nothing may be gone by now.
    let _ = promtool.stdin.take().map(|mut to| to.write_all(input.as_bytes()));
    let output = promtool.wait_with_output().expect("promtool ends");
    let (said, printed) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "promtool {}:\n{said}\n{printed}", arguments.join(" "));
}

/// Each `metric{label="value"}` of a text: Prometheus's own, and what asks it. The braces of templates have no name.
fn selectors(text: &str) -> Metrics {
    let mut found = Metrics::new();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    for (at, _) in text.match_indices('{') {
        let name = text[..at].rsplit(|c| !is_name(c)).next().unwrap_or_default();
        let inside = text[at + 1..].split('}').next().unwrap_or_default();
        if !name.is_empty() {
            // Every other part is a value.
            let labels = inside.split('"').step_by(2).map(|part| part.trim_matches(|c| !is_name(c)));
            let labels = labels.filter(|label| !label.is_empty()).map(str::to_owned);
            found.entry(name.to_owned()).or_default().extend(labels);
        }
    }
    found
}

/// What the service shows to Prometheus once everything has happened that it counts, by the exporter that it has.
static PAGE_OF_METRICS: LazyLock<String> = LazyLock::new(page_of_metrics);

fn page_of_metrics() -> String {
    let options = TelemetryOptions { prometheus: true, ..TelemetryOptions::default() };
    let telemetry = Telemetry::start(&options).expect("nobody else here starts it");
    let of = |name: &str| name.to_owned();
    observe(&Gauges {
        queues: BTreeMap::from([(of("healthy"), (1, 1.0))]),
        longest_queues: BTreeMap::from([(of("a target"), 1)]),
        targets: BTreeMap::from([(of("healthy"), 1)]),
        open_circuits: BTreeMap::from([(of("degraded"), (1, 1.0))]),
        window_use: BTreeMap::from([((of("target"), Some(of("healthy"))), 1.0), ((of("egress"), None), 1.0)]),
        lags: BTreeMap::from([(of("sync_queue"), (1, 1.0))]),
        dead_letters: 1,
        untaken: Untaken::default(),
        connections: BTreeMap::from([("work", (1, 1))]),
        read_at: BTreeMap::from([("postgres", Instant::now())]),
    });
    for status in [Some(200), Some(429), None] {
        call_made(ChannelCall {
            host: "api.hostaway.com",
            port: Some(443),
            method: "GET",
            status,
            class: "transient",
            purpose: "lookup",
            seconds: 1.0,
        });
    }
    call_starts(Duration::from_millis(1));
    request_served(ServedRequest { method: "GET", route: "/version", status: 200, seconds: 0.1 });
    sync_tried("accepted");
    sync_done("accepted", false);
    sync_done("accepted", true);
    commits_written(1);
    intake_done("taken", 1);
    telemetry.prometheus_text().expect("metrics can be shown")
}

/// The same by metric.
fn shown() -> Metrics {
    let mut shown = Metrics::new();
    for line in PAGE_OF_METRICS.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        let labels = selectors(line).remove(name).unwrap_or_default();
        shown.entry(name.to_owned()).or_default().extend(labels);
    }
    // Prometheus's own: whether it could ask.
    shown.insert("up".to_owned(), BTreeSet::new());
    for labels in shown.values_mut() {
        labels.extend(["job", "instance"].map(str::to_owned));
    }
    shown
}

/// The panels of the board that ask for something.
fn panels() -> Vec<Value> {
    let board: Value = serde_json::from_str(&read(BOARD)).expect("the board is JSON");
    let panels = board["panels"].as_array().expect("the board has panels");
    panels.iter().filter(|panel| panel["type"] != "row").cloned().collect()
}

fn expressions() -> Vec<String> {
    let targets = panels().into_iter().flat_map(|panel| panel["targets"].as_array().cloned().unwrap_or_default());
    targets.map(|target| target["expr"].as_str().expect("an expression is text").to_owned()).collect()
}

fn without_comments(path: &str) -> String {
    read(path).lines().filter(|line| !line.trim_start().starts_with('#')).collect::<Vec<_>>().join("\n")
}

/// What stands behind `key: ` in the lines of a file.
fn values(text: &str, key: &str) -> Vec<String> {
    text.lines().filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix(key)).map(str::to_owned).collect()
}

#[test]
fn the_rules_are_valid_and_pass_their_tests() {
    promtool(&["check", "rules", ALERTS]);
    promtool(&["test", "rules", TESTS]);
}

#[test]
fn what_the_service_shows_is_named_as_prometheus_wants_it() {
    promtool_of(&["check", "metrics"], &PAGE_OF_METRICS);
}

#[test]
fn alerts_and_board_ask_for_what_the_service_shows() {
    let shown = shown();
    let mut found = Vec::new();
    let mut on_the_board = BTreeSet::new();
    let asked: Vec<(&str, String)> = expressions()
        .into_iter()
        .map(|expression| (BOARD, expression))
        .chain([(ALERTS, without_comments(ALERTS)), (TESTS, without_comments(TESTS))])
        .collect();
    for (place, text) in &asked {
        let metrics = selectors(text);
        assert!(!metrics.is_empty(), "{place}: no metric has its selector in {text}");
        for (metric, labels) in metrics {
            match shown.get(&metric) {
                Some(has) => {
                    found.extend(labels.difference(has).map(|label| format!("{place}: {metric} has no {label}")));
                }
                None => found.push(format!("{place}: {metric}")),
            }
            if *place == BOARD {
                on_the_board.insert(metric);
            }
        }
    }
    none("a metric or a label that the service does not show", &found);
    let family = |name: &str| {
        let ends = ["_bucket", "_sum", "_count"];
        ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name).to_owned()
    };
    let on_the_board: BTreeSet<String> = on_the_board.iter().map(|name| family(name)).collect();
    let missing: Vec<String> = shown
        .into_keys()
        .map(|name| family(&name))
        .filter(|name| name != "up" && !on_the_board.contains(name))
        .collect();
    none("a metric that is not on the board", &missing);
}

#[test]
fn every_panel_has_a_description_a_unit_and_legends() {
    for panel in panels() {
        let title = panel["title"].as_str().expect("a panel has a title");
        let written = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
        assert!(written(&panel["description"]) && written(&panel["fieldConfig"]["defaults"]["unit"]), "{title}");
        let targets = panel["targets"].as_array().expect("a panel asks for something");
        assert!(targets.iter().all(|target| written(&target["legendFormat"])), "{title}");
    }
}

#[test]
fn every_alert_fires_and_is_quiet_in_a_test_and_stands_on_the_page() {
    let (tests, page) = (read(TESTS), read(PAGE));
    let lines: Vec<&str> = tests.lines().map(str::trim).collect();
    let tested =
        |alert: &str, end: &str| lines.windows(2).any(|pair| pair == [format!("alertname: {alert}").as_str(), end]);
    let alerts = values(&read(ALERTS), "alert: ");
    assert!(!alerts.is_empty(), "{ALERTS} has alerts");
    for alert in alerts {
        assert!(tested(&alert, "exp_alerts:"), "{alert} fires in no test");
        assert!(tested(&alert, "exp_alerts: []"), "{alert} is quiet in no test");
        assert!(page.contains(&format!("`{alert}`")), "{PAGE} does not name {alert}");
    }
}

/// Else a typo in a filter would be told of as a typo where it is none, or not where it is one.
#[test]
fn every_module_that_logs_is_known_to_filters() {
    let logs =
        ["trace", "debug", "info", "warn", "error"].map(|level| [format!("{level}!("), format!("{level}_span!(")]);
    let logs: Vec<String> = logs.into_iter().flatten().map(|call| format!("tracing::{call}")).collect();
    let module = |path: &str| {
        let (package, file) = path.split_once("/src/")?;
        let first = file.split('/').next()?.trim_end_matches(".rs");
        ["domain", "projections", "adapters", "services"].contains(&package).then(|| format!("{package}::{first}"))
    };
    let sources = texts(".rs").into_iter();
    let logging = sources.filter(|(_, text)| logs.iter().any(|call| text.contains(call)));
    let found: BTreeSet<String> = logging.filter_map(|(path, _)| module(&path)).collect();
    let known: BTreeSet<String> = LOGGED.map(str::to_owned).into_iter().collect();
    assert_eq!(found, known, "as services/src/telemetry/log_filter.rs has them");
}

/// Else a library that goes by another name would be heard again.
#[test]
fn every_library_that_a_default_filter_names_is_linked() {
    let lock = read("Cargo.lock");
    let parts = [SERVED, COMMANDED].into_iter().flat_map(|filter| filter.split(','));
    for (library, _) in parts.filter_map(|part| part.split_once('=')) {
        let package = format!("name = \"{}\"\n", library.replace('_', "-"));
        assert!(lock.contains(&package), "{library}");
    }
}

/// So the overview and the alerts ask for somebody alike.
#[test]
fn whoever_reads_the_journal_is_late_for_the_alerts_where_the_promise_ends() {
    let (rules, bound) = (without_comments(ALERTS), format!(" > {}", PROMISED.as_secs()));
    let lags = rules.lines().filter(|line| line.contains("distribution_lag_time_seconds"));
    assert_eq!(lags.filter(|line| line.ends_with(&bound)).count(), 2, "one for the read models, one for the relay");
}

#[test]
fn every_alert_leads_to_its_section_of_on_call() {
    let page = read("ON_CALL.md");
    let anchor = |heading: &str| heading.to_lowercase().replace(' ', "-");
    let sections: BTreeSet<String> = page.lines().filter_map(|line| line.strip_prefix("## ")).map(anchor).collect();
    let rules = read(ALERTS);
    let (alerts, runbooks) = (values(&rules, "alert: "), values(&rules, "runbook: "));
    assert_eq!(runbooks.len(), alerts.len(), "each alert has a runbook");
    let lost = alerts.iter().zip(&runbooks).filter(|(alert, runbook)| {
        let section =
            runbook.trim_matches('\'').strip_prefix("ON_CALL.md#").filter(|section| sections.contains(*section));
        // The table of alerts leads to the same one.
        let row = page.lines().find(|line| line.contains(&format!("`{alert}`")));
        !section.is_some_and(|section| row.is_some_and(|row| row.contains(&format!("](#{section})"))))
    });
    none(
        "an alert whose runbook is not there",
        &lost.map(|(alert, runbook)| format!("{alert}: {runbook}")).collect::<Vec<_>>(),
    );
}
