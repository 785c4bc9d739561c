//! Which targets use a secret, by the journal and not by a read model that may lag; whose turn it is to change one, and who has; and forgetting
//! one with its last target, then or later. A value that is put there without its event, as that was lost, is taken back ([`pending`]).

pub mod changes;
pub mod left_over;
pub mod pending;
pub mod turn;

use adapters::secrets::{SecretError, SecretStore};
use anyhow::Context as _;
use chrono::{DateTime, Utc};
use domain::ids::TargetId;
use domain::secret::{SecretKeeper, SecretRef};
use domain::target::Target;
use sqlx::PgPool;
use uuid::Uuid;

/// What the name of a secret begins with that the API keeps for a target; that one's id follows.
pub const KEPT_FOR: &str = "distribution.";

const USERS: &str = "
SELECT created.aggregate_id FROM events AS created
WHERE created.event_type = 'TargetCreated'
  AND NOT EXISTS (
    SELECT FROM events AS deleted
    WHERE deleted.aggregate_type = created.aggregate_type AND deleted.aggregate_id = created.aggregate_id
      AND deleted.event_type = 'TargetDeleted')
  AND (
    SELECT coalesce(chosen.payload -> 'CredentialRotated' ->> 'credential',
                    chosen.payload -> 'TargetCreated' ->> 'credential')
    FROM events AS chosen
    WHERE chosen.aggregate_type = created.aggregate_type AND chosen.aggregate_id = created.aggregate_id
      AND chosen.event_type IN ('TargetCreated', 'CredentialRotated')
    ORDER BY chosen.sequence DESC LIMIT 1) = $1
ORDER BY created.position";

/// What became of the secret of a deleted target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forgotten {
    /// It is gone.
    Deleted,
    /// It is not there, where this process looks.
    Missing,
    /// These targets use it.
    StillUsed(Vec<String>),
    /// Others look after it.
    NotOurs,
}

/// What became of the secrets of a target that was just deleted.
#[derive(Debug)]
pub struct OfDeleted {
    /// The one that it referred to.
    pub own: anyhow::Result<Forgotten>,
    /// Whatever a rotation without an event may have left for it.
    pub left: anyhow::Result<()>,
}

/// The target that the API keeps a secret for, with whatever keeper; `None` of one that is somebody else's.
pub fn kept_for(secret: &SecretRef) -> Option<TargetId> {
    let id = secret.name().strip_prefix(KEPT_FOR)?;
    Uuid::parse_str(id).ok().map(TargetId).filter(|target| target.to_string() == id)
}

/// The live targets that refer to a secret.
pub async fn users(pool: &PgPool, secret: &SecretRef) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(USERS).bind(secret.as_str()).fetch_all(pool).await
}

/// Deletes what is ours of the secrets of a target, whoever has just deleted it.
pub async fn forget_all(pool: &PgPool, secrets: &dyn SecretStore, target: &Target) -> OfDeleted {
    let own = forget(pool, secrets, &target.credential).await;
    OfDeleted { own, left: forget_left(pool, secrets, target).await }
}

/// Deletes a secret that no live target uses any more and that is ours.
pub async fn forget(pool: &PgPool, secrets: &dyn SecretStore, secret: &SecretRef) -> anyhow::Result<Forgotten> {
    if matches!(secret.keeper(), SecretKeeper::File | SecretKeeper::Env) {
        return Ok(Forgotten::NotOurs);
    }
    let users = users(pool, secret).await?;
    if !users.is_empty() {
        return Ok(Forgotten::StillUsed(users));
    }
    match secrets.delete(secret).await {
        Ok(()) => Ok(Forgotten::Deleted),
        Err(SecretError::Missing { .. }) => Ok(Forgotten::Missing),
        Err(SecretError::ReadOnly { .. }) => Ok(Forgotten::NotOurs),
        Err(error) => Err(error.into()),
    }
}

const LEFT_FOR: &str =
    "SELECT DISTINCT secret FROM pending_secrets WHERE target_id = $1 AND kind = 'move' AND secret <> $2";

/// Where else the API may have kept a value for this target: a rotation without an event has left it, and the target does not refer to it.
async fn left_for(pool: &PgPool, target: &Target) -> Result<Vec<SecretRef>, sqlx::Error> {
    let left = sqlx::query_scalar(LEFT_FOR).bind(target.target_id.0).bind(target.credential.as_str());
    let left: Vec<String> = left.fetch_all(pool).await?;
    Ok(left.iter().filter_map(|secret| secret.parse().ok()).collect())
}

/// Deletes that. The first that stays, as its keeper cannot be used, is named once the others are gone.
async fn forget_left(pool: &PgPool, secrets: &dyn SecretStore, target: &Target) -> anyhow::Result<()> {
    let mut stays = Ok(());
    for secret in left_for(pool, target).await? {
        let forgotten = forget(pool, secrets, &secret).await.map(drop);
        stays = stays.and(forgotten.with_context(|| format!("{secret} is still there")));
    }
    stays
}

const DELETED_AT: &str = "SELECT recorded_at FROM events WHERE event_type = 'TargetDeleted' AND aggregate_id = $1";

/// The same of a target that was deleted before, as what comes after that may not have come about. What people have named may stand for
/// another value by now: one that was put there since the deletion stays.
pub async fn forget_again(pool: &PgPool, secrets: &dyn SecretStore, target: &Target) -> anyhow::Result<Forgotten> {
    let secret = &target.credential;
    let forgotten = if kept_for(secret) != Some(target.target_id) && was_put_since(pool, secrets, target).await? {
        Forgotten::NotOurs
    } else {
        forget(pool, secrets, secret).await?
    };
    forget_left(pool, secrets, target).await?;
    Ok(forgotten)
}

async fn was_put_since(pool: &PgPool, secrets: &dyn SecretStore, target: &Target) -> anyhow::Result<bool> {
    let put_at = match secrets.put_at(&target.credential).await {
        Err(SecretError::Missing { .. } | SecretError::ReadOnly { .. }) => return Ok(false),
        known => known?,
    };
    let deleted_at = sqlx::query_scalar(DELETED_AT).bind(target.target_id.to_string());
    let deleted_at: Option<DateTime<Utc>> = deleted_at.fetch_optional(pool).await?;
    Ok(deleted_at.is_some_and(|deleted_at| put_at > deleted_at))
}
