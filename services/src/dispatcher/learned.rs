//! Ids at the channel that an attempt learns, by a look-up or by a creation. Invariant: of the listings of a target, one at most is
//! linked to a listing at the channel. What another one holds is not written to, and not recorded as this one's.
//!
//! It is asked twice. Before anything is written to a listing that was found: our reference stays on it where it was given to another
//! listing of the target, until that one is sent. And when the id is recorded, under the lock under which it would be linked: somebody
//! may have named it while the attempt was under way. What the attempt wrote there until then may have come last, so the holder is
//! sent once more. That is asked for before the outcome is in the journal: nothing tells of it afterwards.

use adapters::postgres::passes;
use domain::ids::{ExternalId, ListingId, TargetId};
use domain::listing::{ListingCommand, ListingError, Progress, SyncReport};
use domain::metadata::Actor;
use domain::outcome::OutcomeClass;
use domain::port::NotOurs;
use sqlx::PgPool;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::Shared;
use super::asking::syncing;
use super::job::Job;
use crate::commands::{AskedBy, CommandError, Commands};
use crate::holders::{Holder, MAY_HAVE_BEEN_WRITTEN_TO, holder, holder_now, lock};
use crate::syncing::SyncError;

/// Of the connections, the part that outcomes with an id may have for their locks: each of them needs another one meanwhile.
const SHARE: u32 = 3;

/// How many outcomes with an id may be recorded at the same time.
pub(super) fn places(pool: &PgPool) -> Semaphore {
    let places = (pool.options().get_max_connections() / SHARE).max(1);
    Semaphore::new(usize::try_from(places).unwrap_or(1))
}

/// Whether a listing may write to one that it has found at the channel.
pub(super) async fn may_write_to(
    commands: &Commands,
    of: (TargetId, ListingId),
    found: &ExternalId,
) -> Result<(), NotOurs> {
    match holder_now(commands, of, found).await {
        Ok(None) => Ok(()),
        Ok(Some(holder)) => Err(NotOurs::Held(format!(
            "{} by now, though it carries the reference of this one: nothing was sent to it. When that one has been sent, which takes the \
             reference away, send this one again; or unlink one of the two",
            holder.words(found)
        ))),
        Err(error) => Err(NotOurs::Unknown(format!("failed to look whose {found} at the channel is: {error}"))),
    }
}

/// Records how an attempt ended. An id that another listing holds by now is not recorded: the sync is refused, once the holder was asked to
/// be sent once more. `asked` keeps which one was, however often the whole is tried: its calls are over.
pub(super) async fn record(
    shared: &Shared,
    job: &Job,
    report: SyncReport,
    asked: &mut Option<ListingId>,
) -> Result<(), CommandError<ListingError>> {
    let (listing_id, target_id) = (job.link.listing_id, job.link.target_id);
    let Some(external) = report.progress.external_id.clone() else {
        let command = ListingCommand::RecordOutcome(report);
        return shared.commands.listing(listing_id, command, &job.metadata).await.map(|_| ());
    };
    // Nobody closes it.
    let _one_of_few = shared.recording.acquire().await;
    let mut locked =
        lock(shared.commands.journal().pool(), target_id, &external).await.map_err(|error| unasked(&error))?;
    let found = holder(&shared.commands, &mut locked, (target_id, listing_id), &external).await.map_err(failure)?;
    let report = match found {
        None => report,
        Some(holder) => {
            let held_by = holder.listing_id;
            tracing::warn!(%listing_id, %external, %held_by, "an id that an attempt has learned is another listing's");
            if *asked != Some(held_by) {
                send_again(shared, job, held_by).await?;
                *asked = Some(held_by);
            }
            not_ours(report, &holder, &external)
        }
    };
    shared.commands.listing(listing_id, ListingCommand::RecordOutcome(report), &job.metadata).await?;
    // It is in the journal: how the lock ends is nothing to the outcome.
    let _ = locked.commit().await;
    Ok(())
}

fn not_ours(report: SyncReport, holder: &Holder, external: &ExternalId) -> SyncReport {
    let detail = format!(
        "{} by now: it was linked to it while this attempt was under way. It is not this one's, and that one is sent once more. Send \
         this one again, to have its own looked for and made",
        holder.words(external)
    );
    SyncReport {
        class: Some(OutcomeClass::Rejected),
        detail: Some(detail),
        progress: Progress::default(),
        rejected: Vec::new(),
        ..report
    }
}

/// Asks for the holder of a listing at the channel once more, after an attempt of another one that may have written there. An error says
/// that it may be asked for yet.
async fn send_again(shared: &Shared, job: &Job, listing_id: ListingId) -> Result<(), CommandError<ListingError>> {
    let asked = AskedBy {
        actor: Actor::service("dispatcher"),
        correlation_id: job.metadata.correlation_id,
        // Once for each sync, however often it is told.
        causation_id: Some(Uuid::new_v5(&job.pending.sync_id.0, b"not ours")),
        traceparent: job.metadata.traceparent.clone(),
    };
    match syncing(shared).resend(listing_id, None, MAY_HAVE_BEEN_WRITTEN_TO.to_owned(), asked).await {
        Ok(_) => Ok(()),
        // Changes come faster than they are read: the next try has the newest.
        Err(SyncError::Refused(ListingError::StaleRevision { .. })) => Err(CommandError::Conflict),
        Err(error) if is_refusal(&error) => {
            tracing::warn!(%listing_id, %error, "{MAY_HAVE_BEEN_WRITTEN_TO}; it is not sent once more");
            Ok(())
        }
        Err(error) => match failure(error) {
            // It would keep the outcome of this one for ever.
            CommandError::Broken(error) => {
                tracing::error!(%listing_id, error, "{MAY_HAVE_BEEN_WRITTEN_TO}; it cannot be sent once more");
                Ok(())
            }
            passes => Err(passes),
        },
    }
}

/// Whether there is nothing to send, or nobody to send it to: of a unit that was never published or is elsewhere, of a listing or target
/// that is gone meanwhile.
fn is_refusal(error: &SyncError) -> bool {
    match error {
        SyncError::Refused(_)
        | SyncError::UnitUnknown(_)
        | SyncError::SnapshotUnknown(_)
        | SyncError::NotInAccounts
        | SyncError::SnapshotUnusable(_)
        | SyncError::ExternalIdTaken { .. }
        | SyncError::TargetDeleted
        | SyncError::Target(_) => true,
        SyncError::Listing(_) | SyncError::TargetState(_) | SyncError::Database(_) => false,
    }
}

/// Of what was asked about another listing. One that this build cannot read, as a newer one wrote to it, says nothing of the outcome: that
/// waits for a build that can.
fn failure(error: SyncError) -> CommandError<ListingError> {
    match error {
        SyncError::Listing(error) => match *error {
            CommandError::Unreadable(words) => CommandError::Unavailable(words),
            other => other,
        },
        SyncError::Database(error) => unasked(&error),
        // Of a target: it passes, or is a bug.
        error if error.is_outage() => CommandError::Unavailable(error.to_string()),
        other => CommandError::Broken(other.to_string()),
    }
}

fn unasked(error: &sqlx::Error) -> CommandError<ListingError> {
    if passes(error) { CommandError::Unavailable(error.to_string()) } else { CommandError::Broken(error.to_string()) }
}
