//! Secrets that others put on this machine: `file:NAME` in one folder, `env:NAME` in the environment of the process.

use std::io::{Error, ErrorKind};
use std::path::PathBuf;

use domain::secret::{SecretKeeper, SecretRef};
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::value::read_value;
use super::{SecretError, store};

/// Files in `dir`, which only their owner may read, and environment variables.
#[derive(Debug, Clone)]
pub struct LocalSecrets {
    /// The folder of the `file:` secrets.
    pub dir: PathBuf,
}

impl LocalSecrets {
    /// The value behind a reference.
    pub fn read(&self, secret: &SecretRef) -> Result<SecretString, SecretError> {
        match secret.keeper() {
            SecretKeeper::File => self.file(secret),
            SecretKeeper::Env => variable(secret),
            _ => Err(SecretError::unusable(secret, "the local secrets know file:NAME and env:NAME")),
        }
    }

    fn file(&self, secret: &SecretRef) -> Result<SecretString, SecretError> {
        // A reference has no slash and no leading dot (`SecretRef`), so the file is one of this folder.
        let path = self.dir.join(secret.name());
        let shown = path.display().to_string();
        let failed = |error: Error| match error.kind() {
            ErrorKind::NotFound => SecretError::Missing { secret: secret.clone(), place: format!("file {shown}") },
            // These words are `read_value`'s.
            ErrorKind::InvalidData => SecretError::unusable(secret, format!("{shown}: {error}")),
            kind => SecretError::unusable(secret, format!("{shown} cannot be read: {kind}")),
        };
        let file = std::fs::File::open(&path).map_err(failed)?;
        if let Some(mode) = store::exposed(&file).map_err(failed)? {
            return Err(SecretError::Exposed { secret: secret.clone(), path: shown.clone(), mode });
        }
        read_value(file).map_err(failed)
    }
}

fn variable(secret: &SecretRef) -> Result<SecretString, SecretError> {
    let name = secret.name();
    let value = std::env::var(name).map(Zeroizing::new).map_err(|error| match error {
        std::env::VarError::NotPresent => {
            SecretError::Missing { secret: secret.clone(), place: format!("environment variable {name}") }
        }
        std::env::VarError::NotUnicode(_) => {
            SecretError::unusable(secret, format!("environment variable {name} is no UTF-8 text"))
        }
    })?;
    if value.is_empty() {
        return Err(SecretError::unusable(secret, "it is empty"));
    }
    Ok(SecretString::from(value.as_str()))
}
