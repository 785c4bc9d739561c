//! A listing that the newest of its syncs that has ended found gone at the channel: whatever is sent next is refused in the same way unless it
//! is there again by then. That, and what helps, is said in the same short sentences, whoever says it.

use std::fmt::Display;

use domain::call::LISTING_GONE;
use domain::outcome::SyncOutcome;

/// Of `what` is sent next. `remedy` is what helps.
pub fn words(what: &str, remedy: &str) -> String {
    told("It is gone at the channel", what, remedy)
}

/// The same where `how` tells that it is gone.
pub fn told(how: &str, what: &str, remedy: &str) -> String {
    format!(
        "{how}. So {what} is refused in the same way, unless it is there again by then: `distribution listing drift` tells that. \
         If it is gone for good: {remedy}"
    )
}

/// Whether a sync that ended so found its listing gone.
pub fn is_gone(outcome: Option<&str>, detail: Option<&str>) -> bool {
    outcome == Some(SyncOutcome::Rejected.as_str()) && detail.is_some_and(|detail| detail.contains(LISTING_GONE))
}

/// What helps, in sentences: no sync does, as what is not there cannot be changed, and to make it again is a decision.
pub fn remedy(listing: &dyn Display, target: &dyn Display, unit: &dyn Display) -> String {
    format!(
        "`distribution listing unlink {listing}`, then `distribution listing link --target {target} --unit {unit} --afresh` has it \
         looked for and made. Where it is another one by now, --external-id ID names that instead. Over HTTP it is `DELETE \
         /api/channels/listings/{listing}`, then `POST /api/channels/listings` with afresh or external_id."
    )
}
