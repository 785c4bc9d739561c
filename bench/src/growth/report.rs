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
    #[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
    let curve = |(name, cost): Cost| Curve {
        name,
        points: by_queue.iter().map(|row| (row.queued as f64, *cost(row))).collect(),
    };
    let curves = COSTS.map(curve);
    Curves { title: "Median cost by queued listings", x: "queued listings", y: "ms", curves: &curves }
        .save(folder, "growth", &figures)?;
    Ok(figures)
}
