//! Secrets of this machine: `file:NAME` in one folder, `env:NAME` in the environment of the process.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use async_trait::async_trait;
use domain::secret::SecretRef;
use secrecy::SecretString;

use super::{SecretError, SecretSource};

/// No credential is longer; a larger file is something else.
const LONGEST_BYTES: u64 = 64 * 1024;

/// Files in `dir`, which only their owner may read, and environment variables.
#[derive(Debug, Clone)]
pub struct LocalSecrets {
    /// The folder of the `file:` secrets.
    pub dir: PathBuf,
}

#[async_trait]
impl SecretSource for LocalSecrets {
    async fn read(&self, secret: &SecretRef) -> Result<SecretString, SecretError> {
        let value = match secret.as_str().split_once(':') {
            Some(("file", name)) => self.file(secret, name),
            Some(("env", name)) => variable(secret, name),
            _ => Err(unusable(secret, "the local secrets know file:NAME and env:NAME")),
        }?;
        if value.is_empty() { Err(unusable(secret, "it is empty")) } else { Ok(SecretString::from(value)) }
    }
}

impl LocalSecrets {
    /// The file's text without one trailing newline. The mode is that of the opened file, so it cannot be swapped
    /// between the check and the read.
    fn file(&self, secret: &SecretRef, name: &str) -> Result<String, SecretError> {
        // A reference has no slash and no leading dot (`SecretRef`), so the file is one of this folder.
        let path = self.dir.join(name);
        let shown = path.display().to_string();
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                SecretError::Missing { secret: secret.clone(), place: format!("file {shown}") }
            }
            kind => unusable(secret, format!("{shown} cannot be read: {kind}")),
        };
        let file = std::fs::File::open(&path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(SecretError::Exposed { secret: secret.clone(), path: shown, mode });
        }
        let mut text = String::new();
        let bytes = file.take(LONGEST_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
        if bytes as u64 > LONGEST_BYTES {
            return Err(unusable(secret, format!("{shown} is longer than {LONGEST_BYTES} bytes")));
        }
        if let Some(line) = text.strip_suffix('\n') {
            text.truncate(line.strip_suffix('\r').unwrap_or(line).len());
        }
        Ok(text)
    }
}

fn variable(secret: &SecretRef, name: &str) -> Result<String, SecretError> {
    std::env::var(name).map_err(|error| match error {
        std::env::VarError::NotPresent => {
            SecretError::Missing { secret: secret.clone(), place: format!("environment variable {name}") }
        }
        std::env::VarError::NotUnicode(_) => unusable(secret, format!("environment variable {name} is no UTF-8 text")),
    })
}

fn unusable(secret: &SecretRef, reason: impl Into<String>) -> SecretError {
    SecretError::Unusable { secret: secret.clone(), reason: reason.into() }
}
