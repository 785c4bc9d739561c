//! The worst window, exactly: the most arrivals in any half-open span. The maximum is always reached by a span that
//! starts at an arrival, so one pass with two pointers over the sorted times finds it.

use serde::Serialize;

/// The fullest span found, and where it starts (microseconds since the epoch, 0 when there was no arrival).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Worst {
    /// Arrivals inside the span.
    pub calls: usize,
    /// Time of its first arrival.
    pub starts_at_us: u64,
}

/// The most arrivals in any span `[t, t + window_us)`; `times_us` must be sorted.
pub fn worst_window(times_us: &[u64], window_us: u64) -> Worst {
    let mut worst = Worst::default();
    let mut end = 0;
    for (start, &first) in times_us.iter().enumerate() {
        while times_us.get(end).is_some_and(|&at| at < first.saturating_add(window_us)) {
            end += 1;
        }
        if end - start > worst.calls {
            worst = Worst { calls: end - start, starts_at_us: first };
        }
    }
    worst
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_half_open() {
        assert_eq!(worst_window(&[0, 10], 10), Worst { calls: 1, starts_at_us: 0 });
        assert_eq!(worst_window(&[0, 9, 18], 10), Worst { calls: 2, starts_at_us: 0 });
        assert_eq!(worst_window(&[], 10), Worst::default());
    }

    #[test]
    fn agrees_with_counting_every_span() {
        let mut times: Vec<u64> = (0..400_u64).map(|i| (i * 7919) % 3001).collect();
        times.sort_unstable();
        for window in [1, 13, 250, 5000] {
            let slow = times.iter().map(|t| times.iter().filter(|o| *o >= t && **o < t + window).count()).max();
            assert_eq!(Some(worst_window(&times, window).calls), slow);
        }
    }
}
