//! How much of a time a process could use.

use crate::world::Disturbance;

/// How much of a time nothing disturbed, in microseconds.
pub(super) fn undisturbed_us(from_us: u64, to_us: u64, disturbances: &[Disturbance]) -> u64 {
    let mut spans: Vec<(u64, u64)> = disturbances
        .iter()
        .map(|one| (one.began_us.max(from_us), one.ended_us.min(to_us)))
        .filter(|(began, ended)| began < ended)
        .collect();
    spans.sort_unstable();
    let (mut at, mut undisturbed) = (from_us, 0);
    for (began, ended) in spans {
        undisturbed += began.saturating_sub(at);
        at = at.max(ended);
    }
    undisturbed + to_us.saturating_sub(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_in_which_something_was_broken_does_not_count() {
        let span = |began_us, ended_us| Disturbance { who: None, began_us, ended_us };
        assert_eq!(undisturbed_us(10, 100, &[]), 90);
        assert_eq!(undisturbed_us(10, 100, &[span(90, 200), span(20, 40), span(30, 50), span(0, 5)]), 50);
        assert_eq!(undisturbed_us(10, 100, &[span(0, 200)]), 0);
    }
}
