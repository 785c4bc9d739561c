//! `doctor`: looks at everything the service depends on and says what to do. It changes nothing.

mod channels;
mod files;
mod jetstream;
mod key;
mod listings;
mod nats;
mod postgres;
mod report;
mod secrets;
mod work;

use clap::Args;

use super::failure::Failure;
use super::session::Session;
use crate::config::{ChannelReach, ProviderOptions, Role, SecretsOptions};
use report::Report;

/// What Postgres alone tells.
const OF_THE_JOURNAL: [&str; 8] =
    ["relay", "read models", "leases", "targets", "queue", "listings", "channels", "secrets"];

#[derive(Debug, Args)]
#[command(
    after_help = "Each line is ok, warn or FAIL; FAIL means that the service does not work like this, and makes \
    the exit code 1.\nRun it where `serve` runs: it looks at the same secrets, and takes the \
    same --allow-private-channels, --roles and identity provider."
)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    reach: ChannelReach,
    #[command(flatten)]
    secrets: SecretsOptions,
    /// The roles that `serve` runs here; all of them by default
    #[arg(long, value_enum, value_delimiter = ',', env = "DISTRIBUTION_ROLES")]
    roles: Vec<Role>,
    #[command(flatten)]
    providers: ProviderOptions,
}

impl DoctorArgs {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let mut report = Report::new(session.out);
        let pool = postgres::check(&session.connections, &mut report).await?;
        let nats = nats::check(&session.connections, pool.as_ref(), &mut report).await?;
        if let Some(pool) = &pool {
            if let Some(nats) = &nats {
                nats::check_relay(pool, nats, &mut report).await?;
            }
            work::check(pool, &mut report).await?;
            listings::check(pool, &mut report).await?;
            channels::check(pool, self.reach, &mut report).await?;
            secrets::check(pool, &self.secrets, &mut report).await?;
            secrets::check_left_behind(pool, &self.secrets, &mut report).await?;
            secrets::check_owners(&self.secrets, &mut report)?;
        } else {
            let detail = format!("not known without the journal: {}", OF_THE_JOURNAL.join(", "));
            report.warn("the rest", detail, "mend that first, then run this again")?;
        }
        key::check(&self.secrets, &self.providers, &self.roles, &mut report)?;
        files::check(&mut report)?;
        if report.finish()? { Ok(()) } else { Err(Failure::CheckFailed.into()) }
    }
}
