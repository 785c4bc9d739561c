//! The secrets that live targets refer to: there, and closed to others; those that no target refers to, although the API has kept
//! them for one; those of deleted targets that are there still; and files that the service cannot read, as they are another account's. No value is shown or kept.

use std::collections::{BTreeSet, HashMap, HashSet};

use adapters::secrets::{Entry, SecretError, SecretStore as _, Secrets};
use chrono::{DateTime, TimeDelta, Utc};
use domain::counted::{agreeing, counted};
use domain::secret::{SecretKeeper, SecretRef};
use sqlx::PgPool;

use super::report::Report;
use crate::config::SecretsOptions;
use crate::credentials::{self, left_over, pending};

const REFERENCES: &str = "
SELECT credential, array_agg(name ORDER BY name) FROM channel_targets WHERE lifecycle <> 'deleted'
GROUP BY credential ORDER BY credential";

/// `secret put` refuses for as long as the store is not whole.
const STORE_BACK: &str = "put the store's key and secrets.json back from their copy, the key to where \
                          DISTRIBUTION_SECRETS_KEY says; no restart is needed. Only where there is no copy, move \
                          .store and the key away and give every secret again: ON_CALL.md, The secret store is damaged";

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
                _ if matches!(error, SecretError::Damaged { .. }) => STORE_BACK,
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

/// A target refers to what the API has kept for it within the same request.
const SETTLED: TimeDelta = TimeDelta::days(1);
/// Of more, the others are counted.
const NAMED: usize = 5;

const REFERRED: &str = "SELECT DISTINCT credential FROM channel_targets WHERE lifecycle <> 'deleted'";

/// Names what the API has put into the encrypted store for a target that never came, or that refers to another secret; and what is there
/// of deleted targets.
pub(super) async fn check_left_behind(
    pool: &PgPool,
    options: &SecretsOptions,
    report: &mut Report,
) -> anyhow::Result<()> {
    let secrets = options.secrets();
    check_pending(pool, report).await?;
    // Of a store that cannot be read the targets that need it tell.
    let Ok(entries) = secrets.store.list() else { return Ok(()) };
    let of_deleted = of_deleted(pool, &secrets, &entries).await?;
    let referred: Vec<String> = sqlx::query_scalar(REFERRED).fetch_all(pool).await?;
    let referred: HashSet<String> = referred.into_iter().collect();
    let mut left = Vec::new();
    for entry in entries {
        let (known, age) = (&entry.secret_ref, Utc::now() - entry.created_at);
        if referred.contains(known) || of_deleted.contains(known) || age < SETTLED {
            continue;
        }
        let Ok(secret) = entry.secret_ref.parse::<SecretRef>() else { continue };
        // The read model may be late: the journal says it.
        if credentials::kept_for(&secret).is_some() && credentials::users(pool, &secret).await?.is_empty() {
            left.push(entry.secret_ref);
        }
    }
    if !left.is_empty() {
        let (secrets, are) = (counted(left.len(), "secret"), agreeing(left.len(), "is", "are"));
        let detail = format!("{secrets} that the API has kept {are} no target's: {}", some(left));
        let advice =
            "the target was never made, or has another: `distribution secret delete NAME` forgets what nobody uses";
        report.warn("secrets", detail, advice)?;
    }
    if of_deleted.is_empty() {
        return Ok(());
    }
    let (secrets, are) = (counted(of_deleted.len(), "secret"), agreeing(of_deleted.len(), "is", "are"));
    let detail = format!("{secrets} of deleted targets {are} still there: {}", some(of_deleted.into_iter().collect()));
    let advice = "`distribution serve` takes away what the API has kept, at its start and every ten minutes, and its log \
                  says why it cannot; `distribution secret delete NAME` forgets what nobody uses";
    report.warn("secrets", detail, advice)
}

/// Names what the API has put somewhere without an event, and by whom.
async fn check_pending(pool: &PgPool, report: &mut Report) -> anyhow::Result<()> {
    let pending: Vec<String> = pending::late(pool).await?.iter().map(pending::PendingSecret::words).collect();
    if pending.is_empty() {
        return Ok(());
    }
    let (changes, have) = (counted(pending.len(), "change"), agreeing(pending.len(), "has", "have"));
    let detail = format!("{changes} of secrets {have} come to no end: {}", some(pending));
    let advice = "`distribution serve` with the role api finds the event, or takes the secret back, within three minutes, \
                  and its log says why it cannot; until then the previous value serves, too, for a week at the longest \
                  (at AWS for 300 s)";
    report.warn("secrets", detail, advice)
}

fn some(mut names: Vec<String>) -> String {
    let more = if names.len() > NAMED { ", …" } else { "" };
    names.truncate(NAMED);
    format!("{}{more}", names.join(", "))
}

/// Of what a keeper tells of one secret at a time, so many are asked for.
const ASKED: i64 = 200;

const CREDENTIALS_OF_DELETED: &str = "
SELECT credential, max(updated_at) FROM channel_targets WHERE lifecycle = 'deleted' GROUP BY credential";

/// What is there of deleted targets and that no other one uses: what the API has kept for them, and what people have named and not put
/// there anew since.
async fn of_deleted(pool: &PgPool, secrets: &Secrets, entries: &[Entry]) -> anyhow::Result<BTreeSet<String>> {
    let mut found: Vec<SecretRef> = Vec::new();
    found.extend(left_over::in_store(pool, secrets).await?.into_iter().map(|left_over| left_over.secret));
    let deleted: Vec<(String, DateTime<Utc>)> = sqlx::query_as(CREDENTIALS_OF_DELETED).fetch_all(pool).await?;
    let deleted: HashMap<String, DateTime<Utc>> = deleted.into_iter().collect();
    for entry in entries {
        let put_at = entry.rotated_at.unwrap_or(entry.created_at);
        if deleted.get(&entry.secret_ref).is_some_and(|deleted_at| put_at < *deleted_at) {
            found.extend(entry.secret_ref.parse::<SecretRef>());
        }
    }
    for left_over in left_over::at_aws(pool, false, ASKED).await? {
        match secrets.put_at(&left_over.secret).await {
            Ok(_) => found.push(left_over.secret),
            Err(SecretError::Unreachable { .. }) => break,
            Err(_) => {}
        }
    }
    let mut left = BTreeSet::new();
    for secret in found {
        if !left.contains(secret.as_str()) && credentials::users(pool, &secret).await?.is_empty() {
            left.insert(secret.to_string());
        }
    }
    Ok(left)
}

/// Root reads all of them, and so does not see that the service cannot.
pub(super) fn check_owners(options: &SecretsOptions, report: &mut Report) -> anyhow::Result<()> {
    let Some(strangers) = options.secrets().store.strangers() else { return Ok(()) };
    let mut paths: Vec<String> = strangers.paths.iter().map(|path| path.display().to_string()).collect();
    let count = paths.len();
    let more = if count > NAMED { ", …" } else { "" };
    paths.truncate(NAMED);
    let (files, account) = (counted(count, "file"), &strangers.account);
    let detail = format!(
        "{files} {} to another account than the folder, which is {account}'s: {}{more}",
        agreeing(count, "belongs", "belong"),
        paths.join(", ")
    );
    let advice = format!(
        "where the service runs as {account} it cannot read or replace them: `chown {} {}`",
        strangers.owner,
        paths.join(" ")
    );
    report.warn("secrets", detail, advice)
}
