//! A child process: started with a log, held and let go, stopped, killed. It never outlives this program's run.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// How long a process may take to end when asked.
const TO_END: Duration = Duration::from_secs(30);

/// How often is asked whether something has come about, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Between two questions.
    pub every: Duration,
    /// In all.
    pub limit: Duration,
}

impl Patience {
    /// With a process that starts.
    pub const START: Self = Self { every: Duration::from_millis(10), limit: Duration::from_secs(30) };
    /// With work: longer than any run may take.
    pub const WORK: Self = Self { every: Duration::from_millis(20), limit: Duration::from_secs(1_800) };
    /// With rows of a table, which cost more to count.
    pub const ROWS: Self = Self { every: Duration::from_millis(50), ..Self::WORK };
}

/// A running child.
#[derive(Debug)]
pub struct Process {
    /// Behind a lock, so that many may wait for what it does.
    child: Mutex<Child>,
    id: u32,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts it; what it prints is appended to `log`.
    pub fn start(mut command: Command, log: &Path) -> anyhow::Result<Self> {
        let name = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let file = std::fs::File::options().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { id: child.id(), child: Mutex::new(child), name, log: log.to_owned() })
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().expect("nobody panics while holding this lock")
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// What it printed.
    pub fn printed(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Fails with the end of its log when it has ended.
    pub fn must_run(&self) -> anyhow::Result<()> {
        if let Some(status) = self.child().try_wait()? {
            let printed = self.printed();
            let tail: Vec<&str> = printed.lines().rev().take(8).collect();
            bail!("{} ended ({status}):\n{}", self.name, tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
        Ok(())
    }

    /// Waits until something has come about; fails when the process ends before, or when it takes too long.
    pub async fn until(
        &self,
        patience: Patience,
        what: &str,
        mut has_come: impl AsyncFnMut() -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let asked = Instant::now();
        while !has_come().await? {
            self.must_run()?;
            let waited = asked.elapsed();
            ensure!(waited < patience.limit, "{}: not {what} in {waited:?}:\n{}", self.name, self.printed());
            tokio::time::sleep(patience.every).await;
        }
        Ok(())
    }

    /// Stops it in its tracks: work can be put before it without its taking any.
    pub fn hold(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on.
    pub fn let_go(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    /// kill -9.
    pub fn kill(&self) {
        let mut child = self.child();
        let _ = child.kill();
        let _ = child.wait();
    }

    /// SIGTERM, and kills what does not end by itself.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)?;
        let asked = Instant::now();
        while self.child().try_wait()?.is_none() && asked.elapsed() < TO_END {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.kill();
        Ok(())
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.id).ok().and_then(Pid::from_raw).context("a process has an id")?;
        kill_process(pid, signal).with_context(|| format!("{} is gone", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
