//! Bearer tokens of an identity provider, for services.

use std::sync::Arc;

use domain::access::{Caller, CredentialKind};

use super::claims::ClaimNames;
use super::jwks::Jwks;
use super::provider_url::ProviderUrl;
use super::token::{Rules, TokenError, signed};

/// Whose tokens are taken.
#[derive(Debug, Clone)]
pub struct ServiceTokenOptions {
    /// Where the issuer publishes its keys.
    pub jwks_url: ProviderUrl,
    /// The claim `iss`, exactly.
    pub issuer: String,
    /// What the claim `aud` must be or have.
    pub audience: String,
    /// Which claims say who it is.
    pub claims: ClaimNames,
}

/// Checks tokens against the keys that their issuer publishes. Cheap to clone; clones share the keys.
#[derive(Debug, Clone)]
pub struct ServiceTokens(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    keys: Jwks,
    rules: Rules,
}

impl ServiceTokens {
    /// Asks nobody yet: the keys are fetched when the first token comes.
    pub fn new(options: ServiceTokenOptions) -> Result<Self, reqwest::Error> {
        let ServiceTokenOptions { jwks_url, issuer, audience, claims } = options;
        let rules = Rules { issuer, audience, claims, credential: CredentialKind::ServiceToken };
        Ok(Self(Arc::new(Inner { keys: Jwks::new(jwks_url)?, rules })))
    }

    /// Whether tokens can be checked now: the issuer's keys are at hand, or it gives them.
    pub async fn ready(&self) -> bool {
        self.0.keys.at_hand().await
    }

    /// Who has sent a bearer token.
    pub async fn caller(&self, bearer: &str) -> Result<Caller, TokenError> {
        let signed = signed(bearer)?;
        let key = self.0.keys.find(&signed).await?;
        self.0.rules.caller(bearer, &key)
    }
}
