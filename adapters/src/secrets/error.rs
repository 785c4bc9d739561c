//! Why a secret cannot be had or kept. Names the reference, never the value.

use domain::secret::SecretRef;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// There is none of this name.
    #[error("secret {secret}: there is no {place}")]
    Missing {
        /// The reference.
        secret: SecretRef,
        /// The file, variable or entry that was looked for.
        place: String,
    },
    /// There is one of this name already.
    #[error("secret {secret}: it exists already; to replace its value, rotate it")]
    Exists {
        /// The reference.
        secret: SecretRef,
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
    /// Somebody else looks after it.
    #[error("secret {secret}: {reason}")]
    ReadOnly {
        /// The reference.
        secret: SecretRef,
        /// Who does.
        reason: &'static str,
    },
    /// It is there and cannot be used.
    #[error("secret {secret}: {reason}")]
    Unusable {
        /// The reference.
        secret: SecretRef,
        /// In words.
        reason: String,
    },
    /// What the embedded store consists of is damaged or gone: its sealed values, or their key. No value can be put there before it is whole.
    #[error("secret {secret}: {reason}")]
    Damaged {
        /// The reference.
        secret: SecretRef,
        /// In words.
        reason: String,
    },
    /// Its keeper does not answer: it may be there.
    #[error("secret {secret}: {reason}")]
    Unreachable {
        /// The reference.
        secret: SecretRef,
        /// In words.
        reason: String,
    },
}

impl SecretError {
    pub(super) fn unusable(secret: &SecretRef, reason: impl Into<String>) -> Self {
        Self::Unusable { secret: secret.clone(), reason: reason.into() }
    }

    /// Without the place where it is kept, which is for the operator alone.
    pub fn told(&self) -> String {
        match self {
            Self::Missing { secret, .. } => format!("secret {secret}: there is none of this name; give a new one"),
            Self::Exists { secret } => format!("secret {secret}: it exists already"),
            Self::Exposed { secret, .. } => {
                format!("secret {secret}: others can read it, so it is not used; ask the operator")
            }
            Self::ReadOnly { secret, .. } | Self::Unusable { secret, .. } | Self::Damaged { secret, .. } => {
                format!("secret {secret}: it cannot be used; the service's log says why")
            }
            Self::Unreachable { secret, .. } => format!("secret {secret}: its keeper does not answer"),
        }
    }
}
