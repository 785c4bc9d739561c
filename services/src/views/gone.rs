//! A listing that the newest of its syncs that has ended found gone at the channel: whatever is sent next is refused in the same way unless it
//! is there again by then. That, and what helps, is said in the same short sentences, whoever says it.

use std::fmt::Display;

use domain::call::LISTING_GONE;
use domain::outcome::SyncOutcome;

/// One that was found gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    listing: String,
    remedy: String,
}

impl Gone {
    /// What is linked as these.
    pub fn of(listing: &dyn Display, target: &dyn Display, unit: &dyn Display) -> Self {
        Self { listing: listing.to_string(), remedy: remedy(listing, target, unit) }
    }

    /// Of `what` is sent next.
    pub fn words(&self, what: &str) -> String {
        self.told("It is gone at the channel", what)
    }

    /// The same where `how` tells that it is gone.
    pub fn told(&self, how: &str, what: &str) -> String {
        let Self { listing, remedy } = self;
        format!(
            "{how}. So {what} is refused in the same way, unless it is there again by then: `distribution listing drift {listing}` \
             tells that. If it is gone for good: {remedy}"
        )
    }
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
         /api/channels/listings/{listing}` with a reason, then `POST /api/channels/listings` with target_id, unit_id and \
         afresh (or external_id)."
    )
}
