//! `token`: a bearer token, signed with the key in the secrets folder, and shown once.

use std::fmt::Write as _;
use std::str::FromStr;

use adapters::identity::LocalIdentity;
use chrono::TimeDelta;
use clap::Args;
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::grant::{GrantArgs, subject};
use super::{look_whether_serve_has_one, refuse_beside};
use crate::cli::output::note;
use crate::cli::session::Session;
use crate::cli::times::moment;
use crate::config::{ProviderOptions, SecretsOptions};

#[derive(Debug, Args)]
#[command(
    after_help = "The token alone goes to stdout. It is signed with a key in the secrets folder (.signing-key, mode 0600), \
    made when it is needed first: `serve` must use the same folder. A token cannot be taken back; deleting the key, \
    and a restart of `serve`, end all of them. Where `serve` was last started with an identity provider none is given \
    out; without Postgres that is not known, and a warning says so.\n\n\
    Examples:\n  \
    distribution token --subject pricing-service --org sunstay --role viewer\n  \
    distribution token --subject ci --org sunstay --account bali --role channel-publisher --expires-in 10m\n  \
    curl -H \"Authorization: Bearer $(distribution token --subject me --org sunstay --role viewer)\" \\\n    \
    http://localhost:8080/api/channels/targets"
)]
pub(crate) struct TokenArgs {
    /// Who uses it, as the journal will name it
    #[arg(long, value_name = "NAME", value_parser = subject)]
    subject: String,

    #[command(flatten)]
    grant: GrantArgs,

    /// When it ends: 30s, 10m, 12h or 7d; 90d at most
    #[arg(long, default_value = "1h", value_name = "SPAN")]
    expires_in: Lifetime,

    #[command(flatten)]
    secrets: SecretsOptions,

    #[command(flatten)]
    providers: ProviderOptions,
}

impl TokenArgs {
    pub(crate) async fn run(self, session: &Session) -> anyhow::Result<()> {
        refuse_beside(&self.providers)?;
        look_whether_serve_has_one(session).await?;
        let identity = LocalIdentity::open(&self.secrets.secrets_dir)?;
        let grant = self.grant.of(self.subject);
        let issued = identity.issue(&grant, self.expires_in.0)?;
        let token = issued.token.expose_secret();
        if session.out.is_json() {
            return session.out.json(&json!({
                "token": token,
                "token_id": issued.token_id,
                "key_id": identity.key_id(),
                "subject": grant.subject,
                "expires_at": issued.expires_at,
            }));
        }
        let mut remark = format!("for {} in {}, until {}", grant.subject, grant.org_id, moment(issued.expires_at));
        write!(remark, "; shown this once, its id is {}", issued.token_id)?;
        note(&remark);
        session.out.line(token)
    }
}

/// How long a token lives.
#[derive(Debug, Clone, Copy)]
struct Lifetime(TimeDelta);

impl FromStr for Lifetime {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "use a whole number with s, m, h or d, e.g. 1h; 1s to 90d".to_owned();
        let at = text.len().checked_sub(1).filter(|at| text.is_char_boundary(*at)).ok_or_else(wrong)?;
        let (number, unit) = text.split_at(at);
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return Err(wrong()),
        };
        let number: u32 = number.parse().map_err(|_| wrong())?;
        let span = TimeDelta::seconds(i64::from(number) * seconds);
        let fits = span >= TimeDelta::seconds(1) && span <= TimeDelta::days(90);
        if fits { Ok(Self(span)) } else { Err(wrong()) }
    }
}
