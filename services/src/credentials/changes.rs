//! What the command line puts in the place of a secret is no event of the targets that use it: whether the channel takes it is not known, and
//! nothing is let go by it. Who did that, when and by which command stands in a row with each of them; never the value.

use domain::metadata::Actor;
use domain::secret::SecretRef;
use sqlx::PgPool;
use uuid::Uuid;

use super::users;

/// What was done at the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A secret was put where none was.
    Put,
    /// It was given another value.
    Rotate,
}

impl Change {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Put, Self::Rotate];

    /// The name used in JSON and in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Put => "secret_put",
            Self::Rotate => "secret_rotate",
        }
    }
}

const NOTE: &str = "
INSERT INTO secret_changes (change_id, target_id, org_id, account_id, kind, created_by, credential, credential_id)
SELECT $1, e.aggregate_id::uuid, e.org_id, e.account_id, $3, $4, $5, $6 FROM events AS e
WHERE e.aggregate_type = 'ChannelTarget' AND e.aggregate_id = ANY ($2) AND e.event_type = 'TargetCreated'";

/// Notes it with the live targets that refer to the secret. Gives these.
pub async fn note(pool: &PgPool, secret: &SecretRef, change: Change, by: &Actor) -> Result<Vec<String>, sqlx::Error> {
    let users = users(pool, secret).await?;
    if !users.is_empty() {
        let row = sqlx::query(NOTE).bind(Uuid::now_v7()).bind(&users).bind(change.as_str());
        let row = row.bind(&by.name).bind(&by.credential).bind(by.credential_id.as_deref());
        row.execute(pool).await?;
    }
    Ok(users)
}
