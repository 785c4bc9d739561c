//! What `UNITS` carries about the intake, in its metadata. On the consumer it would not last: an older build writes that one without its
//! metadata when its intake begins, and keeps what a stream has.

use async_nats::jetstream::stream::{Config, Info};

/// Since when it is known that the consumer may have passed over changes.
pub(super) const PASSED_OVER: &str = "distribution.passed-over";
/// Up to which place the stream had nothing any more when it was brought back from keeping so many changes of each unit.
const SUPERSEDED_TO: &str = "distribution.superseded-to";

/// Up to this place of the stream no change is lost that was dropped. It keeps so many changes of each unit alone (`max_msgs_per_subject`), or
/// did until then, so a newer one of the same unit is behind each.
pub(super) fn superseded_to(units: &Config) -> u64 {
    if units.max_messages_per_subject > 0 {
        return u64::MAX;
    }
    units.metadata.get(SUPERSEDED_TO).and_then(|place| place.parse().ok()).unwrap_or_default()
}

/// What `UNITS` is to carry where it is about to be brought back from that.
pub(super) fn superseded(units: &Info) -> Option<(String, String)> {
    let is_set = units.config.max_messages_per_subject > 0;
    is_set.then(|| (SUPERSEDED_TO.to_owned(), units.state.first_sequence.saturating_sub(1).to_string()))
}
