//! Looks at credentials that nobody knows: each costs a query or the check of a signature. So an address pays for one before it is
//! made, and has it back where the credential is good: only what is refused counts.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Left, MANY, limited};
use crate::api::problem::Problem;

/// An empty bucket is full again after it.
const REFILL: Duration = Duration::from_secs(1);

/// The buckets.
#[derive(Debug)]
pub(in crate::api) struct Looks {
    buckets: Mutex<Buckets>,
    per_second: NonZeroU32,
    /// In which time one look comes back by itself.
    each: Duration,
}

#[derive(Debug)]
struct Buckets {
    /// When each of those that are not full is full again.
    full_at: HashMap<String, Instant>,
    /// So many are kept before those that are full again are forgotten.
    most: usize,
}

impl Looks {
    pub(super) fn new(per_second: NonZeroU32) -> Self {
        let each = (REFILL / per_second.get()).max(Duration::from_nanos(1));
        let buckets = Buckets { full_at: HashMap::new(), most: MANY };
        Self { buckets: Mutex::new(buckets), per_second, each }
    }

    /// Pays for a look, from the bucket of a place.
    pub(in crate::api) fn pay(&self, place: &str) -> Result<Left, Problem> {
        let now = Instant::now();
        let mut buckets = self.buckets();
        let full_at = buckets.full_at.get(place).map_or(now, |at| now.max(*at)) + self.each;
        let Some(room) = (now + REFILL).checked_duration_since(full_at) else {
            return Err(limited(self.per_second, full_at.saturating_duration_since(now + REFILL)));
        };
        buckets.forget_the_full(now);
        buckets.full_at.insert(place.to_owned(), full_at);
        let remaining = u32::try_from(room.as_nanos() / self.each.as_nanos()).unwrap_or(u32::MAX);
        Ok(Left { limit: self.per_second.get(), remaining })
    }

    /// Gives back what was paid.
    pub(in crate::api) fn give_back(&self, place: &str) {
        if let Some(full_at) = self.buckets().full_at.get_mut(place)
            && let Some(before) = full_at.checked_sub(self.each)
        {
            *full_at = before;
        }
    }

    fn buckets(&self) -> MutexGuard<'_, Buckets> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buckets {
    fn forget_the_full(&mut self, now: Instant) {
        if self.full_at.len() >= self.most {
            self.full_at.retain(|_, full_at| *full_at > now);
            // Where very many are not full, not each of them looks through all.
            self.most = MANY.max(2 * self.full_at.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(per_second: u32) -> Looks {
        Looks::new(NonZeroU32::new(per_second).unwrap())
    }

    #[test]
    fn a_place_pays_for_as_many_looks_as_it_has_and_no_other_place_does() {
        let looks = looks(3);
        for remaining in [2, 1, 0] {
            assert_eq!(looks.pay("a").unwrap().remaining, remaining);
        }
        let problem = looks.pay("a").unwrap_err();
        assert_eq!((problem.status, problem.retry_after_s), (429, Some(1)));
        assert_eq!(looks.pay("b").unwrap().remaining, 2);
    }

    #[test]
    fn what_is_given_back_can_be_paid_again_and_is_no_more_than_there_was() {
        let looks = looks(2);
        for _ in 0..10 {
            looks.pay("a").unwrap();
            looks.give_back("a");
        }
        looks.give_back("b");
        for place in ["a", "b"] {
            looks.pay(place).unwrap();
            looks.pay(place).unwrap();
            assert_eq!(looks.pay(place).unwrap_err().status, 429, "{place}");
        }
    }

    #[test]
    fn buckets_that_are_full_again_are_forgotten() {
        let looks = looks(4_000_000_000);
        for number in 0..3 * MANY {
            looks.pay(&number.to_string()).unwrap();
        }
        assert!(looks.buckets().full_at.len() <= MANY + 1, "{}", looks.buckets().full_at.len());
    }
}
