//! Secrets as the command line meets them: their references are looked at where `serve` would look, never their values.

use std::path::PathBuf;

use adapters::secrets::{LocalSecrets, SecretSource};
use clap::Args;
use domain::secret::SecretRef;

use super::output::note;

#[derive(Debug, Args)]
pub(super) struct SecretsFolder {
    /// The folder of secrets that `serve` uses
    #[arg(long, env = "DISTRIBUTION_SECRETS_DIR", default_value = "secrets", value_name = "DIR")]
    pub(super) secrets_dir: PathBuf,
}

impl SecretsFolder {
    /// Says so where a file is not as `serve` needs it. No error: it may live on another host.
    pub(super) async fn warn(self, credential: &SecretRef) {
        if !credential.as_str().starts_with("file:") {
            return;
        }
        // `serve` may run elsewhere, so a whole path says more than a relative one.
        let dir = std::path::absolute(&self.secrets_dir).unwrap_or(self.secrets_dir);
        if let Err(error) = (LocalSecrets { dir }).read(credential).await {
            note(&format!(
                "warning: {error}\n`distribution serve` reads it there when it calls the channel: a file of mode 0600 in \
                 its --secrets-dir. If it runs on another host, check it there with `distribution doctor`."
            ));
        }
    }
}
