//! Why nobody is signed in. Shows no code, no token and no secret.

use crate::identity::claims::ClaimError;
use crate::secrets::SecretError;

/// Why a login failed.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// Another browser began it, it was ended before, or it took too long.
    #[error("this sign-in was not begun in this browser, is used up or took too long: sign in again")]
    NotBegun,
    /// The provider does not take the code.
    #[error("the identity provider refused the sign-in: {0}")]
    Refused(String),
    /// The provider says something that cannot be believed.
    #[error("the identity provider's answer is not to be trusted: {0}")]
    Untrusted(String),
    /// It says too little.
    #[error("the identity provider lets this person in, but {0}")]
    Claims(#[from] ClaimError),
    /// The provider is away, or is no OpenID provider.
    #[error("the identity provider cannot be used now: {0}")]
    Provider(String),
    /// Our own secret is not to be had.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Postgres.
    #[error("the sign-in could not be kept")]
    Database(#[from] sqlx::Error),
}

impl LoginError {
    /// Whether it was nobody's fault who signs in, and may go well later.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Provider(_) | Self::Secret(_) | Self::Database(_))
    }
}

/// An error and its causes in words. The libraries keep bodies out of these words.
pub(super) fn told(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}
