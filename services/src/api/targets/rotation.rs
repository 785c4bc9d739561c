//! Giving a target another secret. The secret is kept beside the journal and has no version of its own, so that of its target stands
//! for it: whoever is told that the target was changed meanwhile has put no secret in force.
//!
//! Rotations of a target take turns, over all processes, from the look at its version until the event is written. What else changes
//! the target in between is found by the command, and the secret is taken back. A crash in between leaves the new secret without its
//! event, and a row that says so (`credentials/pending.rs`): whoever has the next turn, or the sweep, takes it back. The command line takes the
//! same turns (`credentials/turn.rs`): what `distribution secret rotate` puts in the place of such a secret names no version, and is never
//! taken back with another one's.

use std::time::Duration;

use domain::ids::TargetId;
use domain::metadata::Metadata;
use domain::recorded::Position;
use domain::secret::SecretRef;
use domain::target::{Lifecycle, Target, TargetCommand, TargetError};
use secrecy::SecretString;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use uuid::Uuid;

use super::read::visible;
use super::without_event::{given_up, undone};
use crate::api::Api;
use crate::api::by::By;
use crate::api::if_match::IfMatch;
use crate::api::problem::{Problem, ProblemKind};
use crate::api::vault::Prepared;
use crate::credentials::kept_for;
use crate::credentials::turn::{NoTurn, Turn};

/// Others of this process are waited for no longer.
const TURN: Duration = Duration::from_secs(5);
/// What is not ready for the secret to be put there by then touches nothing, as the request is about to be answered.
const READY_BY: Duration = Duration::from_secs(20);

/// A rotation whose turn it is.
struct Ready {
    /// With a place among the rotations of this process: what keeps the turn keeps the place, too.
    turn: (Turn, OwnedSemaphorePermit),
    target: Target,
    version: Option<i64>,
    prepared: Prepared,
}

/// Puts the secret in force where the target has one of these versions. Gives the position of the event.
pub(super) async fn rotate(
    api: Api,
    by: By,
    id: TargetId,
    if_match: IfMatch,
    secret: SecretString,
) -> Result<Option<Position>, Problem> {
    let (vault, commands) = (&api.inner.vault, api.inner.syncing.commands());
    let ready = timeout(READY_BY, ready(&api, &by, id, &if_match, secret)).await;
    let late = |_| ProblemKind::TimedOut.because("it took too long, and nothing was changed; try again").retry_after(5);
    let ready = ready.map_err(late)??;
    let pool = &api.inner.pool;
    // The event is known by it, also where its answer is lost.
    let change_id = by.causation_id.unwrap_or_else(Uuid::now_v7);
    let metadata = by.metadata(ready.target.org_id, ready.target.account_id, id, None);
    let metadata = Metadata { causation_id: Some(change_id), ..metadata };
    let (before, own) = (ready.target.credential, ready.prepared.own().clone());
    let mut turn = Some(ready.turn);
    let pending = vault.announce(pool, ready.prepared.kind(), &own, change_id, &metadata).await?;
    let done = match vault.put(ready.prepared, pending.put_id).await {
        Ok(()) => {
            let command = TargetCommand::RotateCredential { credential: own.clone() };
            let done = match ready.version {
                Some(version) => commands.target_at(id, version, command, &metadata).await,
                None => commands.target(id, command, &metadata).await,
            };
            match done {
                Ok(position) => {
                    vault.settle(pool, &pending).await;
                    Ok(position)
                }
                Err(error) => {
                    let (done, left) = undone(&api, &pending, error, turn.take()).await;
                    turn = left.flatten();
                    done.map(Some)
                }
            }
        }
        Err(problem) => Err(given_up(&api, &pending, problem).await),
    };
    if done.is_ok() {
        forget(&api, id, &before, &own).await;
    } else if is_deleted(&api, id).await {
        // Its secret went with it, before this one was put there.
        vault.forget_deleted(pool, id, &own).await;
    }
    if let Some((turn, _place)) = turn {
        turn.end().await;
    }
    done
}

async fn is_deleted(api: &Api, id: TargetId) -> bool {
    api.inner.syncing.commands().load_target(id).await.is_ok_and(|target| target.live().is_err())
}

/// Everything up to the put: it changes nothing but what earlier ones have left, so that it can be given up wherever it is.
async fn ready(api: &Api, by: &By, id: TargetId, if_match: &IfMatch, secret: SecretString) -> Result<Ready, Problem> {
    let vault = &api.inner.vault;
    let place = timeout(TURN, vault.turn()).await.ok().flatten().ok_or_else(full)?;
    let turn = Turn::take(&api.inner.pool, id).await.map_err(no_turn)?;
    // Who may not see the target ends nothing of it.
    visible(api, by, id).await?;
    let turn = vault.end_earlier(&api.inner.pool, id, (turn, place)).await?;
    // After that: an earlier one may have come to its event just now, and have had the target refer to another place.
    let (target, found) = visible(api, by, id).await?;
    if target.lifecycle == Lifecycle::Deleted {
        return Err(TargetError::Deleted.into());
    }
    let version = if_match.at(found)?;
    let prepared = vault.prepare(id, &target.credential, secret).await?;
    Ok(Ready { turn, target, version, prepared })
}

/// The previous secret, where the new one is at another place.
async fn forget(api: &Api, id: TargetId, before: &SecretRef, now: &SecretRef) {
    if before != now && kept_for(before) == Some(id) {
        api.inner.vault.forget(&api.inner.pool, id, before).await;
    }
}

fn no_turn(error: NoTurn) -> Problem {
    match error {
        NoTurn::Taken => ProblemKind::Conflict.because(error.to_string()).retry_after(5),
        NoTurn::Database(error) => Problem::from(error).nothing_changed(),
    }
}

/// The secrets of other targets, maybe, take all places of the process. Nothing was changed.
fn full() -> Problem {
    ProblemKind::Conflict.because("other secrets are being put in place; try again").retry_after(5)
}
