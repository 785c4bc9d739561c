//! Making a target with its secret. The secret is kept first, as the target refers to it from its first event on; a row tells of it until that
//! event is there (`credentials/pending.rs`).

use domain::metadata::Metadata;
use domain::recorded::Position;
use domain::target::{NewTarget, TargetCommand};
use secrecy::SecretString;

use super::without_event::{given_up, undone};
use crate::api::Api;
use crate::api::problem::Problem;
use crate::api::vault::fit;
use crate::credentials::pending::Kind;

/// Makes it. Gives the position of its event.
pub(super) async fn create(
    api: Api,
    new: NewTarget,
    secret: SecretString,
    metadata: Metadata,
) -> Result<Option<Position>, Problem> {
    fit(&secret)?;
    let (vault, pool) = (&api.inner.vault, &api.inner.pool);
    let (id, credential) = (new.target_id, new.credential.clone());
    // With one key once more: what the first request has left is in the way.
    vault.end_earlier(pool, id, ()).await?;
    let pending = vault.announce(pool, Kind::Create, &credential, id.0, &metadata).await?;
    if let Err(problem) = vault.keep(&credential, secret, pending.put_id).await {
        return Err(given_up(&api, &pending, problem).await);
    }
    match api.inner.syncing.commands().target(id, TargetCommand::Create(new), &metadata).await {
        Ok(position) => {
            vault.settle(pool, &pending).await;
            Ok(position)
        }
        Err(error) => undone(&api, &pending, error, ()).await.0.map(Some),
    }
}
