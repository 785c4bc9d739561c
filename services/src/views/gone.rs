//! A listing that its last sync found gone at the channel: whatever is sent next is refused in the same way unless it is there again by
//! then, and what helps is said in one sentence, whoever says it.

use std::fmt::Display;

use domain::call::LISTING_GONE;
use domain::outcome::SyncOutcome;

/// What becomes of whatever is sent next, said before what helps.
pub const UNLESS_BACK: &str = "is refused in the same way unless it is there again by then, which `distribution listing drift` \
                               tells; if it is gone for good";

/// Of `what` is sent next. `remedy` is what helps.
pub fn words(what: &str, remedy: &str) -> String {
    format!("It is gone at the channel, where {what} {UNLESS_BACK}: {remedy}.")
}

/// Whether a sync that ended so found its listing gone.
pub fn is_gone(outcome: Option<&str>, detail: Option<&str>) -> bool {
    outcome == Some(SyncOutcome::Rejected.as_str()) && detail.is_some_and(|detail| detail.contains(LISTING_GONE))
}

/// What helps: no sync does, as what is not there cannot be changed, and to make it again is a decision.
pub fn remedy(listing: &dyn Display, target: &dyn Display, unit: &dyn Display) -> String {
    format!(
        "`distribution listing unlink {listing}`, then `distribution listing link --target {target} --unit {unit} --afresh` has it \
         looked for and made; --external-id ID instead where it is another one; over HTTP it is `DELETE \
         /api/channels/listings/{listing}`, then `POST /api/channels/listings` with afresh or external_id"
    )
}
