//! Arrivals at the channel, and what can be read out of them: the fullest window and how much of a budget was used.

use std::collections::BTreeMap;

use anyhow::Context as _;

/// A call as the channel saw it.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// Microseconds since the epoch.
    pub at_us: u64,
    /// The account whose token it carried.
    pub account: u32,
    /// The listing, 0 for none.
    pub listing: u64,
    /// `w` for the write of a listing.
    pub kind: char,
}

/// Reads the channel's lines, oldest first.
pub fn read(text: &str) -> anyhow::Result<Vec<Arrival>> {
    let line = |line: &str| {
        let mut fields = line.split(' ');
        Some(Arrival {
            at_us: fields.next()?.parse().ok()?,
            account: fields.next()?.parse().ok()?,
            listing: fields.next()?.parse().ok()?,
            kind: fields.next()?.chars().next()?,
        })
    };
    let arrivals = text.lines().map(line).collect::<Option<Vec<_>>>();
    let mut arrivals = arrivals.context("the channel gave a line that is no arrival")?;
    arrivals.sort_by_key(|arrival| arrival.at_us);
    Ok(arrivals)
}

/// The times of each account, in order.
pub fn by_account(arrivals: &[Arrival]) -> BTreeMap<u32, Vec<u64>> {
    let mut times: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    for arrival in arrivals {
        times.entry(arrival.account).or_default().push(arrival.at_us);
    }
    times
}

/// The most arrivals in any half-open span of that length. A fullest span begins at an arrival, so two pointers do.
pub fn worst_window(times: &[u64], window_us: u64) -> usize {
    let mut end = 0;
    let inside = times.iter().enumerate().map(|(start, first)| {
        while times.get(end).is_some_and(|at| *at < first + window_us) {
            end += 1;
        }
        end - start
    });
    inside.max().unwrap_or(0)
}

/// The gaps between a call and the n-th after it: a budget of n in a window that is used to the full has gaps of
/// exactly a window.
pub fn gaps(times: &[u64], limit: usize) -> Vec<u64> {
    times.iter().zip(times.iter().skip(limit)).map(|(one, later)| later - one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_half_open() {
        assert_eq!(worst_window(&[0, 10], 10), 1);
        assert_eq!(worst_window(&[0, 9, 18], 10), 2);
        assert_eq!(worst_window(&[], 10), 0);
    }

    #[test]
    fn gaps_are_those_of_one_slot() {
        assert_eq!(gaps(&[0, 1, 10, 12], 2), vec![10, 11]);
    }
}
