//! When a refused call may be made again. `X-RateLimit-Retry-After` is a Unix time on the channel's clock, not a delay,
//! so it is read against the answer's own `Date`: our clock may be wrong by more than a window.

use chrono::{DateTime, TimeDelta, Utc};
use domain::port::ThrottledScope;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

use super::failure::Throttle;

/// A refusal without a wait would be met again at once, for ever.
const SHORTEST: TimeDelta = TimeDelta::seconds(1);
/// Nobody is held for longer, whatever a header says.
const LONGEST: TimeDelta = TimeDelta::minutes(10);
/// One whole window, where no header says anything usable.
const DEFAULT: TimeDelta = TimeDelta::seconds(10);
/// Unix times are above this; what is below is a delay in seconds (2001-09-09).
const SMALLEST_EPOCH_S: i64 = 1_000_000_000;

/// The limit that a 429 names.
pub(super) fn throttle(headers: &HeaderMap, now: DateTime<Utc>) -> Throttle {
    let applied = text(headers, "x-ratelimit-applied").unwrap_or_default();
    let scope = if applied.eq_ignore_ascii_case("ip") { ThrottledScope::Egress } else { ThrottledScope::Account };
    let wait = rate_limit_wait(headers, now).or_else(|| retry_after(headers)).unwrap_or(DEFAULT);
    Throttle { scope, until: now + wait.clamp(SHORTEST, LONGEST) }
}

/// The floor that a 5xx sets by `Retry-After`, UTC.
pub(super) fn not_before(headers: &HeaderMap, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    Some(now + retry_after(headers)?.min(LONGEST))
}

fn rate_limit_wait(headers: &HeaderMap, now: DateTime<Utc>) -> Option<TimeDelta> {
    let value: i64 = text(headers, "x-ratelimit-retry-after")?.parse().ok()?;
    if value < SMALLEST_EPOCH_S {
        return seconds(value);
    }
    let their_now = text(headers, DATE.as_str()).and_then(|date| DateTime::parse_from_rfc2822(date).ok());
    let their_now = their_now.map_or(now, |date| date.with_timezone(&Utc));
    // A time that is past by their own clock tells nothing.
    Some(DateTime::from_timestamp(value, 0)? - their_now).filter(|wait| *wait >= TimeDelta::zero())
}

fn retry_after(headers: &HeaderMap) -> Option<TimeDelta> {
    seconds(text(headers, RETRY_AFTER.as_str())?.parse().ok()?)
}

fn seconds(value: i64) -> Option<TimeDelta> {
    if value < 0 { None } else { TimeDelta::try_seconds(value) }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait_s(headers: &[(&'static str, &'static str)]) -> i64 {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let headers = headers.iter().map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap())).collect();
        (throttle(&headers, now).until - now).num_seconds()
    }

    #[test]
    fn the_epoch_is_read_against_the_channels_own_clock() {
        // Fri, 15 Jan 2027 07:30:00 GMT is half an hour before our clock says.
        let date = ("date", "Fri, 15 Jan 2027 07:30:00 GMT");
        assert_eq!(wait_s(&[("x-ratelimit-retry-after", "1799998207"), date]), 7);
        assert_eq!(wait_s(&[("x-ratelimit-retry-after", "1800000007")]), 7);
    }

    #[test]
    fn nonsense_neither_holds_for_ever_nor_lets_through() {
        assert_eq!(wait_s(&[("x-ratelimit-retry-after", "9000000000")]), 600);
        assert_eq!(wait_s(&[("x-ratelimit-retry-after", "1700000000")]), 10);
        assert_eq!(wait_s(&[("x-ratelimit-retry-after", "1700000000"), ("retry-after", "3")]), 3);
        assert_eq!(wait_s(&[("x-ratelimit-retry-after", "soon"), ("retry-after", "-1")]), 10);
        assert_eq!(wait_s(&[("x-ratelimit-retry-after", "4")]), 4);
        assert_eq!(wait_s(&[("x-ratelimit-retry-after", "0")]), 1);
        assert_eq!(wait_s(&[("retry-after", "0")]), 1);
        assert_eq!(wait_s(&[]), 10);
    }
}
