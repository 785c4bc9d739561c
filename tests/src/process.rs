//! A binary of this workspace as a process.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::Context;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

/// A running binary. Killed when it is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

/// The path of a binary: next to the running program, or above it, since tests stand in `target/PROFILE/deps`.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let mut places = program.ancestors().skip(1).take(2).map(|folder| folder.join(name));
    let found = places.find(|path| path.is_file());
    found.with_context(|| format!("{name} is missing beside {}: `./justw build` makes it", program.display()))
}

impl Process {
    /// Starts a binary; what it prints goes to `log`.
    pub fn start(name: &str, arguments: &[String], env: &[(&str, String)], log: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(binary(name)?);
        command.args(arguments).envs(env.iter().map(|(key, value)| (*key, value.as_str())));
        Self::spawn(command, log)
    }

    /// Starts any program; what it prints goes to `log`.
    pub fn spawn(mut command: Command, log: &Path) -> anyhow::Result<Self> {
        let file = std::fs::File::options().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("failed to start {}", command.get_program().display()))?;
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
        self.signal(Signal::TERM)?;
        Ok(self.child.wait()?.success())
    }

    /// The same for who has other things to do meanwhile.
    pub async fn stopped(&mut self) -> anyhow::Result<bool> {
        self.signal(Signal::TERM)?;
        loop {
            if let Some(ended) = self.ended()? {
                return Ok(ended.success());
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// Sends a signal; an error where it is gone already.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        kill_process(self.pid()?, signal).context("the process is gone already")
    }

    /// Means this process alone, also when it has ended and another one has its id.
    pub fn handle(&self) -> anyhow::Result<OwnedFd> {
        Ok(pidfd_open(self.pid()?, PidfdFlags::empty())?)
    }

    fn pid(&self) -> anyhow::Result<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("a process has an id")
    }

    /// The ids of the processes that it has started and that run.
    pub fn children(&self) -> anyhow::Result<Vec<u32>> {
        let id = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
        Ok(children.split_whitespace().filter_map(|child| child.parse().ok()).collect())
    }

    /// How it ended; `None` while it runs.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
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
