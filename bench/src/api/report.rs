//! The figures of `bench api`.

use std::path::Path;

use serde_json::{Value, json};

use super::callers::come_first;
use super::{ApiOptions, Run};
use crate::figures::{Spread, machine, percentile, sorted};
use crate::plot::{Bars, Group};
use crate::say;

pub fn tell(round: usize, run: &Run) {
    let times = |times: &[f64]| {
        let times = sorted(times);
        format!("p50 {} ms, p99 {} ms", percentile(&times, 0.5), percentile(&times, 0.99))
    };
    say(&format!(
        "{round}: alone reads {}, writes {}; beside loops reads {}, writes {}; beside {:.0} syncs/s reads {}, writes {}",
        times(&run.alone.reads),
        times(&run.alone.writes),
        times(&run.beside_loops.reads),
        times(&run.beside_loops.writes),
        run.syncs_per_s,
        times(&run.beside.reads),
        times(&run.beside.writes)
    ));
}

/// A share of the times of each run: the median of the runs, and how far they are apart.
fn over<'a>(runs: &'a [Run], share: f64, times: impl Fn(&'a Run) -> &'a [f64]) -> Spread {
    Spread::of(runs.iter().map(|run| percentile(&sorted(times(run)), share)))
}

pub fn figures(options: &ApiOptions, runs: &[Run], folder: Option<&Path>) -> anyhow::Result<Value> {
    let shares = [0.5, 0.99];
    let [alone_reads, loops_reads, beside_reads] = [
        shares.map(|share| over(runs, share, |run| &run.alone.reads)),
        shares.map(|share| over(runs, share, |run| &run.beside_loops.reads)),
        shares.map(|share| over(runs, share, |run| &run.beside.reads)),
    ];
    let [alone_writes, loops_writes, beside_writes] = [
        shares.map(|share| over(runs, share, |run| &run.alone.writes)),
        shares.map(|share| over(runs, share, |run| &run.beside_loops.writes)),
        shares.map(|share| over(runs, share, |run| &run.beside.writes)),
    ];
    let level = |[p50, p99]: [Spread; 2]| json!({"p50_ms": p50, "p99_ms": p99});
    let figures = json!({
        "bench": "api", "listings": options.listings, "targets": options.targets, "requests_per_s": options.pace,
        "writes_percent": options.writes, "seconds": options.seconds, "runs": options.repeat,
        "limit": options.limit.to_string(), "machine": machine(),
        "callers_come_first": std::thread::spawn(come_first).join().unwrap_or(false),
        "read_p99_ms": beside_reads[1].median, "write_p99_ms": beside_writes[1].median,
        "syncs_per_s": Spread::of(runs.iter().map(|run| run.syncs_per_s)),
        "alone": {"reads": level(alone_reads), "writes": level(alone_writes)},
        "beside_loops": {"reads": level(loops_reads), "writes": level(loops_writes)},
        "beside": {"reads": level(beside_reads), "writes": level(beside_writes)},
    });
    let bar = |[p50, p99]: [Spread; 2]| Spread { median: p50.median, min: p50.median, max: p99.median };
    let groups = [
        Group { name: "reads".to_owned(), bars: vec![bar(alone_reads), bar(loops_reads), bar(beside_reads)] },
        Group { name: "writes".to_owned(), bars: vec![bar(alone_writes), bar(loops_writes), bar(beside_writes)] },
    ];
    let title = format!("{} requests a second: p50, and p99 as the line", options.pace);
    Bars {
        title: &title,
        unit: "ms",
        sides: &["alone", "beside loops that only compute", "beside a full sync"],
        groups: &groups,
    }
    .save(folder, "api", &figures)?;
    Ok(figures)
}
