//! What is sent once more, so that nobody has to find out that it should be: after an attempt whose calls may be the last that the channel
//! got, while the journal believes otherwise.
//!
//! One such attempt was under way while others had its listing: its holder was frozen, or cut off. What it sent may have arrived last,
//! whether it is told after the newer job has ended or while somebody is still at work on that. The journal knows which sections are
//! contested so (`domain/src/listing/overlap.rs`), and whoever tells of the attempt that ends the newest job asks. The other one is of a
//! job that the journal has lost, and with it all that tells of the attempt: a unit that is back at what the channel took before would
//! look as if nothing differed.

use chrono::{DateTime, Utc};
use domain::listing::{ChannelListing, LinkState};
use domain::metadata::Actor;
use domain::recorded::Position;
use uuid::Uuid;

use super::Shared;
use super::asking::{OUTAGE, TRIES, syncing};
use super::job::Job;
use super::record::Told;
use crate::commands::{AskedBy, CommandError};
use crate::syncing::SyncError;

/// Why the channel may have something else than the journal believes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SentDoubt {
    /// Another attempt may have been under way beside it, of an older job or a newer one.
    Overtaken,
    /// The journal has lost the attempt's job.
    Lost,
}

impl SentDoubt {
    /// What there may be after an attempt that was told so.
    pub(super) fn after(told: Told, has_called: bool) -> Option<Self> {
        match told {
            // One that found nothing to send has called nobody, and another may have sent something meanwhile.
            Told::Written => Some(Self::Overtaken),
            Told::OfLostJob => has_called.then_some(Self::Lost),
            Told::Nowhere => None,
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::Overtaken => "an older attempt was under way beside a newer one, and may have arrived last",
            Self::Lost => "an attempt of a sync that the journal has lost may have written to the channel",
        }
    }

    /// Names the one wish that follows from an attempt.
    fn name(self) -> &'static [u8] {
        match self {
            Self::Overtaken => b"overtaken",
            Self::Lost => b"lost",
        }
    }
}

/// Asks for it after an attempt that had started at this time, where it is needed. What cannot be asked for now stays as it is until the
/// next change of the unit.
pub(super) async fn send_again(shared: &Shared, job: &Job, started_at: DateTime<Utc>, doubt: SentDoubt) {
    let (listing_id, reason) = (job.link.listing_id, doubt.reason());
    // Next to no listing is contested, and each attempt asks: what this process has just recorded is looked at where it is.
    if doubt == SentDoubt::Overtaken
        && shared.commands.listing_at_hand(listing_id, ChannelListing::is_contested) == Some(false)
    {
        return;
    }
    for _ in 0..TRIES {
        match ask(shared, job, started_at, doubt).await {
            // Something newer came in between, and may be what the channel is to have.
            Err(SyncError::Listing(error)) if matches!(*error, CommandError::Moved { .. }) => {}
            Err(error) if error.is_outage() => {
                tracing::warn!(%listing_id, %error, "{reason}; what the channel is to have could not be asked for yet");
                tokio::time::sleep(OUTAGE).await;
            }
            Ok(None) => return,
            Ok(Some(_)) => {
                tracing::warn!(%listing_id, "{reason}; what the channel is to have is sent once more");
                return;
            }
            Err(error) => {
                tracing::error!(%listing_id, %error, "{reason}, and what the channel is to have is not sent again");
                return;
            }
        }
    }
    tracing::error!(%listing_id, "{reason}, and what the channel is to have could not be asked for in time");
}

/// Asks once, of the listing as it is now; `None` where nothing has to be sent.
async fn ask(
    shared: &Shared,
    job: &Job,
    started_at: DateTime<Utc>,
    doubt: SentDoubt,
) -> Result<Option<Position>, SyncError> {
    let listing_id = job.link.listing_id;
    let (now, version) = shared.commands.load_listing_at(listing_id).await?;
    if now.state() == Some(LinkState::Unlinked) {
        return Ok(None);
    }
    let snapshot = match doubt {
        SentDoubt::Overtaken => now.accepted().snapshot.filter(|_| now.is_contested()),
        // What waits already would be sent only where it differs from what the channel took before the attempt.
        SentDoubt::Lost => now.pending().map(|pending| pending.snapshot).or(now.accepted().snapshot),
    };
    let (Some(link), Some(snapshot)) = (now.link(), snapshot) else { return Ok(None) };
    if doubt == SentDoubt::Overtaken {
        let payload = shared.payloads.of_snapshot(job.target.channel, snapshot, link).await;
        if payload.is_ok_and(|payload| !now.is_contested_in(&payload.hashes())) {
            return Ok(None);
        }
    }
    let name = [doubt.name(), &started_at.timestamp_micros().to_be_bytes()].concat();
    let asked = AskedBy {
        actor: Actor::service("dispatcher"),
        correlation_id: job.metadata.correlation_id,
        // Once for each attempt, however often it is told.
        causation_id: Some(Uuid::new_v5(&job.pending.sync_id.0, &name)),
        traceparent: job.metadata.traceparent.clone(),
    };
    syncing(shared).resend_at(listing_id, version, snapshot, doubt.reason().to_owned(), asked).await
}
