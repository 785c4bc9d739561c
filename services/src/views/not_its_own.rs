//! A listing that has found or made something at the channel which is not known to be its own: that is not written to, and nothing else is
//! created for it. Whatever is sent next is refused in the same way until a person, or the one that holds it, has done something about it;
//! what that is, is said in the same words, whoever says it.

use domain::call::UNPROVED;
use domain::listing::{ChannelListing, Link};
use domain::outcome::SyncOutcome;

use crate::holders::{HELD, HELD_AT_ANOTHER_TARGET};

/// What was found or made there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotItsOwn {
    /// Whose it is, or that nobody knows.
    pub(super) because: String,
    /// What ends that without a person.
    unless: &'static str,
    /// What helps, in sentences.
    remedy: String,
}

impl NotItsOwn {
    /// `outcome` and `detail` are how its newest sync ended, where it has.
    pub fn of(listing: &ChannelListing, outcome: Option<&str>, detail: Option<&str>) -> Option<Self> {
        Self::unproved(listing).or_else(|| Self::held(listing, outcome, detail))
    }

    /// The same where a sync of it waits: nothing but the journal tells of the ones before.
    pub fn unproved(listing: &ChannelListing) -> Option<Self> {
        let Link { listing_id, target_id, unit_id, .. } = listing.link()?;
        let id = listing.unproved()?;
        Some(Self {
            because: format!("a creation of it was answered with {id}, and {UNPROVED}"),
            unless: "what is there proves it by then",
            remedy: format!(
                "Look at that one at the channel. Then `distribution listing unlink {listing_id}` and `distribution listing link \
                 --target {target_id} --unit {unit_id}`: with --external-id ID if it is its listing, else with --afresh, to have its own \
                 made. Over HTTP it is `DELETE /api/channels/listings/{listing_id}` with a reason, then `POST /api/channels/listings` \
                 with target_id, unit_id and external_id (or afresh)."
            ),
        })
    }

    /// Of a listing that was linked anew since, nothing was asked for yet.
    fn held(listing: &ChannelListing, outcome: Option<&str>, detail: Option<&str>) -> Option<Self> {
        let is_refused = outcome == Some(SyncOutcome::Rejected.as_str()) && listing.last_revision() > 0;
        let detail = detail.filter(|_| is_refused && listing.external_id().is_none())?;
        let Link { listing_id, .. } = listing.link()?;
        let (unless, first) = if detail.contains(HELD_AT_ANOTHER_TARGET) {
            (
                "that one has another id or is unlinked by then",
                "Ask whoever runs the service whose it is. Once that is settled",
            )
        } else {
            ("that one was sent before it, or one of the two is unlinked by then", "When that one has been sent")
        };
        Some(Self {
            because: holder(detail)?,
            unless,
            remedy: format!(
                "{first}: `distribution listing sync {listing_id} --reason REASON`. Over HTTP it is `POST \
                 /api/channels/listings/{listing_id}/sync` with a reason."
            ),
        })
    }

    /// Of whatever is sent next, in short sentences, the first of which goes on after a colon.
    pub fn words(&self, what: &str) -> String {
        let Self { because, unless, remedy } = self;
        format!("{because}. So {what} is refused in the same way, unless {unless}. {remedy}")
    }

    /// The same with what becomes of it.
    pub fn not_created(&self, what: &str) -> String {
        format!("It is not created: {}", self.words(what))
    }

    /// What helps.
    pub fn remedy(&self) -> &str {
        &self.remedy
    }
}

/// Whether words with which a sync ended are ours, of something that is not its own: the channel has refused nothing.
pub fn is_told(detail: Option<&str>) -> bool {
    detail.is_some_and(|detail| [UNPROVED, HELD, HELD_AT_ANOTHER_TARGET].iter().any(|words| detail.contains(words)))
}

/// `40001 at the channel is the listing of unit villa-0042 (its id)`, from the words with which a sync ended; without unit and id where it is
/// another target's.
fn holder(detail: &str) -> Option<String> {
    let external = |before: &str| before.split_whitespace().next_back().map(str::to_owned);
    if let Some((before, _)) = detail.split_once(HELD_AT_ANOTHER_TARGET) {
        return Some(format!("{} {HELD_AT_ANOTHER_TARGET}", external(before)?));
    }
    let (before, after) = detail.split_once(HELD)?;
    let external = external(before)?;
    let (whose, _) = after.split_once(')')?;
    Some(format!("{external} {HELD}{whose})"))
}

#[cfg(test)]
impl NotItsOwn {
    /// One for the tests of those who tell it.
    pub(super) fn because(because: &str) -> Self {
        Self { because: because.to_owned(), unless: "it is proved", remedy: "Look.".to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_it_is_told_without_what_was_to_be_done() {
        let whose = format!("40001 {HELD} villa-0042 (5c8e)");
        let detail = format!(
            "{whose}, though the channel shows the reference of this one on it, or gave it for what was made: nothing was sent to it"
        );
        assert_eq!(holder(&detail), Some(whose));
        let there = format!("40001 {HELD_AT_ANOTHER_TARGET}");
        let detail_there =
            format!("{there}, though the channel shows the reference of this one on it: nothing was sent to it");
        assert_eq!((holder(&detail_there), is_told(Some(&detail_there))), (Some(there), true));
        assert_eq!((holder("archived"), is_told(Some("archived")), is_told(Some(&detail))), (None, false, true));
    }
}
