//! Why nobody is signed in. Shows no code, no token and no secret.

use crate::identity::claims::ClaimError;
use crate::secrets::SecretError;

/// Why a login failed.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// Another browser began it, it was ended before, or it took too long.
    #[error("this sign-in was not begun in this browser, is used up or took too long")]
    NotBegun,
    /// The browser brings what another provider has sent (RFC 9207).
    #[error("what this browser brings is not from the identity provider that the sign-in began at")]
    Elsewhere,
    /// The provider does not take the code, or not from us: by its error code.
    #[error("the identity provider refused the sign-in: {0}")]
    Refused(String),
    /// What the provider says cannot be read, or not be believed. To ask again does not help.
    #[error("the identity provider gave an answer that cannot be used: {0}")]
    Unusable(String),
    /// It says too little.
    #[error("the identity provider lets this person in, but {0}")]
    Claims(#[from] ClaimError),
    /// The provider is away, or not well.
    #[error("the identity provider cannot be asked now: {0}")]
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
