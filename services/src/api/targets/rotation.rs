//! Giving a target another secret. The secret is kept beside the journal and has no version of its own, so that of its target stands
//! for it: whoever is told that the target was changed meanwhile has left no secret behind.
//!
//! Rotations of a target take turns, over all processes, from the look at its version until the event is written. What else changes
//! the target in between is found by the command, and the secret is taken back. A crash in between leaves the new secret without its
//! event, and nobody who was told anything: to ask again with the same ETag ends it. `distribution secret rotate` is no change of a
//! target: the operator who replaces a value by its name names no version, and the last one holds.

use adapters::postgres::begin_with;
use domain::ids::TargetId;
use domain::recorded::Position;
use domain::target::{Lifecycle, TargetCommand, TargetError};
use secrecy::SecretString;
use sqlx::{PgPool, Postgres, Transaction};

use super::read::visible;
use crate::api::Api;
use crate::api::by::By;
use crate::api::if_match::IfMatch;
use crate::api::problem::{Problem, ProblemKind};
use crate::api::vault::Vault;
use crate::commands::CommandError;

/// Whoever waits for a keeper of secrets that does not answer keeps the others of the target no longer than this.
const BEGIN: &str = "BEGIN; SET LOCAL lock_timeout = '10s'";
/// The SQLSTATE of that.
const NOT_IN_TIME: &str = "55P03";

/// Puts the secret in force where the target has one of these versions. Gives the position of the event.
pub(super) async fn rotate(
    api: Api,
    by: By,
    id: TargetId,
    if_match: IfMatch,
    secret: SecretString,
) -> Result<Option<Position>, Problem> {
    let (vault, commands) = (&api.inner.vault, api.inner.syncing.commands());
    let _turn = vault.turn().await;
    let lock = lock(&api.inner.pool, id).await?;
    let (target, found) = visible(&api, &by, id).await?;
    if target.lifecycle == Lifecycle::Deleted {
        return Err(TargetError::Deleted.into());
    }
    let version = if_match.at(found)?;
    let metadata = by.metadata(target.org_id, target.account_id, id, None);
    let before = target.credential;
    let rotated = vault.rotate(id, &before, secret).await?;
    let credential = rotated.credential().clone();
    let command = TargetCommand::RotateCredential { credential: credential.clone() };
    let done = match version {
        Some(version) => commands.target_at(id, version, command, &metadata).await,
        None => commands.target(id, command, &metadata).await,
    };
    match &done {
        Ok(_) => {
            if credential != before && Vault::is_own(id, &before) {
                vault.forget(&api.inner.pool, &before).await;
            }
        }
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
    if let Err(error) = lock.commit().await {
        // What it kept apart is done.
        tracing::debug!(target_id = %id, %error, "the turn of a rotation had ended before");
    }
    done.map_err(Problem::from)
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
        Err(sqlx::Error::Database(refusal)) if refusal.code().as_deref() == Some(NOT_IN_TIME) => {
            Err(ProblemKind::Conflict.because("another secret is being put there; try again").retry_after(5))
        }
        Err(error) => Err(error.into()),
    }
}
