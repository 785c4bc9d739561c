//! Giving a target another secret. The secret is kept beside the journal and has no version of its own, so that of its target stands
//! for it: whoever is told that the target was changed meanwhile has put no secret in force.
//!
//! Rotations of a target take turns, over all processes, from the look at its version until the event is written. What else changes
//! the target in between is found by the command, and the secret is taken back. A crash in between leaves the new secret without its
//! event, and nobody who was told anything: to ask again with the same ETag ends it. `distribution secret rotate` is no change of a
//! target: the operator who replaces a value by its name names no version, and the last one holds.

use std::time::Duration;

use adapters::postgres::begin_with;
use domain::ids::TargetId;
use domain::recorded::Position;
use domain::secret::SecretRef;
use domain::target::{Lifecycle, Target, TargetCommand, TargetError};
use secrecy::SecretString;
use sqlx::{PgPool, Postgres, Transaction};
use tokio::sync::SemaphorePermit;
use tokio::time::timeout;

use super::read::visible;
use crate::api::Api;
use crate::api::by::By;
use crate::api::if_match::IfMatch;
use crate::api::problem::{Problem, ProblemKind};
use crate::api::vault::{Prepared, Vault};
use crate::commands::CommandError;

/// Whoever waits for a keeper of secrets that does not answer keeps the others of the target no longer than this. The lock itself is
/// a transaction in which nothing is asked, and outlives all that its holder waits for: a keeper far away may take a minute to take a
/// secret, and another one to take it back.
const BEGIN: &str = "BEGIN; SET LOCAL lock_timeout = '10s'; SET LOCAL idle_in_transaction_session_timeout = '300s'";
/// The SQLSTATE of the first.
const NOT_IN_TIME: &str = "55P03";
/// Others of this process are waited for no longer.
const TURN: Duration = Duration::from_secs(5);
/// What is not ready for the secret to be put there by then touches nothing, as the request is about to be answered.
const READY_BY: Duration = Duration::from_secs(20);

/// A rotation whose turn it is.
struct Turn<'a> {
    _place: SemaphorePermit<'a>,
    lock: Transaction<'static, Postgres>,
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
    let ready = timeout(READY_BY, turn(&api, &by, id, &if_match, secret)).await;
    let late = |_| ProblemKind::TimedOut.because("it took too long, and nothing was changed; try again").retry_after(5);
    let turn = ready.map_err(late)??;
    let metadata = by.metadata(turn.target.org_id, turn.target.account_id, id, None);
    let before = turn.target.credential;
    let rotated = vault.put(turn.prepared).await?;
    let credential = rotated.credential().clone();
    let command = TargetCommand::RotateCredential { credential: credential.clone() };
    let done = match turn.version {
        Some(version) => commands.target_at(id, version, command, &metadata).await,
        None => commands.target(id, command, &metadata).await,
    };
    match &done {
        Ok(_) => forget(&api, id, &before, &credential).await,
        Err(CommandError::Moved { .. } | CommandError::Refused(_) | CommandError::Conflict) => {
            vault.take_back(rotated).await?;
            if commands.load_target(id).await.is_ok_and(|target| target.live().is_err()) {
                // It was deleted meanwhile, and its secret with it, before this one was put there.
                vault.forget(&api.inner.pool, &credential).await;
            }
        }
        // It may be written: to ask again finds that.
        Err(CommandError::Unavailable(_) | CommandError::Broken(_) | CommandError::Unreadable(_)) => {}
    }
    if let Err(error) = turn.lock.commit().await {
        // What it kept apart is done.
        tracing::debug!(target_id = %id, %error, "the turn of a rotation had ended before");
    }
    done.map_err(Problem::from)
}

/// Everything up to the put: it changes nothing, so that it can be given up wherever it is.
async fn turn<'a>(
    api: &'a Api,
    by: &By,
    id: TargetId,
    if_match: &IfMatch,
    secret: SecretString,
) -> Result<Turn<'a>, Problem> {
    let vault = &api.inner.vault;
    let place = timeout(TURN, vault.turn()).await.ok().flatten().ok_or_else(full)?;
    let lock = lock(&api.inner.pool, id).await?;
    let (target, found) = visible(api, by, id).await?;
    if target.lifecycle == Lifecycle::Deleted {
        return Err(TargetError::Deleted.into());
    }
    let version = if_match.at(found)?;
    let prepared = vault.prepare(id, &target.credential, secret).await?;
    Ok(Turn { _place: place, lock, target, version, prepared })
}

/// The secret of before, where the new one is at another place.
async fn forget(api: &Api, id: TargetId, before: &SecretRef, now: &SecretRef) {
    if before != now && Vault::is_own(id, before) {
        api.inner.vault.forget(&api.inner.pool, before).await;
    }
}

/// From here until the end of the transaction nobody else rotates the secret of this target.
async fn lock(pool: &PgPool, target: TargetId) -> Result<Transaction<'static, Postgres>, Problem> {
    let mut lock = begin_with(pool, BEGIN.to_owned()).await?;
    let locked = sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind(format!("secret/{target}"))
        .execute(&mut *lock)
        .await;
    match locked {
        Ok(_) => Ok(lock),
        Err(sqlx::Error::Database(refusal)) if refusal.code().as_deref() == Some(NOT_IN_TIME) => Err(busy()),
        Err(error) => Err(error.into()),
    }
}

/// Another one is put in the place of this target's secret. Nothing was changed.
fn busy() -> Problem {
    ProblemKind::Conflict.because("another secret is being put there; try again").retry_after(5)
}

/// The secrets of other targets, maybe, take all places of the process. Nothing was changed.
fn full() -> Problem {
    ProblemKind::Conflict.because("other secrets are being put in place; try again").retry_after(5)
}
