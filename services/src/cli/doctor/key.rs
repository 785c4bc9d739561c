//! The key of this service's own tokens and sign-ins, without which the API does not start: whole, or its folder open to make one in. None
//! is made.

use std::path::Path;

use adapters::identity::{KeyFileError, LocalIdentity};
use rustix::fs::{Access, access};

use super::report::Report;
use crate::config::{ProviderOptions, Role, SecretsOptions};

const CHECK: &str = "signing key";

pub(super) fn check(
    secrets: &SecretsOptions,
    providers: &ProviderOptions,
    roles: &[Role],
    report: &mut Report,
) -> anyhow::Result<()> {
    if !roles.is_empty() && !roles.contains(&Role::Api) {
        return report.ok(CHECK, "not needed without the role api");
    }
    if let Some(provider) = providers.provider() {
        return report.ok(CHECK, format!("not needed beside {provider}"));
    }
    // Whole, as the words name it.
    let dir = std::path::absolute(&secrets.secrets_dir).unwrap_or_else(|_| secrets.secrets_dir.clone());
    let refused = match LocalIdentity::has_key(&dir) {
        Ok(true) => return report.ok(CHECK, "readable and whole"),
        Ok(false) => match unwritable(&dir) {
            None => return report.ok(CHECK, "none yet; the first start of the API makes one"),
            Some(refused) => refused,
        },
        Err(error) => {
            let advice = match &error {
                // What to do is in its words.
                KeyFileError::Damaged { .. } => {
                    "the API does not start before that; what copies there are: ON_CALL.md, Backup"
                }
                KeyFileError::Exposed { .. } => "the API does not start before that",
                _ => "let the account that `serve` runs as own the folder of secrets, and what is in it",
            };
            return report.fail(CHECK, error.to_string(), advice);
        }
    };
    let advice = "the API makes its key there when it starts: let the account that `serve` runs as write there, or put \
                  .signing-key back from the copy of that folder";
    report.fail(CHECK, refused, advice)
}

/// Why the folder of the key cannot be written by who runs this. One that is not there is made.
fn unwritable(dir: &Path) -> Option<String> {
    let there = dir.ancestors().find(|folder| folder.exists())?;
    let error = access(there, Access::WRITE_OK | Access::EXEC_OK).err()?;
    let error = std::io::Error::from(error);
    Some(format!("there is none yet, and the folder {} cannot be written: {error}", there.display()))
}
