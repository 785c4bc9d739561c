//! A side's process held, its work put before it, let go and measured until all of it is done.

use std::collections::HashMap;
use std::time::Instant;

use crate::cost::{MemoryWatch, Part, cpu_seconds};
use crate::process::Process;

/// What it took.
#[derive(Debug)]
pub struct Drained {
    /// From the moment the process was let go.
    pub seconds: f64,
    /// CPU seconds of each part, the taking in of the work included.
    pub cpu: HashMap<&'static str, f64>,
    /// The part of it that went into the taking in of the work by NATS or Redis, before the clock ran.
    pub ingest: f64,
    /// The most private memory that each part held, in megabytes.
    pub memory: HashMap<&'static str, f64>,
}

/// Measures how long a process takes for what `put` puts before it, until `done`.
pub async fn drain(
    process: &Process,
    parts: &[Part],
    put: impl Future<Output = anyhow::Result<()>>,
    done: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<Drained> {
    process.hold()?;
    let before = cpu_seconds(parts);
    put.await?;
    let memory = MemoryWatch::start(parts.to_vec());
    let ingested = cpu_seconds(parts);
    let started = Instant::now();
    process.let_go()?;
    done.await?;
    let seconds = started.elapsed().as_secs_f64();
    let cpu = cpu_seconds(parts).into_iter().map(|(name, after)| (name, after - before[name])).collect();
    let ingest = parts.iter().map(|part| ingested[part.name] - before[part.name]).sum();
    Ok(Drained { seconds, cpu, ingest, memory: memory.stop() })
}
