//! `listing preview`: a dry run.

use anyhow::Context;
use clap::Args;
use domain::ids::ListingId;

use super::point::Point;
use crate::cli::session::Session;
use crate::views::preview::{Wanted, preview};

#[derive(Debug, Args)]
#[command(
    after_help = "Without a state of the past it is what the sync that waits sends, which may be a replay, or else what \
    differs of the unit's newest state. With --force it is all of the newest state, as `listing sync` sends it. A state \
    of the past is sent as a whole, as `listing replay` does. Nothing is sent, and nothing is written.\n\n\
    Example:\n  distribution listing preview 3f2c… --as-of 2026-11-25T09:59:00Z"
)]
pub(in crate::cli) struct PreviewArgs {
    /// The listing
    #[arg(value_name = "LISTING")]
    listing_id: ListingId,
    #[command(flatten)]
    point: Point,
    /// As `listing sync` would send it: every section, whatever the channel has
    #[arg(long)]
    force: bool,
}

impl PreviewArgs {
    pub(in crate::cli) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let pool = session.postgres().await?;
        let id = self.listing_id;
        let wanted = Wanted { snapshot: self.point.resolve(&pool, id).await?, forced: self.force };
        let previewed = preview(&session.syncing(&pool), &pool, pool.acquire(), id, wanted).await;
        let previewed = previewed.with_context(|| format!("listing {id}"))?;
        if session.out.is_json() {
            return session.out.json(&previewed);
        }
        session.out.line(&previewed.words.join("\n"))
    }
}
