//! Moments on a clock that goes on while the machine is suspended.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// A moment from which on something is trusted for so long: a slot that was granted, leases that were written. `Instant` stands still
/// while a machine is suspended, and Postgres, which is not, gives slots and leases to others by then. What only waits goes by that one.
///
/// Where a hypervisor stops a guest that is not told, no clock of the guest knows of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BootInstant(Timespec);

impl BootInstant {
    pub(crate) fn now() -> Self {
        Self(clock_gettime(ClockId::Boottime))
    }

    /// How long ago it was, suspended or not.
    pub(crate) fn elapsed(self) -> Duration {
        Self::now().since(self)
    }

    /// How long after that one it was; no time where it was before.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        let length = self.0.checked_sub(earlier.0).and_then(|length| Duration::try_from(length).ok());
        length.unwrap_or_default()
    }
}

#[cfg(test)]
impl BootInstant {
    /// So long ago, which on a machine that was started since then is before its start.
    pub(crate) fn ago(length: Duration) -> Self {
        let length = Timespec::try_from(length).expect("a length of a test");
        Self(clock_gettime(ClockId::Boottime).checked_sub(length).expect("a length of a test"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(tv_sec: i64, tv_nsec: i64) -> BootInstant {
        BootInstant(Timespec { tv_sec, tv_nsec })
    }

    #[test]
    fn what_was_earlier_was_so_long_ago_and_what_was_later_no_time() {
        assert_eq!(at(7, 200_000_000).since(at(5, 900_000_000)), Duration::from_millis(1_300));
        assert_eq!(at(-1, 500_000_000).since(at(-2, 0)), Duration::from_millis(1_500), "before the machine started");
        assert_eq!(at(5, 0).since(at(5, 1)), Duration::ZERO);
        assert!(at(5, 999_999_999) < at(6, 0));
    }

    /// On a machine that was suspended since its start no other clock says the same.
    #[test]
    fn it_is_the_clock_that_counts_what_a_machine_was_suspended_for() {
        let before = BootInstant(clock_gettime(ClockId::Boottime));
        let now = BootInstant::now();
        let after = BootInstant(clock_gettime(ClockId::Boottime));
        assert!(before <= now && now <= after, "{before:?} {now:?} {after:?}");
        let long_ago = BootInstant::ago(Duration::from_secs(3_600)).elapsed();
        assert!((3_600..3_660).contains(&long_ago.as_secs()), "{long_ago:?}");
    }
}
