//! `audit`: every sync job and every call, from the read model `outbound_audit`.

mod show;
mod tail;

use clap::Subcommand;

use super::session::Session;

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// The syncs that changed last, one line each; --follow goes on
    Tail(tail::TailArgs),
    /// One sync with every call that it made
    Show(show::ShowArgs),
}

impl AuditCommand {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        match self {
            Self::Tail(args) => args.run(session).await,
            Self::Show(args) => args.run(session).await,
        }
    }
}
