//! What changes a listing's life: pause, resume, unlink.

use anyhow::Context;
use clap::Args;
use domain::ids::ListingId;
use domain::listing::{ListingCommand, ListingError};
use serde_json::json;

use crate::cli::arguments;
use crate::cli::session::Session;

#[derive(Debug, Args)]
pub(in crate::cli) struct ReasonArgs {
    /// The listing
    #[arg(value_name = "LISTING")]
    listing_id: ListingId,
    /// Why; it stands in the journal
    #[arg(long, value_parser = arguments::reason, default_value = "asked for at the command line")]
    reason: String,
}

impl ReasonArgs {
    pub(in crate::cli) async fn pause(self, session: &Session) -> anyhow::Result<()> {
        let command = ListingCommand::Pause { reason: self.reason };
        change_listing(session, self.listing_id, command, "paused").await
    }

    pub(in crate::cli) async fn unlink(self, session: &Session) -> anyhow::Result<()> {
        let command = ListingCommand::Unlink { reason: self.reason };
        change_listing(session, self.listing_id, command, "unlinked").await
    }
}

pub(super) async fn resume(session: &Session, listing_id: ListingId) -> anyhow::Result<()> {
    change_listing(session, listing_id, ListingCommand::Resume, "active").await
}

async fn change_listing(
    session: &Session,
    listing_id: ListingId,
    command: ListingCommand,
    did: &str,
) -> anyhow::Result<()> {
    let pool = session.postgres().await?;
    let syncing = session.syncing(&pool);
    let whose = || format!("listing {listing_id}");
    let listing = syncing.commands().load_listing(listing_id).await.with_context(whose)?;
    let link = listing.link().ok_or(ListingError::NotFound).map_err(anyhow::Error::new).with_context(whose)?;
    let (by, mut stage) = session.asked("change a listing");
    stage.set("distribution.listing.id", listing_id.to_string());
    let position = syncing.commands().listing(listing_id, command, &by.on(link)).await.with_context(whose)?;
    if session.out.is_json() {
        let changed = position.is_some();
        return session.out.json(&json!({ "listing_id": listing_id, "changed": changed, "position": position }));
    }
    session.out.line(&format!("listing {listing_id} is now {did}"))
}
