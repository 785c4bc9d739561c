//! People sign in at an OpenID provider: authorization code with PKCE, state and nonce, bound to the browser that began.
//! They are signed out there, too.

mod attempts;
mod client;
mod failure;
mod metadata;
mod return_path;

use std::sync::Arc;

use cookie::Cookie;
use domain::secret::SecretRef;
use openidconnect::core::CoreAuthenticationFlow;
use openidconnect::{CsrfToken, Nonce, PkceCodeChallenge, Scope};
use secrecy::ExposeSecret as _;
use sqlx::PgPool;
use url::Url;

use super::claims::ClaimNames;
use super::grant::Grant;
use super::provider_url::ProviderUrl;
use super::secret::{hash, hash_of, new_secret};
use super::sessions::{host_cookie, removal};
use crate::secrets::SecretStore;
use attempts::{Attempt, Attempts};
use client::Provider;

pub use failure::LoginError;
pub use return_path::local as path_on_this_host;

/// The cookie that binds a login to the browser that began it.
pub const LOGIN_COOKIE: &str = "__Host-distribution-login";

/// A client of an OpenID provider.
#[derive(Debug, Clone)]
pub struct OidcOptions {
    /// The issuer, exactly as the provider names itself.
    pub issuer: ProviderUrl,
    /// What the provider knows us by.
    pub client_id: String,
    /// Where our secret is; public clients have none.
    pub client_secret: Option<SecretRef>,
    /// Where the provider sends the browser back to, e.g. `https://channels.example.org/sign-in/callback`.
    pub redirect_url: ProviderUrl,
    /// What is asked for beside `openid`.
    pub scopes: Vec<String>,
    /// Which claims say who it is.
    pub claims: ClaimNames,
}

/// Logins at one provider. Cheap to clone.
#[derive(Clone)]
pub struct OidcLogin(Arc<Inner>);

struct Inner {
    provider: Provider,
    attempts: Attempts,
}

impl std::fmt::Debug for OidcLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OidcLogin").field("options", &self.0.provider.options).finish_non_exhaustive()
    }
}

/// A login that has begun.
#[derive(Debug)]
pub struct LoginStart {
    /// Where the browser is sent.
    pub redirect: Url,
    /// To be set in the same answer.
    pub cookie: Cookie<'static>,
}

/// A login that went well. A session is still to begin.
#[derive(Debug)]
pub struct LoginEnd {
    /// Who it is.
    pub grant: Grant,
    /// The path on this host that was asked for at the beginning.
    pub return_to: String,
}

/// Tells a browser to forget the cookie of a login.
pub fn login_cookie_removal() -> Cookie<'static> {
    removal(LOGIN_COOKIE)
}

impl OidcLogin {
    /// Asks nobody yet: the provider is asked for its addresses at the first login.
    pub fn new(options: OidcOptions, secrets: Arc<dyn SecretStore>, pool: PgPool) -> Result<Self, reqwest::Error> {
        let provider = Provider::new(options, secrets)?;
        Ok(Self(Arc::new(Inner { provider, attempts: Attempts { pool } })))
    }

    /// Whether people can sign in now: the provider's addresses are at hand, or it gives them.
    pub async fn ready(&self) -> bool {
        self.0.provider.client().await.is_ok()
    }

    /// Begins a login. Whatever is no path on this host is left out of account: the login ends at `/` then.
    pub async fn begin(&self, return_to: &str) -> Result<LoginStart, LoginError> {
        let client = self.0.provider.client().await?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let state = new_secret();
        let sent = CsrfToken::new(state.expose_secret().to_owned());
        let scopes = self.0.provider.options.scopes.iter().cloned().map(Scope::new);
        let (redirect, _, nonce) = client
            .authorize_url(CoreAuthenticationFlow::AuthorizationCode, || sent, Nonce::new_random)
            .add_scopes(scopes)
            .set_pkce_challenge(challenge)
            .url();
        let browser = new_secret();
        let attempt = Attempt {
            nonce: nonce.secret().clone(),
            pkce_verifier: verifier.secret().clone(),
            return_to: return_path::local(return_to).to_owned(),
        };
        self.0.attempts.keep(&hash_of(&state), &hash_of(&browser), &attempt).await?;
        Ok(LoginStart { redirect, cookie: host_cookie(LOGIN_COOKIE, browser.expose_secret().to_owned()) })
    }

    /// Ends a login with what the provider sent back by the browser and the value of the browser's login cookie. An
    /// attempt is used up, however it ends.
    pub async fn finish(&self, code: &str, state: &str, browser: &str) -> Result<LoginEnd, LoginError> {
        let taken = self.0.attempts.take(&hash(state), &hash(browser)).await?;
        let attempt = taken.ok_or(LoginError::NotBegun)?;
        let sources = self.0.provider.claims(code, attempt.pkce_verifier, attempt.nonce).await?;
        let grant = self.0.provider.options.claims.grant(&sources)?;
        Ok(LoginEnd { grant, return_to: attempt.return_to })
    }

    /// Where a browser whose session has ended is to be sent, so that the provider does not let whoever comes next in as the
    /// one before. It comes back to `signed-out`, beside `sign-in`. `None` where the provider has no such place.
    pub async fn sign_out(&self) -> Result<Option<Url>, LoginError> {
        self.0.provider.sign_out().await
    }
}
