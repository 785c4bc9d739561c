//! What waits of a listing by the journal while the queue shows another sync of it, or none: the read models are behind, and what they show is
//! the opposite of what comes next.

use chrono::{DateTime, Utc};
use domain::listing::{ChannelListing, Pending};
use maud::{Markup, html};
use uuid::Uuid;

use super::known::Known;
use crate::dashboard::pieces::{moment, state, sync_link, told};
use crate::views::attempts;
use crate::views::explain::next::{Next, of_pending};
use crate::views::explain::now;
use crate::views::holds::Holds;
use crate::views::listings::Listing;

/// Of what the queue does not show.
const UNSEEN: &str = "not shown yet";

/// What the queue does not show.
pub(super) enum Unseen<'a> {
    /// This one waits, and that is next for it, as an explanation says.
    Waits(&'a Pending, Next),
    /// Nothing waits any more. The read models lack what has happened since.
    Ended(DateTime<Utc>),
}

/// `queued` is the sync that the queue shows, `row` where that stands; `None` where that is what waits. For a moment the read models are always
/// behind: then it is not told that what they show has ended.
pub(super) fn unseen<'a>(
    known: &'a Known,
    queued: Option<Uuid>,
    holds: &Holds,
    row: Option<&now::Waiting>,
) -> Option<Unseen<'a>> {
    let Some(pending) = known.journal.pending() else {
        return known.lag_since.filter(|_| queued.is_some()).map(Unseen::Ended);
    };
    if queued == Some(pending.sync_id.0) || known.target.live().is_err() {
        return None;
    }
    let held = holds.words_beside(known.circuit.as_ref());
    Some(Unseen::Waits(pending, of_pending(&known.journal, pending, held, row, |_| None, known.lag_since)))
}

impl Unseen<'_> {
    pub(super) fn show(&self) -> Markup {
        match self {
            Self::Waits(pending, next) => {
                let attempt = attempts::words(i32::try_from(next.attempt.unwrap_or(1)).unwrap_or(i32::MAX));
                html! {
                    p {
                        (state(UNSEEN)) " " (told(&format!("Attempt {attempt}: {}.", next.brief())))
                        @for sentences in &next.what_to_do { " " (told(sentences)) }
                    }
                    p.quiet { "Sync " (sync_link(pending.sync_id.0)) " of revision " (pending.revision) }
                }
            }
            Self::Ended(since) => html! {
                p { (state(UNSEEN)) " Nothing of it waits any more. How its sync ended, the read models do not show yet: they lack what has happened since "
                    (moment(*since)) "." }
            },
        }
    }
}

/// The revision that was asked for last, where the read model shows the request before.
pub(super) fn revision(listing: &Listing, journal: &ChannelListing) -> Option<i64> {
    let pending = journal.pending().filter(|pending| listing.pending_sync_id != Some(pending.sync_id.0))?;
    i64::try_from(pending.revision).ok()
}
