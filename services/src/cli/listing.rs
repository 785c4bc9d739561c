//! `listing`: units on targets. A listing's id is made from its target and its unit, so a pair has one for ever.

mod change;
mod drift;
mod history;
mod link;
mod list;
mod point;
mod preview;
mod resend;
mod show;
mod summary;

use clap::{Args, Subcommand};
use domain::ids::ListingId;

use super::session::Session;

#[derive(Debug, Subcommand)]
pub(super) enum ListingCommand {
    /// Put units on a target; each is sent at once
    Link(link::LinkArgs),
    /// The listings
    List(list::ListArgs),
    /// One listing: where it is, what is pending, how the last sync ended
    Show(ListingArg),
    /// Everything that happened to it
    History(history::HistoryArgs),
    /// What would be sent now, as a difference against what the channel took last; nothing is sent
    Preview(preview::PreviewArgs),
    /// Where it is not what was sent last: reads the channel, inside the target's window; exit code 1 where it differs
    Drift(drift::DriftArgs),
    /// Send the latest state once more, all of it
    Sync(resend::SyncArgs),
    /// Send a snapshot of the past once more
    Replay(resend::ReplayArgs),
    /// Hold its syncs
    Pause(change::ReasonArgs),
    /// Send again
    Resume(ListingArg),
    /// Take it off its target; what stands at the channel stays there
    Unlink(change::ReasonArgs),
}

#[derive(Debug, Clone, Copy, Args)]
pub(super) struct ListingArg {
    /// The listing
    #[arg(value_name = "LISTING")]
    listing_id: ListingId,
}

impl ListingCommand {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        match self {
            Self::Link(args) => args.run(session).await,
            Self::List(args) => args.run(session).await,
            Self::Show(listing) => show::show(session, listing.listing_id).await,
            Self::History(args) => args.run(session).await,
            Self::Preview(args) => args.run(session).await,
            Self::Drift(args) => args.run(session).await,
            Self::Sync(args) => args.run(session).await,
            Self::Replay(args) => args.run(session).await,
            Self::Pause(args) => args.pause(session).await,
            Self::Resume(listing) => change::resume(session, listing.listing_id).await,
            Self::Unlink(args) => args.unlink(session).await,
        }
    }
}
