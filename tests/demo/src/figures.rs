//! What a check says in the end, and what of it is wrong.

use std::collections::BTreeMap;
use std::time::Instant;

use demo::compare::Difference;
use serde::Serialize;

use crate::channel::Found;
use crate::postgres;
use crate::process::Running;
use crate::progress::say;
use crate::run::Run;

/// The service may never hold as much as this.
const MOST_MEMORY_MB: f64 = 150.0;
/// So many differences are shown, and so many of one unit, whose nights could fill the page.
const MOST_SHOWN: usize = 20;
const MOST_OF_A_UNIT: usize = 4;

/// The fullest window of a target, as the sandbox saw it.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Window {
    /// Calls that arrived in it.
    pub calls: u64,
    /// How many may.
    pub limit: u64,
}

/// The answer of a check.
#[derive(Debug, Serialize)]
pub struct Figures {
    units: usize,
    listings: usize,
    syncs: i64,
    http_calls: u64,
    audit_rows: i64,
    skipped_unchanged: i64,
    coalesced: i64,
    max_calls_in_any_window: BTreeMap<&'static str, Window>,
    duplicates_at_channel: u64,
    mismatches: usize,
    seconds: f64,
    peak_memory_mb: f64,
    /// Whether everything is as it must be.
    pub ok: bool,
}

/// Gathers the figures; `problems` are those that are known already. What is wrong goes to stderr.
pub async fn gather(
    run: &Run,
    service: &Running,
    found: &Found,
    mut problems: Vec<String>,
    started: Instant,
) -> anyhow::Result<Figures> {
    let counts = postgres::counts(&run.pool).await?;
    let summary = run.sandbox.summary().await?;
    let mut windows = BTreeMap::new();
    let mut duplicates = 0;
    for target in &run.targets {
        let role = target.role();
        if let Some(account) = summary.accounts.get(&role.channel_account) {
            windows.insert(role.name, Window { calls: account.worst_window, limit: role.requests });
            duplicates += account.duplicate_references;
        }
    }
    let memory = service.peak_memory_mb()?;
    let mut figures = Figures {
        units: run.villas.len(),
        listings: found.listings,
        syncs: counts.jobs,
        http_calls: summary.calls,
        audit_rows: counts.audit_rows,
        skipped_unchanged: counts.skipped_unchanged,
        coalesced: counts.coalesced,
        max_calls_in_any_window: windows,
        duplicates_at_channel: duplicates,
        mismatches: found.differences.len(),
        seconds: tenths(started.elapsed().as_secs_f64()),
        peak_memory_mb: tenths(memory),
        ok: true,
    };
    problems.extend(figures.problems(&counts, memory));
    show(&found.differences);
    problems.iter().for_each(|problem| say(&format!("wrong: {problem}")));
    figures.ok = problems.is_empty();
    Ok(figures)
}

/// Shows some of the differences.
pub fn show(differences: &[Difference]) {
    let by_unit = differences.chunk_by(|one, next| one.unit_id == next.unit_id);
    by_unit
        .flat_map(|of_unit| of_unit.iter().take(MOST_OF_A_UNIT))
        .take(MOST_SHOWN)
        .for_each(|difference| say(&format!("mismatch: {difference}")));
}

impl Figures {
    fn problems(&self, counts: &postgres::Counts, memory: f64) -> Vec<String> {
        let windows = self.max_calls_in_any_window.iter().filter(|(_, window)| window.calls > window.limit);
        let mut problems: Vec<String> = windows
            .map(|(name, window)| format!("{name}: {} calls in one window of {}", window.calls, window.limit))
            .collect();
        let mut must = |fine: bool, problem: String| {
            if !fine {
                problems.push(problem);
            }
        };
        must(self.max_calls_in_any_window.len() == 3, "the sandbox did not see all three targets".to_owned());
        must(self.listings == self.units, format!("{} listings of {} units", self.listings, self.units));
        must(self.mismatches == 0, format!("{} mismatches", self.mismatches));
        must(self.duplicates_at_channel == 0, format!("{} duplicates at the channel", self.duplicates_at_channel));
        must(counts.audit_rows == counts.jobs, format!("{} audit rows of {} jobs", counts.audit_rows, counts.jobs));
        must(counts.failed == 0, format!("{} syncs ended otherwise than accepted", counts.failed));
        must(self.coalesced > 0, "nothing was coalesced".to_owned());
        must(self.skipped_unchanged > 0, "nothing was skipped as unchanged".to_owned());
        must(memory < MOST_MEMORY_MB, format!("the service held {memory:.1} MB"));
        problems
    }
}

fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}
