//! One member of the fleet: a process at a time, and the lines that it is connected by.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use end_to_end::process::Process;
use end_to_end::proxy::{Line, Proxy};
use rustix::process::Signal;

use super::life::{Ending, Life};
use crate::clock::now_us;
use crate::far::Far;
use crate::servers::Port;
use crate::who::Who;

/// As a supervisor waits before it starts something again.
const REST: Duration = Duration::from_millis(300);
/// A gentle stop that takes longer is ended by kill -9, as a supervisor does it.
const TO_END: Duration = Duration::from_secs(60);

/// A member.
#[derive(Debug)]
pub struct Member {
    /// Who it is.
    pub who: Who,
    postgres: Proxy,
    nats: Proxy,
    channel: Proxy,
    api_port: Port,
    program: PathBuf,
    environment: Vec<(String, String)>,
    folder: PathBuf,
    now: Mutex<Now>,
}

#[derive(Debug, Default)]
struct Now {
    process: Option<Process>,
    lives: Vec<Life>,
    /// How many want it not to run.
    kept_down: u32,
    rolling: bool,
    ended_at: Option<Instant>,
}

impl Member {
    /// One with lines to Postgres, NATS and the channel.
    pub(super) fn new(
        who: Who,
        lines: [Proxy; 3],
        program: &Path,
        environment: &[(String, String)],
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let [postgres, nats, channel] = lines;
        let mut environment = environment.to_vec();
        let api_port = Port::free()?;
        let own = [
            ("DISTRIBUTION_ROLES", who.role().to_owned()),
            ("DISTRIBUTION_LISTEN", format!("127.0.0.1:{}", api_port.number())),
            ("DATABASE_URL", format!("postgres://postgres@127.0.0.1:{}/distribution", postgres.port)),
            ("NATS_URL", format!("nats://127.0.0.1:{}", nats.port)),
            // So each process's calls can be told from those of the others, and broken for it alone.
            ("http_proxy", format!("http://127.0.0.1:{}", channel.port)),
        ];
        environment.extend(own.map(|(name, value)| (name.to_owned(), value)));
        let (program, folder) = (program.to_owned(), folder.to_owned());
        Ok(Self { who, postgres, nats, channel, api_port, program, environment, folder, now: Mutex::default() })
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where its API is.
    pub fn api(&self) -> String {
        format!("http://127.0.0.1:{}", self.api_port.number())
    }

    /// Every process that it had.
    pub fn lives(&self) -> Vec<Life> {
        self.now().lives.clone()
    }

    fn line(&self, far: Far) -> &Proxy {
        match far {
            Far::Postgres => &self.postgres,
            Far::Nats => &self.nats,
            Far::Channel => &self.channel,
        }
    }

    /// Breaks or mends a line.
    pub(super) fn set_line(&self, far: Far, line: Option<Line>) {
        self.line(far).set(line);
    }

    /// How many connections have met a broken line so far.
    pub(super) fn broken_connections(&self, far: Far) -> u64 {
        self.line(far).broken()
    }

    /// Starts it.
    pub(super) fn start(&self) -> anyhow::Result<()> {
        self.start_now(&mut self.now())
    }

    fn start_now(&self, now: &mut Now) -> anyhow::Result<()> {
        let number = now.lives.len() + 1;
        let name = format!("{}.{number}", self.who.name());
        let (member, low, high) = (self.who.0 + 1, number % 250 + 1, number / 250);
        let source = Ipv4Addr::new(127, u8::try_from(member)?, u8::try_from(high)?, u8::try_from(low)?);
        let log = self.folder.join(format!("{name}.log"));
        let mut command = Command::new(&self.program);
        command.arg("serve").envs(self.environment.iter().map(|(name, value)| (name, value)));
        for name in ["no_proxy", "NO_PROXY", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "REQUEST_METHOD"] {
            command.env_remove(name);
        }
        self.channel.leave_from(source);
        now.process = Some(Process::spawn(command, &log)?);
        now.lives.push(Life { name, source, ending: None, ended_us: 0, log });
        Ok(())
    }

    /// Notes its end, and starts it again where nobody wants it down.
    pub(super) fn look_after(&self) {
        let mut now = self.now();
        let status = now.process.as_mut().and_then(|process| process.ended().ok().flatten());
        if let Some(status) = status {
            let ending = if now.rolling {
                Ending::Rolled { well: status.success() }
            } else {
                Ending::ByItself(status.to_string())
            };
            now.end(ending);
        }
        let rested = now.ended_at.is_none_or(|at| at.elapsed() > REST);
        if now.process.is_none() && now.kept_down == 0 && rested && self.start_now(&mut now).is_err() {
            now.ended_at = Some(Instant::now());
        }
    }

    /// kill -9; it comes back after a while. Gives whether it ran.
    pub async fn kill(&self, down: Duration) -> bool {
        let ran = {
            let mut now = self.now();
            now.kept_down += 1;
            let ran = now.process.is_some();
            if let Some(process) = &mut now.process {
                process.kill();
                now.end(Ending::Killed);
            }
            ran
        };
        tokio::time::sleep(down).await;
        self.now().kept_down -= 1;
        ran
    }

    /// SIGSTOP for a while. Gives whether it ran.
    pub async fn stop(&self, still: Duration) -> bool {
        let ran = self.signal(Signal::STOP);
        tokio::time::sleep(still).await;
        self.signal(Signal::CONT);
        ran
    }

    /// Goes on where it was stopped.
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    /// Gives whether somebody got it.
    fn signal(&self, signal: Signal) -> bool {
        // It may have ended a moment ago.
        self.now().process.as_ref().is_some_and(|process| process.signal(signal).is_ok())
    }

    /// SIGTERM, and a new one when it has ended. Gives whether it ran.
    pub async fn roll(&self, down: Duration) -> bool {
        let number = {
            let mut now = self.now();
            now.kept_down += 1;
            now.rolling = now.process.is_some();
            now.lives.len()
        };
        let (asked, asked_us) = (Instant::now(), now_us());
        let ran = self.signal(Signal::TERM);
        while self.now().is_running(number) && asked.elapsed() < TO_END {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        {
            let mut now = self.now();
            if now.is_running(number)
                && let Some(process) = &mut now.process
            {
                process.kill();
                now.end(Ending::Overdue { asked_us });
            }
        }
        tokio::time::sleep(down).await;
        self.now().kept_down -= 1;
        ran
    }
}

impl Now {
    fn is_running(&self, number: usize) -> bool {
        self.process.is_some() && self.lives.len() == number
    }

    fn end(&mut self, ending: Ending) {
        self.process = None;
        self.rolling = false;
        self.ended_at = Some(Instant::now());
        if let Some(life) = self.lives.last_mut() {
            life.ending = Some(ending);
            life.ended_us = now_us();
        }
    }
}
