//! Who may come in: an identity provider for people and one for services, or, where there is none, this service itself.

use std::sync::Arc;

use adapters::identity::{ClaimNames, OidcLogin, OidcOptions, ProviderUrl, ServiceTokenOptions, ServiceTokens};
use adapters::secrets::SecretStore;
use anyhow::Context;
use clap::Args;
use sqlx::PgPool;

/// Whether there is an identity provider.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Identity")]
pub struct ProviderOptions {
    /// The OpenID provider at which people sign in, as it names itself
    #[arg(long, env = "DISTRIBUTION_OIDC_ISSUER", value_name = "URL")]
    pub oidc_issuer: Option<ProviderUrl>,

    /// Where the keys of the services' tokens are
    #[arg(long, env = "DISTRIBUTION_JWKS_URL", value_name = "URL")]
    pub jwks_url: Option<ProviderUrl>,
}

impl ProviderOptions {
    /// The setting that says so; this service gives out neither links nor tokens then.
    pub fn provider(&self) -> Option<&'static str> {
        let oidc = self.oidc_issuer.as_ref().map(|_| "DISTRIBUTION_OIDC_ISSUER");
        oidc.or(self.jwks_url.as_ref().map(|_| "DISTRIBUTION_JWKS_URL"))
    }
}

/// How callers are known.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Identity")]
pub struct IdentityOptions {
    #[command(flatten)]
    /// Whether there is an identity provider.
    pub providers: ProviderOptions,

    /// What the OpenID provider knows this service by
    #[arg(long, env = "DISTRIBUTION_OIDC_CLIENT_ID", default_value = "distribution", value_name = "ID")]
    pub oidc_client_id: String,

    /// Where the client's secret is: file:NAME or env:NAME; public clients have none
    #[arg(long, env = "DISTRIBUTION_OIDC_CLIENT_SECRET_REF", value_name = "REF")]
    pub oidc_client_secret_ref: Option<String>,

    /// Where the OpenID provider sends people back to: BASE/sign-in/callback. After a sign-out it is BASE/signed-out
    #[arg(long, env = "DISTRIBUTION_OIDC_REDIRECT_URL", requires = "oidc_issuer", value_name = "URL")]
    pub oidc_redirect_url: Option<ProviderUrl>,

    /// What is asked of the OpenID provider beside `openid`
    #[arg(long, env = "DISTRIBUTION_OIDC_SCOPES", value_delimiter = ',', value_name = "SCOPES")]
    pub oidc_scopes: Vec<String>,

    /// The issuer of the services' tokens (claim iss); the OpenID provider by default
    #[arg(long, env = "DISTRIBUTION_TOKEN_ISSUER", value_name = "ISSUER")]
    pub token_issuer: Option<String>,

    /// What the services' tokens must be for (claim aud)
    #[arg(long, env = "DISTRIBUTION_TOKEN_AUDIENCE", default_value = "distribution", value_name = "AUDIENCE")]
    pub token_audience: String,

    /// The claim that says who it is
    #[arg(long, env = "DISTRIBUTION_CLAIM_SUBJECT", default_value = "sub", value_name = "CLAIM")]
    pub claim_subject: String,

    /// The claim with the organisation; a name that begins with / is a JSON pointer
    #[arg(long, env = "DISTRIBUTION_CLAIM_ORG", default_value = "org_id", value_name = "CLAIM")]
    pub claim_org: String,

    /// The claim with the accounts; without it, all of the organisation
    #[arg(long, env = "DISTRIBUTION_CLAIM_ACCOUNTS", default_value = "account_ids", value_name = "CLAIM")]
    pub claim_accounts: String,

    /// The claim with the roles
    #[arg(long, env = "DISTRIBUTION_CLAIM_ROLES", default_value = "roles", value_name = "CLAIM")]
    pub claim_roles: String,
}

impl IdentityOptions {
    /// The check of the services' tokens, where their keys are known.
    pub fn service_tokens(&self) -> anyhow::Result<Option<ServiceTokens>> {
        let Some(jwks_url) = self.providers.jwks_url.clone() else { return Ok(None) };
        let issuer = self.providers.oidc_issuer.as_ref().map(|issuer| issuer.as_str().to_owned());
        let issuer = self.token_issuer.clone().or(issuer);
        let issuer = issuer.context("DISTRIBUTION_JWKS_URL needs DISTRIBUTION_TOKEN_ISSUER: whose tokens are taken")?;
        let audience = self.token_audience.clone();
        let options = ServiceTokenOptions { jwks_url, issuer, audience, claims: self.claims() };
        Ok(Some(ServiceTokens::new(options)?))
    }

    /// The login of people, where there is an OpenID provider.
    pub fn oidc_login(&self, secrets: Arc<dyn SecretStore>, pool: PgPool) -> anyhow::Result<Option<OidcLogin>> {
        let Some(issuer) = self.providers.oidc_issuer.clone() else { return Ok(None) };
        let back = "DISTRIBUTION_OIDC_ISSUER needs DISTRIBUTION_OIDC_REDIRECT_URL, e.g. https://HOST/sign-in/callback";
        let redirect_url = self.oidc_redirect_url.clone().context(back)?;
        // The reference is not parsed by clap, whose error would show the secret that somebody gave instead.
        let client_secret = self.oidc_client_secret_ref.as_ref().map(|text| text.parse()).transpose();
        let client_secret = client_secret.context("DISTRIBUTION_OIDC_CLIENT_SECRET_REF")?;
        let (client_id, scopes) = (self.oidc_client_id.clone(), self.oidc_scopes.clone());
        let claims = self.claims();
        let options = OidcOptions { issuer, client_id, client_secret, redirect_url, scopes, claims };
        Ok(Some(OidcLogin::new(options, secrets, pool)?))
    }

    fn claims(&self) -> ClaimNames {
        ClaimNames {
            subject: self.claim_subject.clone(),
            org: self.claim_org.clone(),
            accounts: self.claim_accounts.clone(),
            roles: self.claim_roles.clone(),
        }
    }
}
