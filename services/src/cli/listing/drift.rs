//! `listing drift`: the listing at its channel against what was sent last.

use anyhow::Context;
use clap::Args;
use domain::ids::ListingId;

use crate::cli::failure::Failure;
use crate::cli::session::Session;
use crate::config::{CallOptions, ChannelReach, SecretsOptions};
use crate::drift::DriftReader;
use crate::serve::channels;

#[derive(Debug, Args)]
#[command(
    after_help = "Only fields that we send are compared. Nights that a reservation holds, and what the channel refused of \
    the last sync, are listed and do not count. Its calls take slots of the target's window, as those of `serve` do, and wait \
    for them up to 20 s; a target that is paused or unauthorised is not called.\n\n\
    Exit code 0: it is what was sent last; 1: it differs, something was sent meanwhile, or it \
    could not be read.\n\n\
    Example, find and heal:\n  \
    distribution listing drift 3f2c… || distribution listing sync 3f2c… --reason 'edited at the channel'"
)]
pub(in crate::cli) struct DriftArgs {
    /// The listing
    #[arg(value_name = "LISTING")]
    listing_id: ListingId,
    #[command(flatten)]
    secrets: SecretsOptions,
    #[command(flatten)]
    reach: ChannelReach,
    #[command(flatten)]
    calls: CallOptions,
}

impl DriftArgs {
    pub(in crate::cli) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let pool = session.postgres().await?;
        let channels = channels(&self.calls, &self.secrets, self.reach)?;
        let reader = DriftReader::new(pool.clone(), session.syncing(&pool), channels, self.calls.egress());
        let id = self.listing_id;
        let (by, mut stage) = session.asked("look for drift");
        stage.set("distribution.listing.id", id.to_string());
        let drift = reader.read(id, by, pool.acquire()).await.with_context(|| format!("listing {id}"))?;
        if session.out.is_json() {
            session.out.json(&drift)?;
        } else {
            session.out.line(&drift.words.join("\n"))?;
        }
        if drift.in_line { Ok(()) } else { Err(Failure::CheckFailed.into()) }
    }
}
