//! An attempt that is told after a newer job of its listing has ended: its holder was frozen, or cut off, until others had the listing.
//! What it sent may have arrived last. The journal doubts what of it was written (`domain/src/listing/state.rs`); here what the
//! channel took last is sent once more, so that nobody has to find that out.

use adapters::units::UnitStore;
use domain::listing::LinkState;
use domain::metadata::Actor;
use domain::recorded::Position;
use uuid::Uuid;

use super::Shared;
use super::job::Job;
use crate::commands::{AskedBy, CommandError};
use crate::syncing::{SyncError, Syncing};

const REASON: &str = "an older attempt ended after a newer one, and may have arrived last";
/// As often as it is asked for while others change the listing.
const TRIES: usize = 5;

/// Asks for it, where it is needed. What cannot be asked for now stays as it is until the next change of the unit.
pub(super) async fn send_again(shared: &Shared, job: &Job) {
    let (listing_id, ordinal) = (job.link.listing_id, job.pending.ordinal);
    // Next to no attempt is, and each asks: what this process has just recorded is looked at where it is.
    if shared.commands.listing_at_hand(listing_id, |listing| listing.is_overtaken(ordinal)) == Some(false) {
        return;
    }
    for _ in 0..TRIES {
        match ask(shared, job).await {
            // Something newer came in between, and may be what the channel is to have.
            Err(SyncError::Listing(error)) if matches!(*error, CommandError::Moved { .. }) => {}
            Ok(None) => return,
            Ok(Some(_)) => {
                tracing::warn!(%listing_id, "{REASON}; what the channel took last is sent once more");
                return;
            }
            Err(error) => {
                tracing::error!(%listing_id, %error, "{REASON}, and what the channel took last is not sent again");
                return;
            }
        }
    }
    tracing::error!(%listing_id, "{REASON}, and the listing changes too often to send again what the channel took last");
}

/// Asks once, of the listing as it is now; `None` where nothing has to be sent.
async fn ask(shared: &Shared, job: &Job) -> Result<Option<Position>, SyncError> {
    let (listing_id, ordinal) = (job.link.listing_id, job.pending.ordinal);
    let (now, version) = shared.commands.load_listing_at(listing_id).await?;
    if !now.is_overtaken(ordinal) || now.state() == Some(LinkState::Unlinked) {
        return Ok(None);
    }
    let (Some(link), Some(snapshot)) = (now.link(), now.accepted().snapshot) else { return Ok(None) };
    let payload = shared.payloads.of_snapshot(job.target.channel, snapshot, link).await;
    if payload.is_ok_and(|payload| now.to_send(&payload.hashes()).is_empty()) {
        return Ok(None);
    }
    let asked = AskedBy {
        actor: Actor::service("dispatcher"),
        correlation_id: job.metadata.correlation_id,
        // Once for each attempt, however often it is told.
        causation_id: Some(Uuid::new_v5(&job.pending.sync_id.0, b"overtaken")),
        traceparent: job.metadata.traceparent.clone(),
    };
    let units = UnitStore::new(shared.commands.journal().pool().clone());
    let syncing = Syncing::new(shared.commands.clone(), units, shared.payloads.clone());
    syncing.resend_at(listing_id, version, snapshot, REASON.to_owned(), asked).await
}
