//! Times in words for people: moments in UTC, spans in their two largest units.

use chrono::{DateTime, Utc};

/// A moment, to the second.
pub(super) fn moment(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// A moment that may not have come.
pub(super) fn optional_moment(at: Option<DateTime<Utc>>) -> String {
    at.map(moment).unwrap_or_default()
}

/// A span of whole seconds, e.g. `4m 10s`.
pub(super) fn span(seconds: i64) -> String {
    let s = seconds.max(0);
    match s {
        0..60 => format!("{s}s"),
        60..3_600 => format!("{}m {}s", s / 60, s % 60),
        3_600..86_400 => format!("{}h {}m", s / 3_600, s % 3_600 / 60),
        _ => format!("{}d {}h", s / 86_400, s % 86_400 / 3_600),
    }
}

/// How long something has lasted.
pub(super) fn since(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    span((now - at).num_seconds())
}

#[cfg(test)]
mod tests {
    use super::span;

    #[test]
    fn a_span_is_told_in_its_two_largest_units() {
        let told: Vec<String> = [-3, 0, 59, 60, 3_725, 90_000].into_iter().map(span).collect();
        assert_eq!(told, ["0s", "0s", "59s", "1m 0s", "1h 2m", "1d 1h"]);
    }
}
