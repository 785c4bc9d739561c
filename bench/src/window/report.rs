//! The figures of `bench window`.

use std::path::Path;

use serde_json::{Value, json};

use super::{Account, LATENCIES, WindowOptions};
use crate::arrivals::{Arrival, by_account, gaps, worst_window};
use crate::figures::{Spread, float, machine, rounded};
use crate::plot::{Bars, Group};
use crate::say;

/// What some accounts of a side gave.
struct Seen {
    worst: usize,
    /// Gaps between a call and the one that may follow in its slot, before the kill.
    gaps: Vec<u64>,
    /// Calls from the kill to the end.
    after: usize,
}

fn seen(options: &WindowOptions, accounts: &[Account], arrivals: &[Arrival], killed_us: u64) -> Seen {
    let window_us = u64::from(options.limit.window_ms()) * 1_000;
    let limit = usize::try_from(options.limit.requests()).unwrap_or(usize::MAX);
    let times = by_account(arrivals);
    let mut seen = Seen { worst: 0, gaps: Vec::new(), after: 0 };
    for account in accounts {
        let Some(times) = times.get(&account.account) else { continue };
        seen.worst = seen.worst.max(worst_window(times, window_us));
        // The single call before the rush is not under load.
        let before: Vec<u64> = times.iter().copied().skip(1).filter(|at| *at < killed_us).collect();
        seen.gaps.extend(gaps(&before, limit));
        seen.after += times.iter().filter(|at| **at >= killed_us).count();
    }
    seen
}

/// A budget that is used to the full has gaps of exactly a window; more than that is above the limit.
fn used(options: &WindowOptions, gaps: &[u64]) -> f64 {
    let sum: u64 = gaps.iter().sum();
    let mean_ms = float(usize::try_from(sum).unwrap_or(usize::MAX)) / float(gaps.len()) / 1_000.0;
    rounded(f64::from(options.limit.window_ms()) / mean_ms)
}

fn side(options: &WindowOptions, accounts: &[Account], arrivals: &[Arrival], killed_us: u64) -> Value {
    let by_latency = LATENCIES.iter().map(|latency| {
        let of: Vec<Account> = accounts.iter().copied().filter(|account| account.latency == *latency).collect();
        let seen = seen(options, &of, arrivals, killed_us);
        json!({
            "latency_ms": latency.0, "jitter_ms": latency.1, "worst_window": seen.worst,
            "budget_used": used(options, &seen.gaps),
        })
    });
    let by_latency: Vec<Value> = by_latency.collect();
    let all = seen(options, accounts, arrivals, killed_us);
    let windows =
        float(usize::try_from(options.after * 1_000).unwrap_or(usize::MAX)) / f64::from(options.limit.window_ms());
    let budget = windows * f64::from(options.limit.requests()) * float(accounts.len());
    json!({
        "worst_window": all.worst, "budget_used": used(options, &all.gaps),
        "budget_used_after_kill": rounded(float(all.after) / budget), "by_latency": by_latency,
    })
}

pub fn figures(
    options: &WindowOptions,
    ours: &[Account],
    theirs: &[Account],
    arrivals: &[Arrival],
    killed_us: u64,
    folder: Option<&Path>,
) -> anyhow::Result<Value> {
    let (ours, theirs) = (side(options, ours, arrivals, killed_us), side(options, theirs, arrivals, killed_us));
    for (name, side) in [("ours", &ours), ("peer", &theirs)] {
        say(&format!("{name}: worst window {}, {} of the budget", side["worst_window"], side["budget_used"]));
    }
    let figures = json!({
        "bench": "window", "limit": options.limit.to_string(), "seconds": options.seconds, "machine": machine(),
        "worst_window": ours["worst_window"], "peer_worst_window": theirs["worst_window"],
        "budget_used": ours["budget_used"], "peer_budget_used": theirs["budget_used"], "ours": ours, "peer": theirs,
    });
    // Both against what is allowed: calls in a window, and calls in the long run.
    let limit = f64::from(options.limit.requests());
    let mut groups = Vec::new();
    for (name, figure, whole) in [("fullest", "worst_window", limit), ("budget", "budget_used", 1.0)] {
        for (index, (latency, _)) in LATENCIES.iter().enumerate() {
            let percent = |side: &str| {
                let seen = figures[side]["by_latency"][index][figure].as_f64().unwrap_or_default();
                Spread::exactly(rounded(seen / whole * 100.0))
            };
            let bars = ["ours", "peer"].map(percent).into();
            groups.push(Group { name: format!("{name}, {latency} ms"), bars });
        }
    }
    let title = format!("The fullest window and the budget used, in percent of a limit of {}", options.limit);
    Bars { title: &title, unit: "% of the limit", sides: &["ours", "BullMQ limiter"], groups: &groups }
        .save(folder, "window", &figures)?;
    Ok(figures)
}
