//! `target create`.

use clap::Args;
use domain::channel::ChannelKind;
use domain::ids::{AccountId, OrgId, TargetId};
use domain::target::{NewTarget, TargetCommand};
use domain::window::RateLimit;
use uuid::Uuid;

use crate::cli::arguments;
use crate::cli::secret_warning;
use crate::cli::session::Session;
use crate::config::{ChannelReach, SecretsOptions};

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    distribution target create --org sunstay --account bali --name 'Hostaway Bali' \\\n    \
    --base-url https://api.hostaway.com/v1 --channel-account 10450 --secret-ref store:hostaway-bali")]
pub(in crate::cli) struct CreateArgs {
    /// The organisation; its first target makes it known
    #[arg(long)]
    org: OrgId,
    /// The account inside the organisation
    #[arg(long)]
    account: AccountId,
    /// A name for people
    #[arg(long)]
    name: String,
    /// Which channel
    #[arg(long, default_value = "hostaway")]
    channel: ChannelKind,
    /// Root of the channel's API
    #[arg(long, value_name = "URL")]
    base_url: String,
    /// The account's id at the channel
    #[arg(long, value_name = "ID")]
    channel_account: String,
    /// Where the secret is: store:NAME (`distribution secret put`), aws:NAME, file:NAME or env:NAME; never itself
    #[arg(long, value_name = "REF")]
    secret_ref: String,
    /// How many requests in any such window the target takes
    #[arg(long, value_name = "LIMIT", default_value_t = RateLimit::default())]
    rate_limit: RateLimit,
    /// The limit of the account at the channel, where several targets share one
    #[arg(long, value_name = "LIMIT")]
    account_rate_limit: Option<RateLimit>,
    #[command(flatten)]
    reach: ChannelReach,
    #[command(flatten)]
    secrets: SecretsOptions,
}

impl CreateArgs {
    pub(in crate::cli) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let credential = arguments::secret_ref(&self.secret_ref)?;
        arguments::may_call(self.reach, &self.base_url).await?;
        let target_id = TargetId(Uuid::now_v7());
        let (org, account) = (self.org.clone(), self.account.clone());
        let (by, mut stage) = session.asked("create a target");
        stage.set("distribution.target.id", target_id.to_string());
        let metadata = by.metadata(org, account, target_id, None);
        let new = NewTarget {
            target_id,
            org_id: self.org,
            account_id: self.account,
            name: self.name,
            channel: self.channel,
            base_url: self.base_url,
            channel_account: self.channel_account,
            credential: credential.clone(),
            rate_limit: self.rate_limit,
            account_rate_limit: self.account_rate_limit,
        };
        let pool = session.postgres().await?;
        let syncing = session.syncing(&pool);
        syncing.commands().target(target_id, TargetCommand::Create(new), &metadata).await?;
        secret_warning::warn(&self.secrets, &credential).await;
        if !session.out.is_json() {
            return session.out.line(&target_id.to_string());
        }
        session.out.json(&syncing.commands().load_target(target_id).await?.live()?)
    }
}
