//! `unit`: publishing changes as a supply system would, and seeing what the service knows about units.

mod publish;
mod publishing;
mod read;
mod reread;
mod sending;
mod waiting;

use clap::Subcommand;

use super::session::Session;

#[derive(Debug, Subcommand)]
pub(super) enum UnitCommand {
    /// Publish unit changes from a file, one JSON message per line
    Publish(publish::PublishArgs),
    /// Take everything in again that NATS still keeps: after the database was put back to an earlier state
    Reread(reread::RereadArgs),
    /// The units of an organisation
    List(read::ListArgs),
    /// A unit as a message showed it
    Show(read::ShowArgs),
    /// How many messages ended how, by organisation
    Stats,
}

impl UnitCommand {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        match self {
            Self::Publish(args) => args.run(session).await,
            Self::Reread(args) => args.run(session).await,
            Self::List(args) => args.run(session).await,
            Self::Show(args) => args.run(session).await,
            Self::Stats => read::stats(session).await,
        }
    }
}
