//! What changes a target: each command is one commit in the journal, or none where nothing differs.

use anyhow::Context;
use clap::Args;
use domain::ids::TargetId;
use domain::target::{Configuration, Lifecycle, TargetCommand};
use domain::window::RateLimit;
use serde_json::json;
use sqlx::PgPool;

use crate::cli::arguments::{self, LimitOrNone};
use crate::cli::failure::Failure;
use crate::cli::output::note;
use crate::cli::secret_warning;
use crate::cli::session::{Session, known_target};
use crate::config::{ChannelReach, SecretsOptions};
use crate::credentials::turn::Turn;
use crate::credentials::{self, Forgotten, OfDeleted};

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  distribution target configure 0199… --account-rate-limit none")]
pub(in crate::cli) struct ConfigureArgs {
    /// The target
    #[arg(value_name = "TARGET")]
    target_id: TargetId,
    /// A new name
    #[arg(long)]
    name: Option<String>,
    /// A new root of the channel's API. At another host its health is unknown until that one has answered
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// A new limit of the account at the channel, or none
    #[arg(long, value_name = "LIMIT|none")]
    account_rate_limit: Option<LimitOrNone>,
    #[command(flatten)]
    reach: ChannelReach,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  distribution target rate-limit 0199… 12/10s")]
pub(in crate::cli) struct RateLimitArgs {
    /// The target
    #[arg(value_name = "TARGET")]
    target_id: TargetId,
    /// How many requests in any such window, e.g. 12/10s or 5/500ms
    #[arg(value_name = "RATE_LIMIT")]
    rate_limit: RateLimit,
}

#[derive(Debug, Args)]
#[command(after_help = "The new secret must be in place before. What waited for good credentials goes on at once.\n\n\
    Example:\n  distribution target rotate-credential 0199… --secret-ref store:hostaway-bali-2")]
pub(in crate::cli) struct RotateArgs {
    /// The target
    #[arg(value_name = "TARGET")]
    target_id: TargetId,
    /// Where the new secret is: store:NAME, aws:NAME, file:NAME or env:NAME; never the secret itself
    #[arg(long, value_name = "REF")]
    secret_ref: String,
    #[command(flatten)]
    secrets: SecretsOptions,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ReasonArgs {
    /// The target
    #[arg(value_name = "TARGET")]
    target_id: TargetId,
    /// Why; it stands in the journal
    #[arg(long, value_parser = arguments::reason)]
    reason: String,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct DeleteArgs {
    #[command(flatten)]
    why: ReasonArgs,
    #[command(flatten)]
    secrets: SecretsOptions,
}

impl ConfigureArgs {
    pub(in crate::cli) async fn run(self, session: &Session) -> anyhow::Result<()> {
        if self.name.is_none() && self.base_url.is_none() && self.account_rate_limit.is_none() {
            let reason = "give --name, --base-url or --account-rate-limit".to_owned();
            return Err(Failure::Usage { field: "configuration", reason }.into());
        }
        if let Some(base_url) = &self.base_url {
            arguments::may_call(self.reach, base_url).await?;
        }
        let change = Configuration {
            name: self.name,
            base_url: self.base_url,
            account_rate_limit: self.account_rate_limit.map(|limit| limit.0),
            rate_limit: None,
        };
        change_target(session, self.target_id, TargetCommand::Configure(change), "configured").await
    }
}

impl RateLimitArgs {
    pub(in crate::cli) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let command =
            TargetCommand::Configure(Configuration { rate_limit: Some(self.rate_limit), ..Configuration::default() });
        change_target(session, self.target_id, command, &format!("limited to {}", self.rate_limit)).await
    }
}

impl RotateArgs {
    pub(in crate::cli) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let credential = arguments::secret_ref(&self.secret_ref)?;
        let did = format!("using {credential}");
        let command = TargetCommand::RotateCredential { credential: credential.clone() };
        let pool = session.postgres().await?;
        let turn = Turn::take(&pool, self.target_id).await?;
        let changed = change_over(&pool, session, self.target_id, command, &did).await;
        turn.end().await;
        changed?;
        secret_warning::warn(&self.secrets, &credential).await;
        Ok(())
    }
}

impl ReasonArgs {
    pub(in crate::cli) async fn pause(self, session: &Session) -> anyhow::Result<()> {
        change_target(session, self.target_id, TargetCommand::Pause { reason: self.reason }, "paused").await
    }
}

impl DeleteArgs {
    pub(in crate::cli) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let command = TargetCommand::Delete { reason: self.why.reason };
        let deleted = change_target(session, self.why.target_id, command, "deleted").await;
        let pool = session.postgres().await?;
        let known = known_target(session.syncing(&pool).commands(), self.why.target_id).await;
        let is_done = deleted.is_ok();
        let target = match known {
            Ok(target) if target.lifecycle == Lifecycle::Deleted => target,
            Err(error) if is_done => return Err(error),
            _ => return deleted,
        };
        let (secret, secrets) = (&target.credential, self.secrets.secrets());
        let forgotten = if is_done {
            let OfDeleted { own, left } = credentials::forget_all(&pool, &secrets, &target).await;
            if let Err(error) = left {
                let later = "`distribution serve` takes it away by itself where it keeps secrets there; else delete the target once more";
                note(&format!("warning: what a rotation without an event has left stays: {error:#}; {later}"));
            }
            own
        } else {
            // It was deleted before, and its secret may have stayed.
            credentials::forget_again(&pool, &secrets, &target).await
        };
        // What the API has kept it also takes away, wherever that is.
        let later = credentials::kept_for(secret).map(|_| "; `distribution serve` takes it away by itself");
        let later = later.unwrap_or_default();
        match forgotten {
            Ok(Forgotten::Deleted) => note(&format!("secret {secret} is deleted with it")),
            Ok(Forgotten::StillUsed(_) | Forgotten::NotOurs | Forgotten::Missing) if !is_done => {}
            Ok(Forgotten::StillUsed(others)) => note(&format!("secret {secret} stays: {} uses it", others.join(", "))),
            Ok(Forgotten::NotOurs) => note(&format!("secret {secret} stays: remove it where it is kept")),
            // The target is deleted all the same; the secret may be on the host of `serve`.
            Ok(Forgotten::Missing) => note(&format!("warning: secret {secret} is not here, maybe elsewhere{later}")),
            Err(error) => note(&format!("warning: its secret stays: {error:#}{later}")),
        }
        deleted
    }
}

pub(super) async fn resume(session: &Session, target_id: TargetId) -> anyhow::Result<()> {
    change_target(session, target_id, TargetCommand::Resume, "active").await
}

async fn change_target(
    session: &Session,
    target_id: TargetId,
    command: TargetCommand,
    did: &str,
) -> anyhow::Result<()> {
    change_over(&session.postgres().await?, session, target_id, command, did).await
}

async fn change_over(
    pool: &PgPool,
    session: &Session,
    target_id: TargetId,
    command: TargetCommand,
    did: &str,
) -> anyhow::Result<()> {
    let syncing = session.syncing(pool);
    let now = known_target(syncing.commands(), target_id).await?;
    let (by, mut stage) = session.asked("change a target");
    stage.set("distribution.target.id", target_id.to_string());
    let metadata = by.metadata(now.org_id, now.account_id, target_id, None);
    let position = syncing.commands().target(target_id, command, &metadata).await;
    let position = position.with_context(|| format!("target {target_id}"))?;
    if session.out.is_json() {
        let changed = position.is_some();
        return session.out.json(&json!({ "target_id": target_id, "changed": changed, "position": position }));
    }
    let before = if position.is_some() { "is now" } else { "was already" };
    session.out.line(&format!("target {target_id} {before} {did}"))
}
