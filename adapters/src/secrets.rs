//! Where secrets are read from. A value is a `SecretString`, which prints nothing; no error shows one.

mod local;

use async_trait::async_trait;
use domain::secret::SecretRef;
use secrecy::SecretString;

pub use local::LocalSecrets;

/// A place that keeps secrets: the local one, or a secrets manager.
#[async_trait]
pub trait SecretSource: Send + Sync {
    /// The value behind a reference. It is read again for every push, so a changed value is used without a restart.
    async fn read(&self, secret: &SecretRef) -> Result<SecretString, SecretError>;
}

/// Why a secret cannot be had. Names the reference, never the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// There is no file or variable of this name.
    #[error("secret {secret}: there is no {place}")]
    Missing {
        /// The reference.
        secret: SecretRef,
        /// The file or variable that was looked for.
        place: String,
    },
    /// Others on the machine may read it.
    #[error("secret {secret}: {path} can be read by group or others (mode {mode:04o}); run: chmod 600 {path}")]
    Exposed {
        /// The reference.
        secret: SecretRef,
        /// The file.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// It is there and cannot be used.
    #[error("secret {secret}: {reason}")]
    Unusable {
        /// The reference.
        secret: SecretRef,
        /// In words.
        reason: String,
    },
}
