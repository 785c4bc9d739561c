//! The figures of `bench growth`, and costs against sizes.

use std::path::Path;

use serde_json::{Value, json};

use super::{GrowthOptions, Row};
use crate::figures::{Spread, machine, rounded};
use crate::plot::{Curve, Curves};
use crate::say;

/// What is measured of a row.
type Cost = (&'static str, fn(&Row) -> &Spread);

const COSTS: [Cost; 5] = [
    ("claim", |row| &row.claim_ms),
    ("256 appends", |row| &row.append_ms),
    ("projection of 256", |row| &row.projection_ms),
    ("history page", |row| &row.history_ms),
    ("audit page", |row| &row.audit_ms),
];

pub fn tell(row: &Row) {
    let costs = COSTS.map(|(name, cost)| format!("{name} {} ms", cost(row).median));
    say(&format!("{} queued, {} events: {}", row.queued, row.events, costs.join(", ")));
}

/// The largest size against the smallest.
fn ratio(rows: &[Row], cost: fn(&Row) -> &Spread) -> f64 {
    let at = |row: Option<&Row>| row.map_or(f64::NAN, |row| cost(row).median);
    rounded(at(rows.last()) / at(rows.first()))
}

pub fn figures(
    options: &GrowthOptions,
    by_queue: &[Row],
    by_events: &[Row],
    folder: Option<&Path>,
) -> anyhow::Result<Value> {
    let [claim, append, projection, history, audit] = COSTS.map(|(_, cost)| ratio(by_queue, cost));
    let figures = json!({
        "bench": "growth", "targets": options.targets, "repeat": options.repeat, "machine": machine(),
        "claim_ratio": claim, "append_ratio": append, "projection_ratio": projection, "history_ratio": history,
        "audit_ratio": audit, "by_queue": by_queue, "by_events": by_events,
    });
    // Both worlds begin alike.
    let by_events: Vec<&Row> = by_queue.first().into_iter().chain(by_events).collect();
    let by_queue: Vec<&Row> = by_queue.iter().collect();
    for (name, title, x, rows, size) in [
        ("growth", "Median cost by queued listings", "queued listings", by_queue, queued as fn(&Row) -> i64),
        ("growth-events", "Median cost by events", "events", by_events, happened),
    ] {
        let curves = COSTS.map(|cost| curve(&rows, cost, size));
        Curves { title, x, y: "ms", curves: &curves }.save(folder, name, &figures)?;
    }
    Ok(figures)
}

fn queued(row: &Row) -> i64 {
    row.queued
}

fn happened(row: &Row) -> i64 {
    row.events
}

#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
fn curve(rows: &[&Row], (name, cost): Cost, size: fn(&Row) -> i64) -> Curve {
    Curve { name, points: rows.iter().map(|row| (size(row) as f64, *cost(row))).collect() }
}
