//! Sandbox and service as processes of their own group, known by pid files that `dev/down` understands. Nothing is
//! signalled before it is known to be the program that its pid file means.

use std::fs::{File, OpenOptions};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};

/// How long a process may take to stop when it is asked to.
const PATIENCE: Duration = Duration::from_secs(6);

/// A process that runs, whoever started it.
#[derive(Debug, Clone)]
pub struct Running {
    /// Its id.
    pub pid: u32,
    program: String,
    pid_file: PathBuf,
}

/// A process that is stopped when this is dropped.
#[derive(Debug)]
pub struct Guarded {
    running: Running,
    child: Child,
}

/// Starts a program in the background: no terminal, output to `log`, its pid in `pid_file`.
pub fn start(mut command: Command, log: &Path, pid_file: &Path) -> anyhow::Result<Guarded> {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let file = append(log).with_context(|| format!("cannot write {}", log.display()))?;
    let errors = file.try_clone()?;
    // A group of its own: ctrl-c is for the demo.
    command.process_group(0).stdin(Stdio::null()).stdout(file).stderr(errors);
    let child = command.spawn().with_context(|| format!("cannot start {program}"))?;
    let running = Running { pid: child.id(), program, pid_file: pid_file.to_owned() };
    let guarded = Guarded { running, child };
    std::fs::write(pid_file, format!("{}\n", guarded.running.pid))
        .with_context(|| format!("cannot write {}", pid_file.display()))?;
    Ok(guarded)
}

fn append(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// The process of a pid file, if it runs that program.
pub fn find(pid_file: &Path, program: &str) -> Option<Running> {
    let pid = std::fs::read_to_string(pid_file).ok()?.lines().next()?.trim().parse().ok()?;
    let running = Running { pid, program: program.to_owned(), pid_file: pid_file.to_owned() };
    running.is_alive().then_some(running)
}

impl Running {
    /// Whether it still runs; a zombie does not.
    pub fn is_alive(&self) -> bool {
        self.file().is_some_and(|file| file.trim_end_matches(" (deleted)") == self.program)
    }

    /// Whether its program was built anew since it started.
    pub fn is_outdated(&self) -> bool {
        self.file().is_some_and(|file| file.ends_with(" (deleted)"))
    }

    fn file(&self) -> Option<String> {
        let path = std::fs::read_link(format!("/proc/{}/exe", self.pid)).ok()?;
        Some(path.file_name()?.to_string_lossy().into_owned())
    }

    /// The most memory that it ever held, in megabytes.
    pub fn peak_memory_mb(&self) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).context("the service is gone")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("there is no VmHWM")?;
        let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kilobytes / 1024.0)
    }

    /// Asks it to stop, waits, and insists.
    pub fn stop(&self) {
        self.stop_with(|| !self.is_alive());
    }

    fn stop_with(&self, mut gone: impl FnMut() -> bool) {
        let asked = Instant::now();
        self.signal(Signal::TERM);
        while !gone() {
            if asked.elapsed() > PATIENCE {
                self.signal(Signal::KILL);
            }
            if asked.elapsed() > PATIENCE * 2 {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // Nothing depends on it: a pid file without its process means nothing.
        let _ = std::fs::remove_file(&self.pid_file);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid.filter(|_| self.is_alive()) {
            // It may have ended by itself.
            let _ = kill_process(pid, signal);
        }
    }
}

impl Guarded {
    /// The process.
    pub fn running(&self) -> &Running {
        &self.running
    }

    /// Lets it go on after this program's end.
    pub fn release(self) -> Running {
        let running = self.running.clone();
        std::mem::forget(self);
        running
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let Self { running, child } = self;
        // Waiting for the child also clears it away.
        running.stop_with(|| matches!(child.try_wait(), Ok(Some(_)) | Err(_)));
    }
}

/// The last lines of a log, to show why a program did not start.
pub fn last_lines(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}
