//! How a process stops: it is asked to, and where Postgres is away then, it does not wait for it for long.

use std::io;
use std::time::Duration;

use adapters::postgres::answers;
use sqlx::PgPool;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// From one question to the next.
const LOOK: Duration = Duration::from_millis(250);
/// The longest wait for an answer, by either way.
const PATIENCE: Duration = Duration::from_millis(500);

/// A stop, as roles see it. Clones are one.
#[derive(Debug, Clone, Default)]
pub struct Stopping {
    /// Nothing new begins, what is under way ends.
    pub asked: CancellationToken,
    /// Nothing can be written down any more: what is under way is cut, and told to the log.
    pub in_vain: CancellationToken,
}

impl Stopping {
    /// Runs what has nothing to tell once all is in vain: what it waits for then, it leaves as it does in a crash.
    pub async fn unless_in_vain(self, work: impl Future<Output = ()>) {
        tokio::select! {
            () = work => {}
            () = self.in_vain.cancelled() => {}
        }
    }

    /// Returns when Postgres has not answered for so long, and ends the waiting for it. To be called after the stop.
    pub async fn watch(&self, pool: &PgPool, longest: Duration) {
        let mut answered_at = Instant::now();
        loop {
            match answers(pool, PATIENCE).await {
                Ok(()) => answered_at = Instant::now(),
                Err(reason) if answered_at.elapsed() >= longest => {
                    tracing::warn!(
                        %reason,
                        "stopping without Postgres: what is under way is cut, leases and slots run out by themselves"
                    );
                    self.in_vain.cancel();
                    return;
                }
                Err(_) => {}
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// The signals that ask for a stop: SIGTERM, ctrl-c, SIGQUIT, and SIGHUP, which a terminal sends that closes.
#[derive(Debug)]
pub struct Signals {
    asking: [Option<Signal>; 3],
    hangup: Option<Signal>,
    /// How often it was asked for, hang-ups aside.
    asked: u32,
}

impl Signals {
    /// Listens from now on. What whoever started this had it ignore, as `nohup` does with SIGHUP, stays so.
    pub fn listen() -> io::Result<Self> {
        let ignored = ignored();
        let unless_ignored = |kind: SignalKind| {
            let bit = 1_u64.checked_shl(kind.as_raw_value().unsigned_abs().saturating_sub(1)).unwrap_or(0);
            if ignored & bit == 0 { signal(kind).map(Some) } else { Ok(None) }
        };
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Self {
            asking: [Some(terminate), Some(interrupt), unless_ignored(SignalKind::quit())?],
            hangup: unless_ignored(SignalKind::hangup())?,
            asked: 0,
        })
    }

    /// Returns with the next one.
    pub async fn wait(&mut self) {
        let [terminate, interrupt, quit] = &mut self.asking;
        tokio::select! {
            () = heard(terminate) => self.asked += 1,
            () = heard(interrupt) => self.asked += 1,
            () = heard(quit) => self.asked += 1,
            () = heard(&mut self.hangup) => {}
        }
    }

    /// Returns when it was asked for twice: then it stops at once. A hang-up is none of the two. A terminal that closes sends it, and
    /// its shell once more; systemd, where it is told to, beside the SIGTERM.
    pub async fn twice(&mut self) {
        while self.asked < 2 {
            self.wait().await;
        }
    }
}

async fn heard(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// The signals that this process was started to ignore, a bit for each; none where the system does not tell.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
