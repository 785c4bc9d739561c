//! The sandbox's one clock: microseconds since the Unix epoch that never run backwards, so that windows stay exact
//! when the machine's wall clock is set. Also the text form Hostaway gives to date-times (UTC, no zone marker).

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use chrono::Utc;

pub struct Clock {
    base_us: u64,
    started: Instant,
}

impl Clock {
    pub fn new() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { base_us: saturate(since_epoch.as_micros()), started: Instant::now() }
    }

    pub fn now_us(&self) -> u64 {
        self.base_us + saturate(self.started.elapsed().as_micros())
    }
}

/// `2020-07-29 15:23:49`, as the documentation's samples write it.
pub fn hostaway_now() -> String {
    Utc::now().format("%Y-%m-%d %H:%M:%S").to_string()
}

pub fn saturate(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}
