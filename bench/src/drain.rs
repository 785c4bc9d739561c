//! A side's process held, its work put before it, let go and measured until all of it is done.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use crate::cost::{MemoryWatch, Part, spent};
use crate::figures::{Spread, float};
use crate::process::Process;

/// What it took.
#[derive(Debug)]
pub struct Drained {
    /// From the moment the process was let go.
    pub seconds: f64,
    /// CPU seconds of each part, the taking in of the work and what comes after the last row included.
    pub cpu: HashMap<&'static str, f64>,
    /// The part of it that went into the taking in of the work by NATS or Redis, before the clock ran.
    pub ingest: f64,
    /// The most private memory that each part held, in megabytes.
    pub memory: HashMap<&'static str, f64>,
}

impl Drained {
    /// CPU of all parts for each of so many syncs, in milliseconds.
    pub fn cpu_ms(&self, syncs: usize) -> f64 {
        self.cpu.values().sum::<f64>() * 1_000.0 / float(syncs)
    }
}

/// CPU of each part for each of so many syncs, in milliseconds: the median of these runs.
pub fn cpu_ms_by_part(runs: &[&Drained], syncs: usize) -> BTreeMap<&'static str, f64> {
    by_part(runs, |run, part| run.cpu[part] * 1_000.0 / float(syncs), |spread| spread.median)
}

/// The most private memory that each part held in any of these runs, in megabytes.
pub fn peak_private_mb(runs: &[&Drained]) -> BTreeMap<&'static str, f64> {
    by_part(runs, |run, part| run.memory.get(part).copied().unwrap_or_default(), |spread| spread.max)
}

fn by_part(
    runs: &[&Drained],
    figure: impl Fn(&Drained, &str) -> f64,
    of: impl Fn(Spread) -> f64,
) -> BTreeMap<&'static str, f64> {
    let parts = runs.first().into_iter().flat_map(|run| run.cpu.keys());
    parts.map(|part| (*part, of(Spread::of(runs.iter().map(|run| figure(run, part)))))).collect()
}

/// Measures how long a process takes for what `put` puts before it, until `done`, and what it costs until `settled`: what is
/// done after the last row is a part of the cost.
pub async fn drain(
    process: &Process,
    parts: &[Part],
    put: impl Future<Output = anyhow::Result<()>>,
    done: impl Future<Output = anyhow::Result<()>>,
    settled: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<Drained> {
    process.hold()?;
    let all = async {
        let (ingest, ()) = spent(parts, put).await?;
        let memory = MemoryWatch::start(parts.to_vec());
        let started = Instant::now();
        process.let_go()?;
        done.await?;
        let seconds = started.elapsed().as_secs_f64();
        settled.await?;
        anyhow::Ok((ingest.into_values().sum::<f64>(), seconds, memory))
    };
    let (cpu, (ingest, seconds, memory)) = spent(parts, all).await?;
    Ok(Drained { seconds, cpu, ingest, memory: memory.stop() })
}
