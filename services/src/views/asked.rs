//! The newest request of a listing, and whether the channel took it. What the channel has instead of what was asked for is told of
//! such a listing alone, at every door.

use chrono::{DateTime, Utc};
use domain::channel::ChannelKind;
use domain::ids::ListingId;
use domain::listing::{ChannelListing, LinkState, ListingEvent, SyncRequest};
use domain::metadata::Metadata;
use domain::outcome::SyncOutcome;
use domain::recorded::{ChannelEvent, Recorded};
use domain::target::{Lifecycle, Target};
use sqlx::PgConnection;

use super::history::{LISTING, NoHistory, newest_of_types};

/// The newest request of a listing.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// What was asked for.
    pub request: SyncRequest,
    /// By whom.
    pub by: Metadata,
    /// When, UTC.
    pub at: DateTime<Utc>,
}

/// The newest request of a listing; `None` where there never was one.
pub async fn newest_request(connection: &mut PgConnection, id: ListingId) -> Result<Option<Asked>, NoHistory> {
    let newest = newest_of_types(connection, LISTING, id.0, &["SyncRequested", "SyncSkipped"]).await?;
    let Some(Recorded { event: ChannelEvent::Listing(event), metadata, recorded_at, .. }) = newest else {
        return Ok(None);
    };
    let (ListingEvent::SyncRequested { request, .. } | ListingEvent::SyncSkipped { request }) = *event else {
        return Ok(None);
    };
    Ok(Some(Asked { request, by: metadata, at: recorded_at }))
}

/// A linked listing whose newest request succeeded, on a target that is there.
#[derive(Debug, Clone, Copy)]
pub struct Taken<'a> {
    /// As it is now.
    pub(super) listing: &'a ChannelListing,
    pub(super) channel: ChannelKind,
    pub(super) asked: &'a Asked,
}

impl<'a> Taken<'a> {
    /// `outcome` is how the request ended, where it has. Of one that failed the channel has what it took before, and what a deleted
    /// target has is nobody's any more.
    pub fn of(
        listing: &'a ChannelListing,
        target: &Target,
        asked: &'a Asked,
        outcome: Option<SyncOutcome>,
    ) -> Option<Self> {
        let is_there = target.lifecycle != Lifecycle::Deleted;
        let is_linked = listing.state().is_some_and(|state| state != LinkState::Unlinked);
        let succeeded = listing.pending().is_none() && outcome.is_some_and(SyncOutcome::succeeded);
        // A new link starts over.
        let is_last = listing.accepted().snapshot == Some(asked.request.snapshot);
        (is_there && is_linked && succeeded && is_last).then_some(Self { listing, channel: target.channel, asked })
    }
}
