//! One-time links by which a person signs in where there is no identity provider.

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use sqlx::PgPool;

use super::grant::{Grant, StoredGrant};
use super::secret::{hash, hash_of, new_secret};

/// A link is worth something for so long.
const LIFETIME_S: f64 = 15.0 * 60.0;

/// The links. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SignInLinks {
    pool: PgPool,
}

/// A link, to be shown once.
#[derive(Debug)]
pub struct NewLink {
    /// What the link carries, as `BASE/sign-in?code=…`.
    pub code: SecretString,
    /// Its end.
    pub expires_at: DateTime<Utc>,
}

impl SignInLinks {
    /// On a database.
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// Makes a link for somebody; `created_by` says who had it made.
    pub async fn create(&self, grant: &Grant, created_by: &str) -> Result<NewLink, sqlx::Error> {
        let code = new_secret();
        let (secret_hash, accounts) = (hash_of(&code), grant.account_names());
        let expires_at = sqlx::query_scalar!(
            "INSERT INTO sign_in_links (secret_hash, org_id, subject, roles, account_ids, created_by, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7))
             RETURNING expires_at",
            secret_hash.as_slice(),
            grant.org_id.as_str(),
            grant.subject,
            &grant.role_names(),
            accounts.as_deref(),
            created_by,
            LIFETIME_S,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(NewLink { code, expires_at })
    }

    /// Uses a link up. Nothing where it was used, has expired or never was. A page that only shows something must not
    /// call this: mail and chat programs open links before people do.
    pub async fn redeem(&self, code: &str) -> Result<Option<Grant>, sqlx::Error> {
        let secret_hash = hash(code);
        let row = sqlx::query!(
            r#"DELETE FROM sign_in_links WHERE secret_hash = $1
               RETURNING org_id, subject, roles, account_ids, expires_at > now() AS "lives!""#,
            secret_hash.as_slice(),
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row.filter(|row| row.lives) else { return Ok(None) };
        let (org_id, subject, roles, account_ids) = (row.org_id, row.subject, row.roles, row.account_ids);
        StoredGrant { subject, org_id, roles, account_ids }.read().map(Some)
    }
}
