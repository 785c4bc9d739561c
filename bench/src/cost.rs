//! What processes cost: CPU seconds of whole process trees from `/proc/PID/stat`, and their private memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;

/// A part of a system: a name and the process that all of its others descend from.
#[derive(Debug, Clone)]
pub struct Part {
    /// What it is called in the figures.
    pub name: &'static str,
    /// The process.
    pub pid: u32,
}

struct Stat {
    parent: u32,
    /// User and system time, that of children that have ended included, in ticks.
    ticks: u64,
}

/// The fields after the name, which may hold blanks and brackets itself.
fn stat(pid: u32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let ticks = (11..=14).map(number).sum::<Option<u64>>()?;
    Some(Stat { parent: u32::try_from(number(1)?).ok()?, ticks })
}

fn trees() -> HashMap<u32, Vec<u32>> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    for pid in entries.filter_map(|entry| entry.file_name().to_string_lossy().parse::<u32>().ok()) {
        if let Some(stat) = stat(pid) {
            children.entry(stat.parent).or_default().push(pid);
        }
    }
    children
}

fn tree(root: u32) -> Vec<u32> {
    let children = trees();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        found.extend(children.get(&pid).into_iter().flatten());
        next += 1;
    }
    found
}

/// CPU seconds of each part until now.
fn cpu_seconds(parts: &[Part]) -> HashMap<&'static str, f64> {
    #[expect(clippy::cast_precision_loss, reason = "ticks of a run are few")]
    let seconds = |ticks: u64| ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
    let of = |part: &Part| tree(part.pid).into_iter().filter_map(stat).map(|stat| stat.ticks).sum();
    parts.iter().map(|part| (part.name, seconds(of(part)))).collect()
}

/// CPU seconds that each part spends while some work is done, and what that gives.
pub async fn spent<T>(
    parts: &[Part],
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<(HashMap<&'static str, f64>, T)> {
    let before = cpu_seconds(parts);
    let given = work.await?;
    let spent = cpu_seconds(parts).into_iter().map(|(name, after)| (name, after - before[name])).collect();
    Ok((spent, given))
}

/// Private memory in megabytes: what is shared, Postgres's buffers above all, both sides have alike.
fn private_mb(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or_default() / 1024.0
}

/// Private memory of a part now, in megabytes.
pub fn private_mb_of(part: &Part) -> f64 {
    tree(part.pid).into_iter().map(private_mb).sum()
}

/// Samples the memory of some parts until it is stopped.
pub struct MemoryWatch {
    peaks: Arc<Mutex<HashMap<&'static str, f64>>>,
    task: JoinHandle<()>,
}

impl MemoryWatch {
    /// Begins, four samples a second.
    pub fn start(parts: Vec<Part>) -> Self {
        let peaks = Arc::new(Mutex::new(HashMap::new()));
        let seen = Arc::clone(&peaks);
        let task = tokio::spawn(async move {
            loop {
                for part in &parts {
                    let now = private_mb_of(part);
                    let mut peaks = seen.lock().expect("nobody panics while holding this lock");
                    let peak = peaks.entry(part.name).or_insert(0.0_f64);
                    *peak = peak.max(now);
                }
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        });
        Self { peaks, task }
    }

    /// The most that each part held.
    pub fn stop(self) -> HashMap<&'static str, f64> {
        self.task.abort();
        self.peaks.lock().expect("nobody panics while holding this lock").clone()
    }
}
