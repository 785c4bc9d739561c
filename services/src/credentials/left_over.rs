//! Secrets that the API has kept for targets which are deleted by now. Each goes with its target; a crash between the two, or a keeper that
//! could not be used just then, leaves one behind. The deletion stands in the journal, so what is left over is found by that, and taken
//! away. What people have named is not: nobody knows whether it stands for another value by now.

use std::collections::{BTreeMap, HashSet};

use adapters::secrets::{SecretError, SecretStore};
use domain::ids::TargetId;
use domain::secret::{SecretKeeper, SecretRef};
use sqlx::PgPool;
use uuid::Uuid;

use super::{Forgotten, KEPT_FOR, forget, kept_for};

const DELETED: &str = "SELECT aggregate_id FROM events WHERE event_type = 'TargetDeleted' AND aggregate_id = ANY ($1)";

/// Deleted targets for which a keeper that lists nothing was to keep a secret: those that have referred to it, or each, as a rotation that
/// was never told may have put it there. The newest deletions first.
const KEPT_FAR: &str = "
SELECT deleted.aggregate_id FROM events AS deleted
WHERE deleted.event_type = 'TargetDeleted' AND ($1 OR EXISTS (
    SELECT FROM events AS named
    WHERE named.aggregate_type = deleted.aggregate_type AND named.aggregate_id = deleted.aggregate_id
      AND named.event_type IN ('TargetCreated', 'CredentialRotated')
      AND $2::text || named.aggregate_id IN (
          named.payload -> 'TargetCreated' ->> 'credential', named.payload -> 'CredentialRotated' ->> 'credential')))
ORDER BY deleted.position DESC LIMIT $3";

/// What was kept for a target that is deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOver {
    /// The target.
    pub target: TargetId,
    /// The secret, which may be gone.
    pub secret: SecretRef,
}

/// What a keeper that lists nothing has no more, as it has said once: nobody puts it there again.
#[derive(Debug, Default)]
pub struct Gone(HashSet<SecretRef>);

/// What the encrypted store still has of deleted targets.
pub async fn in_store(pool: &PgPool, secrets: &dyn SecretStore) -> anyhow::Result<Vec<LeftOver>> {
    let listed = secrets.listed().await?;
    let kept = |secret: SecretRef| kept_for(&secret).map(|target| (target.to_string(), LeftOver { target, secret }));
    let mut kept: BTreeMap<String, LeftOver> = listed.into_iter().filter_map(kept).collect();
    if kept.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<String> = kept.keys().cloned().collect();
    let deleted: Vec<String> = sqlx::query_scalar(DELETED).bind(ids).fetch_all(pool).await?;
    Ok(deleted.iter().filter_map(|id| kept.remove(id)).collect())
}

/// What AWS Secrets Manager may have of the targets that were deleted last, so many at most: of those that referred to it there, or of all.
pub async fn at_aws(pool: &PgPool, of_all: bool, most: i64) -> Result<Vec<LeftOver>, sqlx::Error> {
    let kept = format!("aws:{KEPT_FOR}");
    let deleted = sqlx::query_scalar(KEPT_FAR).bind(of_all).bind(&kept).bind(most);
    let deleted: Vec<String> = deleted.fetch_all(pool).await?;
    let left_over = |id: &String| {
        let target = TargetId(Uuid::parse_str(id).ok()?);
        Some(LeftOver { target, secret: format!("{kept}{target}").parse().ok()? })
    };
    Ok(deleted.iter().filter_map(left_over).collect())
}

/// Takes away what is left over, wherever it is kept. `of_all` where the API keeps secrets at AWS.
pub async fn sweep(pool: &PgPool, secrets: &dyn SecretStore, of_all: bool, gone: &mut Gone) -> anyhow::Result<()> {
    let in_store = in_store(pool, secrets).await;
    for left_over in in_store.as_deref().unwrap_or_default() {
        if !take_away(pool, secrets, left_over, gone).await {
            break;
        }
    }
    for left_over in at_aws(pool, of_all, i64::MAX).await? {
        if !gone.0.contains(&left_over.secret) && !take_away(pool, secrets, &left_over, gone).await {
            break;
        }
    }
    in_store.map(drop)
}

/// Whether others can be taken away, too, as far as this one tells.
async fn take_away(pool: &PgPool, secrets: &dyn SecretStore, left_over: &LeftOver, gone: &mut Gone) -> bool {
    let LeftOver { target, secret } = left_over;
    // Of many that have gone long ago nobody has to look who uses them.
    let forgotten = match secrets.put_at(secret).await {
        Err(SecretError::Missing { .. }) => Ok(Forgotten::Missing),
        _ => forget(pool, secrets, secret).await,
    };
    match forgotten {
        Ok(Forgotten::Deleted) => {
            let words = "the secret of a deleted target was still there, and is deleted now";
            tracing::info!(target_id = %target, %secret, "{words}");
            true
        }
        // Another target refers to it.
        Ok(Forgotten::StillUsed(_)) => true,
        Ok(Forgotten::Missing | Forgotten::NotOurs) => {
            gone.0.insert(secret.clone());
            true
        }
        Err(error) => {
            tell(*target, secret, &error);
            // What AWS says of one secret says nothing of the others.
            let is_of_one = matches!(error.downcast_ref(), Some(SecretError::Unusable { .. }));
            is_of_one && secret.keeper() == SecretKeeper::Aws
        }
    }
}

/// Tells the operator of one that cannot be taken away now.
pub fn tell(target: TargetId, secret: &SecretRef, error: &anyhow::Error) {
    let words = "the secret of a deleted target is still there, as it could not be deleted";
    tracing::warn!(target_id = %target, %secret, error = format!("{error:#}"), "{words}");
}
