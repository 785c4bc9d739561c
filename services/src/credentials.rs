//! Which targets use a secret, by the journal and not by a read model that may lag; whose turn it is to change one, and who has; and forgetting
//! one with its last target.

pub mod changes;
pub mod turn;

use adapters::secrets::{SecretError, SecretStore};
use domain::ids::TargetId;
use domain::secret::{SecretKeeper, SecretRef};
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
    /// These targets use it.
    StillUsed(Vec<String>),
    /// Others look after it.
    NotOurs,
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

/// Deletes a secret that no live target uses any more and that is ours. Called once its target is deleted.
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
        Err(SecretError::ReadOnly { .. }) => Ok(Forgotten::NotOurs),
        Err(error) => Err(error.into()),
    }
}
