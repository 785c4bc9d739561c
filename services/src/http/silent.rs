//! Connections on which no whole head of a request has come yet. Where there is no room for another connection the oldest of them goes: who
//! opens thousands and says nothing keeps nobody else out.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

/// Whoever has just come has so long to say something, whatever waits for a place.
const FIRST_WORD: Duration = Duration::from_millis(250);

/// All of them, in the order in which they came.
#[derive(Debug, Clone, Default)]
pub(super) struct Silent(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    next: u64,
    by_age: BTreeMap<u64, (Instant, CancellationToken)>,
}

impl Silent {
    /// One that has just come.
    pub(super) fn add(&self) -> Newcomer {
        let closed = CancellationToken::new();
        let mut known = self.known();
        let number = known.next;
        known.next += 1;
        known.by_age.insert(number, (Instant::now(), closed.clone()));
        Newcomer { silent: self.clone(), number, spoke: AtomicBool::new(false), closed }
    }

    /// Closes the oldest, where there is one. Gives how long that has to wait, where it has come just now.
    pub(super) fn close_oldest(&self) -> Option<Duration> {
        let mut known = self.known();
        let oldest = known.by_age.first_entry()?;
        let rest = FIRST_WORD.saturating_sub(oldest.get().0.elapsed());
        if !rest.is_zero() {
            return Some(rest);
        }
        let (_, closed) = oldest.remove();
        closed.cancel();
        None
    }

    /// Gives whether it was still among them.
    fn forget(&self, number: u64) -> bool {
        self.known().by_age.remove(&number).is_some()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection, from its beginning on.
#[derive(Debug)]
pub(super) struct Newcomer {
    silent: Silent,
    number: u64,
    spoke: AtomicBool,
    closed: CancellationToken,
}

impl Newcomer {
    /// A request has come on it. Gives whether it stays: on one that is just being closed nothing is to begin any more.
    pub(super) fn speaks(&self) -> bool {
        if self.spoke.load(Ordering::Relaxed) {
            return true;
        }
        let stays = self.silent.forget(self.number);
        self.spoke.store(stays, Ordering::Relaxed);
        stays
    }

    /// Whether a request has come on it.
    pub(super) fn has_spoken(&self) -> bool {
        self.spoke.load(Ordering::Relaxed)
    }

    /// Returns when it is to make room.
    pub(super) async fn closed(&self) {
        self.closed.cancelled().await;
    }
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        if !self.spoke.load(Ordering::Relaxed) {
            self.silent.forget(self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_that_has_said_nothing_goes_and_who_has_spoken_stays() {
        let silent = Silent::default();
        let (first, second, third) = (silent.add(), silent.add(), silent.add());
        assert!(first.speaks());
        let rest = silent.close_oldest().expect("they have just come");
        assert!(rest <= FIRST_WORD);
        std::thread::sleep(rest);
        assert_eq!(silent.close_oldest(), None);
        assert_eq!([&first, &second, &third].map(|one| one.closed.is_cancelled()), [false, true, false]);
        assert!(!second.speaks(), "its request comes too late");
        drop(third);
        silent.close_oldest();
        assert!(first.speaks() && silent.known().by_age.is_empty());
    }
}
