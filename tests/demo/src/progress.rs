//! What people see while it drains: a bar on a terminal, else a line every two seconds. Words go to stderr, so that
//! stdout holds answers alone.

use std::collections::VecDeque;
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use chrono::Utc;
use indicatif::{ProgressBar, ProgressStyle};

use crate::postgres;
use crate::run::Run;
use crate::sandbox::Summary;
use crate::targets::role_of;

/// Rates are of this span.
const SPAN: Duration = Duration::from_secs(5);
/// The calls of the last window are made in about this time.
const LAST_WINDOW_MS: u64 = 2_500;
/// A line without a terminal.
const LINE: Duration = Duration::from_secs(2);

/// A line to stderr.
pub fn say(line: &str) {
    // Nothing depends on its being read.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A line to stdout.
pub fn tell(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// How it stood at a moment.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    syncs: u64,
    calls: u64,
}

/// Waits until every listing has been synced once, and shows how it goes. Whether it did before the deadline.
pub async fn drain(run: &Run, deadline: Instant) -> anyhow::Result<bool> {
    let total = run.villas.len() as u64;
    let show = Show::new(total);
    let started = Instant::now();
    let mut samples: VecDeque<Sample> = VecDeque::new();
    loop {
        let synced = postgres::synced(&run.pool, run.villas.len()).await?;
        let by_role: Vec<u64> = run
            .targets
            .iter()
            .map(|target| synced.get(&target.target_id).copied().unwrap_or(0).try_into().unwrap_or(0))
            .collect();
        let syncs = by_role.iter().sum();
        let summary = run.sandbox.summary().await?;
        let sample = Sample { at: Instant::now(), syncs, calls: summary.calls };
        samples.push_back(sample);
        while samples.len() > 2 && samples.front().is_some_and(|first| first.at.elapsed() > SPAN) {
            samples.pop_front();
        }
        if syncs >= total {
            let seconds = started.elapsed().as_secs_f64();
            show.end(&if samples.len() == 1 {
                format!("{total} listings were synced before, with {} calls", sample.calls)
            } else {
                format!("{total} listings synced in {seconds:.1} s with {} calls", sample.calls)
            });
            return Ok(true);
        }
        if Instant::now() >= deadline {
            show.end(&format!("{syncs} of {total} listings synced when the time was over"));
            return Ok(false);
        }
        show.update(syncs, &describe(&samples, remaining(run, &by_role, &summary)));
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

fn describe(samples: &VecDeque<Sample>, remaining: Duration) -> String {
    let (Some(first), Some(last)) = (samples.front(), samples.back()) else { return String::new() };
    let seconds = (last.at - first.at).as_secs_f64().max(0.001);
    let rate = |from: u64, to: u64| f64::from(u32::try_from(to.saturating_sub(from)).unwrap_or(u32::MAX)) / seconds;
    let (syncs, calls) = (rate(first.syncs, last.syncs), rate(first.calls, last.calls));
    format!("{syncs:.0} syncs/s, {calls:.0} calls/s, about {} s left", remaining.as_secs())
}

/// The slowest target decides. A first sync takes four calls (look up, create, nights, read back) and now and then one
/// more; they go out a window's worth at a time, so the last ones wait for as many windows as come before theirs.
fn remaining(run: &Run, synced: &[u64], summary: &Summary) -> Duration {
    let now_us = u64::try_from(Utc::now().timestamp_micros()).unwrap_or_default();
    let of_role = |(role, synced): (usize, &u64)| {
        let all = (0..run.villas.len()).filter(|villa| role_of(*villa) == role).count() as u64;
        if *synced >= all {
            return 0;
        }
        let limit = run.targets[role].role();
        let windows = (all * 4 + all / 20) / limit.requests;
        let seen = summary.accounts.get(&limit.channel_account).filter(|account| account.calls > 0);
        let started_us = seen.map_or(now_us, |account| account.first_at_us);
        (started_us + (windows * limit.window_ms + LAST_WINDOW_MS) * 1000).saturating_sub(now_us).max(1_000_000)
    };
    Duration::from_micros(synced.iter().enumerate().map(of_role).max().unwrap_or(0))
}

/// A bar, or lines.
enum Show {
    Bar(ProgressBar),
    Lines { total: u64, last: std::cell::Cell<Instant> },
}

impl Show {
    fn new(total: u64) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::Lines { total, last: std::cell::Cell::new(Instant::now()) };
        }
        let style = ProgressStyle::with_template("{bar:40.green} {pos}/{len} listings  {msg}  ({elapsed})");
        let bar = ProgressBar::new(total).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(Duration::from_millis(200));
        Self::Bar(bar)
    }

    fn update(&self, done: u64, words: &str) {
        match self {
            Self::Bar(bar) => {
                bar.set_position(done);
                bar.set_message(words.to_owned());
            }
            Self::Lines { total, last } if last.get().elapsed() >= LINE => {
                last.set(Instant::now());
                say(&format!("{done}/{total} listings, {words}"));
            }
            Self::Lines { .. } => {}
        }
    }

    fn end(&self, words: &str) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
        say(words);
    }
}
