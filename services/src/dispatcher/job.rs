//! What a try works on, read from the journal: a stale row of the queue is harmless.

use std::fmt;

use adapters::dispatch::Lease;
use adapters::telemetry::keep;
use chrono::{DateTime, Utc};
use domain::listing::{ChannelListing, Link, LinkState, Pending, Silent};
use domain::metadata::{Actor, Metadata};
use domain::target::{Health, Lifecycle, Target};

use super::Shared;
use crate::commands::CommandError;

/// What a try works on.
pub(super) struct Job {
    pub link: Link,
    pub pending: Pending,
    pub listing: ChannelListing,
    pub target: Target,
    pub metadata: Metadata,
    /// Somebody had begun before, and nobody knows what was sent.
    pub takes_over: bool,
    /// What is known of that attempt.
    pub silent: Option<Silent>,
}

/// Why there is nothing to work on.
pub(super) enum NoJob {
    /// There is nothing to send.
    Nothing,
    /// Its next attempt is due at this time: the queue shows it as it was before the last one.
    NotYet(DateTime<Utc>),
    /// There is, but the listing or its target was paused, or refused, a moment ago.
    Held,
    /// The journal could not be asked.
    Unavailable(String),
    /// This build cannot read the events; a newer one may.
    Unreadable(String),
}

impl<E: fmt::Display> From<CommandError<E>> for NoJob {
    fn from(error: CommandError<E>) -> Self {
        match error {
            CommandError::Unreadable(error) => Self::Unreadable(error),
            other => Self::Unavailable(other.to_string()),
        }
    }
}

pub(super) async fn read(shared: &Shared, lease: Lease) -> Result<Job, NoJob> {
    // Together, as one statement loads both.
    let (listing, target) =
        tokio::join!(shared.commands.load_listing(lease.listing_id), shared.commands.load_target(lease.target_id));
    let listing = listing?;
    let (Some(link), Some(state), Some(pending)) = (listing.link(), listing.state(), listing.pending()) else {
        return Err(NoJob::Nothing);
    };
    if state != LinkState::Active {
        return Err(NoJob::Held);
    }
    let target =
        if link.target_id == lease.target_id { target } else { shared.commands.load_target(link.target_id).await };
    let target = target?;
    let Ok(target) = target.live() else { return Err(NoJob::Nothing) };
    if target.lifecycle != Lifecycle::Active || target.health == Health::Unauthorised {
        return Err(NoJob::Held);
    }
    // The queue lags, and marks of what is done run out, or were written by a build that lets them run out at once.
    if let Some(due) = pending.due_at.filter(|due| *due > Utc::now()) {
        return Err(NoJob::NotYet(due));
    }
    let traceparent = pending.origin.traceparent.clone();
    // A try before this one failed, here or elsewhere: what follows is kept, whatever the trace was meant to be.
    let traceparent = if pending.attempts > 0 { traceparent.map(keep) } else { traceparent };
    let metadata = Metadata {
        org_id: link.org_id.clone(),
        account_id: link.account_id.clone(),
        target_id: link.target_id,
        unit_id: Some(link.unit_id.clone()),
        actor: Actor::service("dispatcher"),
        correlation_id: pending.origin.correlation_id,
        causation_id: Some(pending.sync_id.0),
        traceparent,
        on_behalf_of: Some(pending.origin.requested_by.clone()),
        source: None,
    };
    let (link, pending, target) = (link.clone(), pending.clone(), target.clone());
    let Lease { takes_over, silent, .. } = lease;
    Ok(Job { link, pending, listing, target, metadata, takes_over, silent })
}
