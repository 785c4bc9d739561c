//! Secrets as commands on targets meet them: their references are looked at where `serve` would look, never their values.

use adapters::secrets::{SecretError, SecretStore as _};
use domain::secret::{SecretKeeper, SecretRef};

use super::output::note;
use crate::config::SecretsOptions;

/// Says so where a secret is not as `serve` needs it. No error: it may live on another host.
pub(super) async fn warn(secrets: &SecretsOptions, credential: &SecretRef) {
    if credential.keeper() == SecretKeeper::Env {
        return;
    }
    let Err(error) = secrets.secrets().read(credential).await else { return };
    let fix = match credential.keeper() {
        SecretKeeper::Store if matches!(error, SecretError::Damaged { .. }) => {
            "reads it there when it calls the channel: `distribution doctor` says how the store is mended.".to_owned()
        }
        SecretKeeper::Store => {
            format!("reads it there when it calls the channel: `distribution secret put {credential}` puts it there.")
        }
        SecretKeeper::Aws => "reads it there when it calls the channel.".to_owned(),
        _ => "reads it there when it calls the channel: a file of mode 0600 in its --secrets-dir.".to_owned(),
    };
    note(&format!(
        "warning: {error}\n`distribution serve` {fix} If it runs on another host, check it there with `distribution doctor`."
    ));
}
