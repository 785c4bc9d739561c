//! Whether there is an identity provider, as the API said at its last start: links and tokens are given out at another shell, whose
//! environment may not know of it.

use sqlx::{PgConnection, PgPool};

/// Says which setting names a provider, if one does.
pub async fn tell_provider(pool: &PgPool, setting: Option<&str>) -> Result<(), sqlx::Error> {
    let tell = "INSERT INTO identity_mode (provider) VALUES ($1)
        ON CONFLICT (one) DO UPDATE SET provider = excluded.provider, told_at = now()";
    sqlx::query(tell).bind(setting).execute(pool).await.map(|_| ())
}

/// The setting that was told; `None` also where the API has never been started.
pub async fn told_provider(connection: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
    let told: Option<Option<String>> =
        sqlx::query_scalar("SELECT provider FROM identity_mode").fetch_optional(connection).await?;
    Ok(told.flatten())
}
