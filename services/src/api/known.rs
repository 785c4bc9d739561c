//! Credentials that were good a moment ago, by their hashes, and whose they are. To be known lets nobody in: it says whose bucket a
//! request is counted in before its credential is looked at.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Hash of a credential.
pub(super) type Print = [u8; 32];

/// One that is used again within so long stays known: a session ends after as long without a request.
const AGE: Duration = Duration::from_secs(30 * 60);
/// So many become known before the earlier ones are forgotten.
const MANY: usize = 50_000;

/// Those that are known.
#[derive(Debug)]
pub(super) struct Known(Mutex<Generations>);

/// Two generations, of which the older one goes as a whole.
#[derive(Debug)]
struct Generations {
    newer: HashMap<Print, Arc<str>>,
    older: HashMap<Print, Arc<str>>,
    since: Instant,
}

impl Default for Known {
    fn default() -> Self {
        Self(Mutex::new(Generations { newer: HashMap::new(), older: HashMap::new(), since: Instant::now() }))
    }
}

impl Known {
    /// Whose it was, where it was good.
    pub(super) fn caller(&self, print: &Print) -> Option<Arc<str>> {
        let known = self.known();
        known.newer.get(print).or_else(|| known.older.get(print)).cloned()
    }

    /// It was good just now.
    pub(super) fn note(&self, print: Print, caller: Arc<str>) {
        let mut known = self.known();
        if known.newer.len() >= MANY || known.since.elapsed() >= AGE {
            known.older = std::mem::take(&mut known.newer);
            known.since = Instant::now();
        }
        known.newer.insert(print, caller);
    }

    /// It is good no more.
    pub(super) fn forget(&self, print: &Print) {
        let mut known = self.known();
        known.newer.remove(print);
        known.older.remove(print);
    }

    fn known(&self) -> MutexGuard<'_, Generations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(number: usize) -> Print {
        let mut print = [0; 32];
        print[..8].copy_from_slice(&number.to_be_bytes());
        print
    }

    #[test]
    fn what_is_used_again_stays_known_however_many_come_and_no_more_than_so_many_are_kept() {
        let (known, caller): (_, Arc<str>) = (Known::default(), "sunstay ana".into());
        for number in 0..5 * MANY {
            known.note(print(number), caller.clone());
            if number % 1_000 == 0 {
                assert_eq!(known.caller(&print(0)).as_deref(), Some("sunstay ana"), "{number}");
                known.note(print(0), caller.clone());
            }
        }
        assert!(known.caller(&print(1)).is_none());
        let kept = known.known();
        assert!(kept.newer.len() + kept.older.len() <= 2 * MANY + 1);
    }

    #[test]
    fn what_is_good_no_more_is_forgotten() {
        let known = Known::default();
        known.note(print(1), "sunstay ana".into());
        known.forget(&print(1));
        assert_eq!(known.caller(&print(1)), None);
    }
}
