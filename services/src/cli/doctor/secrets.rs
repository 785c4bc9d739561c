//! The secrets that live targets refer to: there, and closed to others. No value is shown or kept.

use adapters::secrets::{SecretError, SecretStore as _};
use domain::counted::counted;
use domain::secret::{SecretKeeper, SecretRef};
use sqlx::PgPool;

use super::report::Report;
use crate::config::SecretsOptions;

const REFERENCES: &str = "
SELECT credential, array_agg(name ORDER BY name) FROM channel_targets WHERE lifecycle <> 'deleted'
GROUP BY credential ORDER BY credential";

pub(super) async fn check(pool: &PgPool, options: &SecretsOptions, report: &mut Report) -> anyhow::Result<()> {
    let references: Vec<(String, Vec<String>)> = sqlx::query_as(REFERENCES).fetch_all(pool).await?;
    if references.iter().any(|(reference, _)| reference.starts_with("file:"))
        && let Err(error) = std::fs::read_dir(&options.secrets_dir)
    {
        let advice =
            "give the folder with --secrets-dir or DISTRIBUTION_SECRETS_DIR; its owner must be able to read it";
        return report.fail("secrets", format!("{}: {error}", options.secrets_dir.display()), advice);
    }
    let secrets = options.secrets();
    let mut usable: usize = 0;
    for (reference, targets) in &references {
        let Ok(secret) = reference.parse::<SecretRef>() else {
            let advice =
                "give each of its targets a reference: `distribution target rotate-credential TARGET --secret-ref REF`";
            report.fail("secrets", format!("{reference} is no reference (targets: {})", targets.join(", ")), advice)?;
            continue;
        };
        let Err(error) = secrets.read(&secret).await else {
            usable += 1;
            continue;
        };
        let detail = format!("{error} (targets: {})", targets.join(", "));
        if secret.keeper() == SecretKeeper::Env {
            report.warn("secrets", detail, "only `distribution serve` has to have this variable: check it there")?;
        } else if matches!(error, SecretError::Exposed { .. }) {
            report.fail(
                "secrets",
                detail,
                "no restart is needed; the secret was open to others: think of a new one",
            )?;
        } else {
            let advice = match secret.keeper() {
                _ if matches!(error, SecretError::Unreachable { .. }) => {
                    "check region, credentials and network of the secrets manager; --aws-endpoint gives its address"
                }
                SecretKeeper::Aws => "keep it there, or refer to another: `distribution target rotate-credential`",
                SecretKeeper::Store => "put it there with `distribution secret put`; no restart is needed",
                _ => "put the secret there with mode 0600; no restart is needed",
            };
            report.fail("secrets", detail, advice)?;
        }
    }
    if references.is_empty() {
        return report.ok("secrets", "no target refers to one yet");
    }
    if usable == references.len() {
        report.ok("secrets", format!("{} in place", counted(usable, "reference")))
    } else {
        Ok(())
    }
}
