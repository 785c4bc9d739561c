//! A binary of this workspace as a process.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};

/// A running binary. Killed when it is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

/// The path of a binary, next to the test's own.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe()?;
    let folder = test.parent().and_then(Path::parent).context("a test executable stands in target/PROFILE/deps")?;
    let path = folder.join(name);
    ensure!(path.exists(), "{} is missing: `./justw test` builds it first", path.display());
    Ok(path)
}

impl Process {
    /// Starts a binary; what it prints goes to `log`.
    pub fn start(name: &str, arguments: &[String], env: &[(&str, String)], log: &Path) -> anyhow::Result<Self> {
        let file = std::fs::File::options().create(true).append(true).open(log)?;
        let child = Command::new(binary(name)?)
            .args(arguments)
            .envs(env.iter().map(|(key, value)| (*key, value.as_str())))
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("failed to start {name}"))?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// kill -9, and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, and waits until it has ended by itself. Gives whether it ended well.
    pub fn stop(&mut self) -> anyhow::Result<bool> {
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        ensure!(sent.success(), "the process is gone already");
        Ok(self.child.wait()?.success())
    }

    /// The same for who has other things to do meanwhile.
    pub async fn stopped(&mut self) -> anyhow::Result<bool> {
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        ensure!(sent.success(), "the process is gone already");
        loop {
            if let Some(ended) = self.child.try_wait()? {
                return Ok(ended.success());
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// What it has printed so far.
    pub fn printed(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its peak memory in kilobytes.
    pub fn peak_memory_kb(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
