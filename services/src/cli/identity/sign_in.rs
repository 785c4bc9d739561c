//! `sign-in`: a link by which a person signs in, once.

use adapters::identity::{ProviderUrl, SignInLinks, told_provider};
use clap::Args;
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::grant::{GrantArgs, subject};
use super::{refuse_beside, refuse_beside_that_of_serve};
use crate::cli::output::note;
use crate::cli::session::Session;
use crate::cli::times::moment;
use crate::config::ProviderOptions;

#[derive(Debug, Args)]
#[command(after_help = "The link alone goes to stdout. It can be used once, within 15 minutes. Where `serve` was \
    last started with an identity provider there is none.\n\n\
    Examples:\n  \
    distribution sign-in --org sunstay --role owner\n  \
    distribution sign-in --org sunstay --account bali --role viewer --subject ana@example.org \\\n    \
    --url https://channels.example.org")]
pub(crate) struct SignInArgs {
    #[command(flatten)]
    grant: GrantArgs,

    /// Who signs in, as the journal will name it; whoever runs this by default
    #[arg(long, value_name = "NAME", value_parser = subject)]
    subject: Option<String>,

    /// Where the service is reached by browsers
    #[arg(long, env = "DISTRIBUTION_PUBLIC_URL", default_value = "http://localhost:8080", value_name = "BASE")]
    url: ProviderUrl,

    #[command(flatten)]
    providers: ProviderOptions,
}

impl SignInArgs {
    pub(crate) async fn run(self, session: &Session) -> anyhow::Result<()> {
        refuse_beside(&self.providers)?;
        let grant = self.grant.of(self.subject.unwrap_or_else(|| session.actor.name.clone()));
        let pool = session.postgres().await?;
        refuse_beside_that_of_serve(told_provider(&mut *pool.acquire().await?).await?)?;
        let links = SignInLinks::new(pool);
        let link = links.create(&grant, &session.actor.name).await?;
        let base = self.url.as_str().trim_end_matches('/');
        let url = format!("{base}/sign-in?code={}", link.code.expose_secret());
        if session.out.is_json() {
            let answer = json!({ "url": url, "subject": grant.subject, "expires_at": link.expires_at });
            return session.out.json(&answer);
        }
        note(&format!("for {} in {}, once, until {}", grant.subject, grant.org_id, moment(link.expires_at)));
        session.out.line(&url)
    }
}
