//! A state of the past that somebody sent again: the channel is behind its unit on purpose, and nothing brings it up to date by
//! itself.

use chrono::{DateTime, Utc};
use domain::channel::{ChannelKind, Section};
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
use crate::syncing::{SyncError, Syncing};

/// A state of the past that the channel has, as somebody sent it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OlderState {
    /// The sync that sent it.
    pub sync_id: Uuid,
    /// The unit's revision in it.
    pub revision: u64,
    /// The sections that the channel took of it and that differ from the newest revision, most urgent first: those of a preview,
    /// without what the channel refused.
    pub sections: Vec<&'static str>,
    /// The newest revision of the unit.
    pub newest_revision: u64,
    /// Who sent it again.
    #[schema(example = "ops@example.org")]
    pub by: String,
    /// When that was asked for.
    pub at: DateTime<Utc>,
    /// Why.
    pub reason: String,
}

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

impl OlderState {
    /// That of a listing as it is now, where its newest request sent one. A request that failed after all is not to be asked about:
    /// what the channel has is that of another then. The newest state of the unit is read only where an older one was sent.
    pub async fn of(
        syncing: &Syncing,
        channel: ChannelKind,
        listing: &ChannelListing,
        asked: &Asked,
    ) -> Result<Option<Self>, SyncError> {
        let request = &asked.request;
        let Cause::Replayed { reason, .. } = &request.cause else { return Ok(None) };
        let is_linked = listing.state().is_some_and(|state| state != LinkState::Unlinked);
        let is_taken = listing.pending().is_none() && listing.accepted().snapshot == Some(request.snapshot);
        let is_older = request.revision < listing.last_revision();
        let Some(link) = listing.link().filter(|_| is_linked && is_taken && is_older) else { return Ok(None) };
        let newest = match syncing.mapped(link, channel, None).await {
            Ok(newest) => newest,
            // Without the newest state nobody can tell what differs.
            Err(SyncError::UnitUnknown(_) | SyncError::SnapshotUnknown(_) | SyncError::SnapshotUnusable(_)) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let accepted = &listing.accepted().sections;
        let is_of_it =
            |section: &Section| accepted.get(section).is_some_and(|hash| request.sections.get(section) == Some(hash));
        let sections: Vec<_> = newest.to_send(listing).into_iter().filter(is_of_it).map(Section::as_str).collect();
        Ok((!sections.is_empty()).then(|| Self {
            sync_id: request.sync_id.0,
            revision: request.revision,
            sections,
            newest_revision: newest.revision,
            by: asked.by.actor.name.clone(),
            at: asked.at,
            reason: reason.clone(),
        }))
    }

    /// In plain words.
    pub fn words(&self) -> String {
        format!(
            "The channel has {} as in revision {} of the unit, replayed by {} at {} ({}), while the newest is {}; the \
             next change of the unit, or a sync now, brings it up to date.",
            self.sections.join(", "),
            self.revision,
            self.by,
            moment(self.at),
            said(&self.reason),
            self.newest_revision
        )
    }
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
