//! How often a caller may ask. Each has a bucket of its own, so that one cannot take another's turn.

mod looks;

use std::num::NonZeroU32;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use domain::counted::{agreeing, counted};
use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};

use super::problem::{Problem, ProblemKind};
use looks::Looks;

/// The header that says how many requests there are in a second.
pub(super) const RATE_LIMIT: &str = "ratelimit-limit";
/// Callers after which buckets that are full again are forgotten.
const MANY: usize = 10_000;

type Buckets = RateLimiter<String, DefaultKeyedStateStore<String>, DefaultClock, StateInformationMiddleware>;

/// The buckets.
#[derive(Debug)]
pub(super) struct Limiter {
    buckets: Buckets,
    per_second: NonZeroU32,
    /// Those of addresses, for credentials that nobody knows.
    pub(super) looks: Looks,
}

/// What a caller has left.
#[derive(Debug, Clone, Copy)]
pub(super) struct Left {
    limit: u32,
    remaining: u32,
}

impl Limiter {
    pub(super) fn new(per_second: u32) -> Self {
        let per_second = NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN);
        let buckets = RateLimiter::keyed(Quota::per_second(per_second)).with_middleware();
        Self { buckets, per_second, looks: Looks::new(per_second) }
    }

    /// What a caller has who has used up everything.
    pub(super) fn empty(&self) -> Left {
        Left { limit: self.per_second.get(), remaining: 0 }
    }

    /// Takes one request of a caller.
    pub(super) fn take(&self, caller: &str) -> Result<Left, Problem> {
        if self.buckets.len() > MANY {
            self.buckets.retain_recent();
        }
        match self.buckets.check_key(&caller.to_owned()) {
            Ok(state) => Ok(Left { limit: self.per_second.get(), remaining: state.remaining_burst_capacity() }),
            Err(not_until) => Err(limited(self.per_second, not_until.wait_time_from(DefaultClock::default().now()))),
        }
    }
}

/// What is told to those who have nothing left for so long.
fn limited(per_second: NonZeroU32, wait: Duration) -> Problem {
    let (most, are, wait) = (per_second.get(), agreeing(per_second.get(), "is", "are"), wait.as_secs() + 1);
    let reason = format!("{} a second {are} yours; wait {wait} s", counted(most, "request"));
    ProblemKind::RateLimited.because(reason).retry_after(wait)
}

impl Left {
    /// Tells it (draft-ietf-httpapi-ratelimit-headers).
    pub(super) fn tell(self, headers: &mut HeaderMap) {
        headers.insert(RATE_LIMIT, HeaderValue::from(self.limit));
        headers.insert("ratelimit-remaining", HeaderValue::from(self.remaining));
        headers.insert("ratelimit-reset", HeaderValue::from(1));
    }
}
