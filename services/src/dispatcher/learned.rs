//! Ids at the channel that an attempt learns, by a look-up or by a creation. Invariant: of the listings of a target, one at most is
//! linked to a listing at the channel. What another one holds is not written to, and not recorded as this one's. Nor is what a listing of
//! another target of the same account holds, where nobody has named it: a channel that answers with the id of somebody else's would have
//! two write to one.
//!
//! It is asked twice. Before anything is written to a listing that was found or made: our reference stays on it where it was given to
//! another listing of the target, until that one is sent, and the id in an answer may be anybody's. And when the id is recorded: somebody
//! may have named it while the attempt was under way. Both are asked under the lock under which it would be linked. What the attempt wrote
//! there until then may have come last, so the holder is sent once more. That is asked for before the outcome is in the journal: nothing
//! tells of it afterwards.

use std::time::Duration;

use adapters::postgres::passes;
use domain::ids::{ExternalId, ListingId};
use domain::listing::{ListingCommand, ListingError, Progress, SyncReport};
use domain::metadata::Actor;
use domain::outcome::OutcomeClass;
use domain::port::NotOurs;
use domain::target::Target;
use sqlx::PgPool;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::Shared;
use super::asking::{OUTAGE, syncing};
use super::job::Job;
use crate::commands::{AskedBy, CommandError, Commands};
use crate::holders::{Holder, MAY_HAVE_BEEN_WRITTEN_TO, holder_of_learned, lock_learned};
use crate::syncing::SyncError;

/// Of the connections, the part that those may have for their locks who look or record whose an id is: each of them needs another one
/// meanwhile.
const SHARE: u32 = 3;

/// So long it is asked whose an id is while Postgres is away, which is shorter than a lease.
const PATIENCE: Duration = Duration::from_secs(20);

/// In the log, with `held_by`, where an attempt has written nothing to what it has found or made.
const NOT_WRITTEN_TO: &str = "an id that an attempt has learned is another listing's: it is not written to";

/// The same where the attempt was writing there already: both are looked for by `ON_CALL.md`.
const NOT_RECORDED: &str =
    "an id that an attempt has learned is another listing's: it is not recorded, and its holder is sent again";

/// How many may do so at the same time.
pub(super) fn places(pool: &PgPool) -> Semaphore {
    let places = (pool.options().get_max_connections() / SHARE).max(1);
    Semaphore::new(usize::try_from(places).unwrap_or(1))
}

/// Whether a listing may write to one at the channel that it has found, or was told to have made. `places` are those of [`places`].
pub(super) async fn may_write_to(
    commands: &Commands,
    places: &Semaphore,
    (target, listing_id): (&Target, ListingId),
    (external, was_made): (&ExternalId, bool),
) -> Result<(), NotOurs> {
    let unknown = |why: String| NotOurs::Unknown(format!("failed to look whose {external} at the channel is: {why}"));
    // What was made is at the channel already: it is not left half made for a moment's outage.
    let asked = async {
        loop {
            match look(commands, places, (target, listing_id), (external, was_made)).await {
                Err(error) if error.is_outage() => sleep(OUTAGE).await,
                found => return found,
            }
        }
    };
    match timeout(PATIENCE, asked).await {
        Err(_) => Err(unknown(format!("no answer within {} s", PATIENCE.as_secs()))),
        Ok(Ok(None)) => Ok(()),
        Ok(Ok(Some(holder))) => {
            let held_by = holder.listing_id;
            tracing::warn!(%listing_id, %external, %held_by, "{NOT_WRITTEN_TO}");
            let whose = if holder.is_at_another_target { "Whoever runs the service can say whose it is; " } else { "" };
            Err(NotOurs::Held(format!(
                "{}, though the channel shows the reference of this one on it, or gave it for what was made: nothing was sent to it. {whose}\
                 `distribution listing show` says what helps",
                holder.words(external)
            )))
        }
        Ok(Err(error)) => Err(unknown(error.to_string())),
    }
}

/// Which other listing holds it.
async fn look(
    commands: &Commands,
    places: &Semaphore,
    (target, listing_id): (&Target, ListingId),
    (external, was_made): (&ExternalId, bool),
) -> Result<Option<Holder>, SyncError> {
    // Nobody closes it.
    let _one_of_few = places.acquire().await;
    let mut locked = lock_learned(commands.journal().pool(), target, external).await?;
    let found = holder_of_learned(commands, &mut locked, (target.target_id, listing_id), (external, was_made)).await?;
    // Nothing was written.
    let _ = locked.commit().await;
    Ok(found)
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
    let _one_of_few = shared.learning.acquire().await;
    let mut locked = lock_learned(shared.commands.journal().pool(), &job.target, &external)
        .await
        .map_err(|error| unasked(&error))?;
    let found = holder_of_learned(&shared.commands, &mut locked, (target_id, listing_id), (&external, false))
        .await
        .map_err(failure)?;
    let report = match found {
        None => report,
        Some(holder) => {
            let held_by = holder.listing_id;
            tracing::warn!(%listing_id, %external, %held_by, "{NOT_RECORDED}");
            if *asked != Some(held_by) {
                send_again(shared, job, &holder).await?;
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
        "{} by now, and was not when this attempt began to write there. It is not this one's, and that one is sent once more. Send \
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
async fn send_again(shared: &Shared, job: &Job, holder: &Holder) -> Result<(), CommandError<ListingError>> {
    let listing_id = holder.listing_id;
    // Another organisation is not told what this one has asked for.
    let is_told = !holder.is_at_another_target;
    let asked = AskedBy {
        actor: Actor::service("dispatcher"),
        correlation_id: if is_told { job.metadata.correlation_id } else { Uuid::now_v7() },
        // Once for each sync, however often it is told.
        causation_id: Some(Uuid::new_v5(&job.pending.sync_id.0, b"not ours")),
        traceparent: job.metadata.traceparent.clone().filter(|_| is_told),
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
        | SyncError::ExternalIdTakenElsewhere { .. }
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
