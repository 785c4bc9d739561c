//! A state of the past that somebody sent again: the channel is behind its unit on purpose, and nothing brings it up to date by
//! itself.

use chrono::{DateTime, Utc};
use domain::ids::ListingId;
use domain::listing::{Cause, ChannelListing, LinkState, ListingEvent, SyncRequest};
use domain::metadata::Metadata;
use domain::recorded::{ChannelEvent, Recorded};
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::history::{LISTING, NoHistory, newest_of_types};
use super::moment::moment;
use super::said::said;

/// A state of the past that the channel has, as somebody sent it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OlderState {
    /// The sync that sent it.
    pub sync_id: Uuid,
    /// The unit's revision in it.
    pub revision: u64,
    /// The newest revision of the unit that was taken.
    pub newest_revision: u64,
    /// Who sent it again.
    #[schema(example = "ops@example.org")]
    pub by: String,
    /// When that was asked for.
    pub at: DateTime<Utc>,
    /// Why.
    pub reason: String,
}

impl OlderState {
    /// That of a listing as it is now, where its newest request, of which this is who asked and when, sent one. A request that
    /// failed after all is not to be asked about: what the channel has is that of another then.
    pub fn of(listing: &ChannelListing, newest: &SyncRequest, by: &Metadata, at: DateTime<Utc>) -> Option<Self> {
        let Cause::Replayed { reason, .. } = &newest.cause else { return None };
        let is_linked = listing.state().is_some_and(|state| state != LinkState::Unlinked);
        let is_taken = listing.pending().is_none() && listing.accepted().snapshot == Some(newest.snapshot);
        let newest_revision = listing.last_revision();
        (is_linked && is_taken && newest.revision < newest_revision).then(|| Self {
            sync_id: newest.sync_id.0,
            revision: newest.revision,
            newest_revision,
            by: by.actor.name.clone(),
            at,
            reason: reason.clone(),
        })
    }

    /// In plain words.
    pub fn words(&self) -> String {
        format!(
            "The channel has revision {} of the unit, replayed by {} at {} ({}), while the newest is {}; the next \
             change of the unit, or a sync now, brings it up to date.",
            self.revision,
            self.by,
            moment(self.at),
            said(&self.reason),
            self.newest_revision
        )
    }
}

/// That of a listing as it is now, whose last sync succeeded.
pub async fn read(
    connection: &mut PgConnection,
    id: ListingId,
    listing: &ChannelListing,
) -> Result<Option<OlderState>, NoHistory> {
    let newest = newest_of_types(connection, LISTING, id.0, &["SyncRequested", "SyncSkipped"]).await?;
    let Some(Recorded { event: ChannelEvent::Listing(event), metadata, recorded_at, .. }) = newest else {
        return Ok(None);
    };
    let (ListingEvent::SyncRequested { request, .. } | ListingEvent::SyncSkipped { request }) = &*event else {
        return Ok(None);
    };
    Ok(OlderState::of(listing, request, &metadata, recorded_at))
}
