//! `unit reread`: the intake begins anew at the oldest unit change that NATS keeps.

use clap::Args;
use domain::counted::counted;
use serde_json::json;

use crate::cli::session::Session;

#[derive(Debug, Args)]
#[command(
    after_help = "After a restore the journal lacks what was taken in since the backup, and NATS knows it as done.\n\
    Where the intake's consumer had a filter, which `distribution doctor` warns of, what it passed over is taken in, too.\n\
    A revision that the journal has does nothing when it comes again, so this does no harm at any other time; messages\n\
    that cannot be used become dead letters once more."
)]
pub(in crate::cli) struct RereadArgs {}

impl RereadArgs {
    pub(in crate::cli) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let kept = session.jetstream().await?.rewind_intake().await?;
        if session.out.is_json() {
            return session.out.json(&json!({ "messages": kept }));
        }
        session.out.line(&format!("{} to be taken in again", counted(kept, "unit change")))
    }
}
