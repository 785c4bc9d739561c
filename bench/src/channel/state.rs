//! What the channel keeps: arrivals, listings, latencies.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

/// A call as it came in.
pub struct Arrival {
    pub at_us: u64,
    pub account: u32,
    pub listing: u64,
    pub kind: char,
}

/// What a call was.
pub struct Called {
    /// `t`oken, `l`ook-up, `c`reate, `w`rite of a listing, `n`ights, `r`ead, or `?`.
    pub kind: char,
    pub listing: u64,
    /// Where the body names the account, which is in a token request alone.
    pub account: Option<u32>,
}

/// A listing: the last body that was written, and every interval.
#[derive(Default)]
pub struct Listing {
    pub body: Bytes,
    pub reference: String,
    pub intervals: Vec<Value>,
}

/// How long an account waits for its answers.
#[derive(Clone, Copy, Deserialize)]
pub struct Latency {
    pub account: u32,
    pub ms: u32,
    pub jitter_ms: u32,
}

#[derive(Default)]
pub struct State {
    pub arrivals: RefCell<Vec<Arrival>>,
    /// Writes of listings, by account.
    pub writes: RefCell<HashMap<u32, u64>>,
    pub listings: RefCell<HashMap<u64, Listing>>,
    /// Every word of a reference, for look-ups.
    pub words: RefCell<HashMap<String, u64>>,
    pub latencies: RefCell<HashMap<u32, Latency>>,
    last_id: Cell<u64>,
}

impl State {
    pub fn arrived(&self, at_us: u64, account: u32, called: &Called) {
        if called.kind == 'w' {
            *self.writes.borrow_mut().entry(account).or_default() += 1;
        }
        let Called { kind, listing, .. } = called;
        self.arrivals.borrow_mut().push(Arrival { at_us, account, listing: *listing, kind: *kind });
    }

    pub fn latency(&self, account: u32) -> Option<Duration> {
        let latency = *self.latencies.borrow().get(&account)?;
        let (least, most) = (latency.ms.saturating_sub(latency.jitter_ms), latency.ms + latency.jitter_ms);
        let ms = rand::random_range(least..=most);
        (ms > 0).then(|| Duration::from_millis(ms.into()))
    }

    /// Ids as large as Hostaway's, out of the way of those that the peer chooses.
    pub fn new_id(&self) -> u64 {
        self.last_id.set(self.last_id.get() + 1);
        10_000_000 + self.last_id.get()
    }
}

/// Microseconds since the epoch.
pub fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or_default()
}
