//! Which attempt of a sync is next, or under way: one number, wherever it is told. Five may be burned; a rate limit and refused
//! credentials burn none, so that the attempt after a 429 has the number of the one before it.

use domain::retry::RetryPolicy;

/// The attempt that follows so many that were burned.
pub fn next(burned: u32) -> u32 {
    burned.saturating_add(1)
}

/// The same of a row `q` of `sync_queue`, whose `tries` count those that burned none, too.
pub const NEXT: &str =
    "coalesce((SELECT a.attempts FROM outbound_audit AS a WHERE a.sync_id = q.sync_id), 0) + 1 AS attempt";

/// It in words, with how many there are.
pub fn words(attempt: i32) -> String {
    format!("{attempt} of {}", RetryPolicy::default().max_attempts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_burned_none_is_tried_again_by_the_same_number() {
        assert_eq!((next(0), next(1)), (1, 2));
        assert_eq!(words(1), "1 of 5");
    }
}
