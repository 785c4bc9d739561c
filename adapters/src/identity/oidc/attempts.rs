//! Logins that are under way. State and browser are kept as hashes, the rest must be sent or compared by others.

use sqlx::PgPool;

/// Whoever takes longer at the provider begins again.
pub(super) const LIFETIME_S: u32 = 10 * 60;

pub(super) struct Attempts {
    pub(super) pool: PgPool,
}

/// What is needed when the provider answers.
pub(super) struct Attempt {
    pub(super) nonce: String,
    pub(super) pkce_verifier: String,
    pub(super) return_to: String,
}

impl Attempts {
    pub(super) async fn keep(&self, state: &[u8], browser: &[u8], attempt: &Attempt) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "INSERT INTO login_attempts (state_hash, browser_hash, nonce, pkce_verifier, return_to, expires_at)
             VALUES ($1, $2, $3, $4, $5, now() + make_interval(secs => $6))",
            state,
            browser,
            attempt.nonce,
            attempt.pkce_verifier,
            attempt.return_to,
            f64::from(LIFETIME_S),
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Takes an attempt away from whoever comes second. Another browser does not use it up.
    pub(super) async fn take(&self, state: &[u8], browser: &[u8]) -> Result<Option<Attempt>, sqlx::Error> {
        let row = sqlx::query!(
            r#"DELETE FROM login_attempts WHERE state_hash = $1 AND browser_hash = $2
               RETURNING nonce, pkce_verifier, return_to, expires_at > now() AS "lives!""#,
            state,
            browser,
        )
        .fetch_optional(&self.pool)
        .await?;
        let attempt = row.filter(|row| row.lives);
        Ok(attempt.map(|row| Attempt { nonce: row.nonce, pkce_verifier: row.pkce_verifier, return_to: row.return_to }))
    }
}
