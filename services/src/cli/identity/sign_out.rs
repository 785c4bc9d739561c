//! `sign-out`: ends sessions from outside.

use adapters::identity::Sessions;
use clap::Args;
use domain::counted::counted;
use domain::ids::OrgId;
use serde_json::json;

use super::grant::subject;
use crate::cli::session::Session;

#[derive(Debug, Args)]
#[command(after_help = "Ends sessions at once, and sign-in links that were not used yet. Tokens of services end by \
    themselves.\n\n\
    Example:\n  distribution sign-out --subject ana@example.org")]
pub(crate) struct SignOutArgs {
    /// Who, as the session names it
    #[arg(long, value_name = "NAME", value_parser = subject)]
    subject: String,

    /// In this organisation alone
    #[arg(long, value_name = "ORG")]
    org: Option<OrgId>,
}

impl SignOutArgs {
    pub(crate) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let sessions = Sessions::new(session.postgres().await?);
        let ended = sessions.end_all(&self.subject, self.org.as_ref()).await?;
        if session.out.is_json() {
            return session.out.json(&json!({ "subject": self.subject, "ended": ended }));
        }
        session.out.line(&format!("ended {} of {}", counted(usize::try_from(ended)?, "session"), self.subject))
    }
}
