//! What waits of a listing by the journal while the queue shows another sync of it, or none: the read models are behind, and what they show is
//! the opposite of what comes next.

use chrono::{DateTime, Utc};
use domain::ids::{ListingId, TargetId};
use domain::listing::{ChannelListing, Pending};
use maud::{Markup, html};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::api::Api;
use crate::api::problem::Problem;
use crate::dashboard::pieces::{moment, state, sync_link, told};
use crate::views::attempts;
use crate::views::circuit;
use crate::views::explain::next::{Next, of_pending};
use crate::views::explain::now;
use crate::views::holds;
use crate::views::listings::Listing;
use crate::views::read_model_lag;

/// Of what the queue does not show.
const UNSEEN: &str = "not shown yet";

/// What the queue does not show.
pub(super) enum Unseen<'a> {
    /// This one waits, and that is next for it, as an explanation says.
    Waits(&'a Pending, Next),
    /// Nothing waits any more. The read models lack what has happened since.
    Ended(DateTime<Utc>),
}

/// `journal` is the listing as it is there, `queued` the sync that the queue shows; `None` where that is what waits. For a moment the read models
/// are always behind: then it is not told that what they show has ended.
pub(super) async fn unseen<'a>(
    api: &Api,
    reader: &mut PgConnection,
    listing: &Listing,
    journal: &'a ChannelListing,
    queued: Option<Uuid>,
) -> Result<Option<Unseen<'a>>, Problem> {
    let (id, target_id) = (ListingId(listing.listing_id), TargetId(listing.target_id));
    let Some(pending) = journal.pending() else {
        let since = if queued.is_some() { read_model_lag::since(api.pool()).await? } else { None };
        return Ok(since.map(Unseen::Ended));
    };
    if queued == Some(pending.sync_id.0) {
        return Ok(None);
    }
    let target = api.syncing().commands().load_target(target_id).await?;
    let Ok(target) = target.live() else { return Ok(None) };
    let row = match now::now(&mut *reader, id, target).await? {
        Some(row) => Some(row.completed(api.pool(), target_id).await?),
        None => None,
    };
    let circuit = circuit::open(api.pool(), target_id).await?;
    let held = holds::of(reader, id, target_id).await?.words_beside(circuit.as_ref());
    let lag_since = read_model_lag::since(api.pool()).await?;
    let next = of_pending(journal, pending, held, row.as_ref(), |_| None, lag_since);
    Ok(Some(Unseen::Waits(pending, next)))
}

impl Unseen<'_> {
    pub(super) fn show(&self) -> Markup {
        match self {
            Self::Waits(pending, next) => {
                let attempt = attempts::words(i32::try_from(next.attempt.unwrap_or(1)).unwrap_or(i32::MAX));
                html! {
                    p { (state(UNSEEN)) " " (told(&format!("Attempt {attempt}: {}.", next.brief()))) }
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
