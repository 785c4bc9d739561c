//! What a try works on, read from the journal: a stale row of the queue is harmless.

use adapters::dispatch::Lease;
use domain::listing::{ChannelListing, Link, LinkState, Pending};
use domain::metadata::{Actor, Metadata};
use domain::target::{Health, Lifecycle, Settings};

use super::Shared;
use crate::commands::CommandError;

/// What a try works on.
pub(super) struct Job {
    pub link: Link,
    pub pending: Pending,
    pub listing: ChannelListing,
    pub target: Settings,
    pub metadata: Metadata,
}

/// What the journal says of a leased listing.
pub(super) enum Found {
    /// There is something to send.
    Job(Box<Job>),
    /// There is nothing to send.
    Nothing,
    /// There is, but the listing or its target was paused, or refused, a moment ago.
    Held,
    /// This build cannot read its events; a newer one may.
    Unreadable(String),
}

pub(super) async fn read(shared: &Shared, lease: Lease) -> Result<Found, String> {
    let listing = match shared.commands.load_listing(lease.listing_id).await {
        Ok(listing) => listing,
        Err(CommandError::Unreadable(error)) => return Ok(Found::Unreadable(error)),
        Err(error) => return Err(error.to_string()),
    };
    let (Some(link), Some(state), Some(pending)) = (listing.link(), listing.state(), listing.pending()) else {
        return Ok(Found::Nothing);
    };
    if state != LinkState::Active {
        return Ok(Found::Held);
    }
    let target = match shared.commands.load_target(link.target_id).await {
        Ok(target) => target,
        Err(CommandError::Unreadable(error)) => return Ok(Found::Unreadable(error)),
        Err(error) => return Err(error.to_string()),
    };
    let Ok(settings) = target.live() else { return Ok(Found::Nothing) };
    if settings.lifecycle != Lifecycle::Active || settings.health == Health::Unauthorised {
        return Ok(Found::Held);
    }
    let metadata = Metadata {
        org_id: link.org_id.clone(),
        account_id: link.account_id.clone(),
        target_id: link.target_id,
        unit_id: Some(link.unit_id.clone()),
        actor: Actor::service("dispatcher"),
        correlation_id: pending.origin.correlation_id,
        causation_id: Some(pending.sync_id.0),
        traceparent: pending.origin.traceparent.clone(),
        on_behalf_of: Some(pending.origin.requested_by.clone()),
    };
    let (link, pending, target) = (link.clone(), pending.clone(), settings.clone());
    Ok(Found::Job(Box::new(Job { link, pending, listing, target, metadata })))
}
