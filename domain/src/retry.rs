//! The retry schedule: at most five attempts, full jitter down to zero, and a floor where the channel names one. Other waits that
//! double, of messages and of outcomes that are written again, are made by the same function.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// How often an attempt that failed may be made again, and how far apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, the first one included.
    pub max_attempts: u32,
    /// The ceiling of the first wait.
    pub base: Duration,
    /// No ceiling grows beyond this.
    pub cap: Duration,
}

impl Default for RetryPolicy {
    /// Five attempts, base 2 s, cap 60 s: a base of 0.5 s would put every retry into one 10 s window.
    fn default() -> Self {
        Self { max_attempts: 5, base: Duration::from_secs(2), cap: Duration::from_secs(60) }
    }
}

/// The wait after so many failures, which doubles with each: min(cap, base · 2^(n-1)).
pub fn doubled(base: Duration, cap: Duration, failures: u32) -> Duration {
    base.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(cap)
}

impl RetryPolicy {
    /// The longest wait after `failed_attempts` failures: min(cap, base · 2^(n-1)).
    pub fn ceiling(&self, failed_attempts: u32) -> Duration {
        doubled(self.base, self.cap, failed_attempts)
    }

    /// When the next attempt is due: uniform(0, ceiling) after `now`, but not before `floor`.
    ///
    /// `random` is a draw from 0.0 to 1.0.
    pub fn due_at(
        &self,
        now: DateTime<Utc>,
        failed_attempts: u32,
        random: f64,
        floor: Option<DateTime<Utc>>,
    ) -> DateTime<Utc> {
        let wait = self.ceiling(failed_attempts).mul_f64(random.clamp(0.0, 1.0));
        let jittered = now + TimeDelta::from_std(wait).unwrap_or(TimeDelta::zero());
        floor.map_or(jittered, |floor| floor.max(jittered))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ceilings_double_up_to_the_cap() {
        let policy = RetryPolicy::default();
        let ceilings: Vec<u64> = (1..=7).map(|n| policy.ceiling(n).as_secs()).collect();
        assert_eq!(ceilings, [2, 4, 8, 16, 32, 60, 60]);
        assert_eq!([0, 32, u32::MAX].map(|n| policy.ceiling(n).as_secs()), [2, 60, 60]);
    }

    #[test]
    fn jitter_is_full_and_the_floor_holds() {
        let policy = RetryPolicy::default();
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        assert_eq!(policy.due_at(now, 3, 0.0, None), now);
        assert_eq!(policy.due_at(now, 3, 1.0, None), now + TimeDelta::seconds(8));
        let floor = now + TimeDelta::seconds(20);
        assert_eq!(policy.due_at(now, 1, 0.5, Some(floor)), floor);
    }
}
