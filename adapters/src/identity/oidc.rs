//! People sign in at an OpenID provider: authorization code with PKCE, state and nonce, bound to the browser that began.
//! They are signed out there, too.

mod attempts;
mod client;
mod failure;
mod id_token;
mod metadata;
mod return_path;

use std::sync::Arc;

use cookie::Cookie;
use cookie::time::Duration;
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
use attempts::{Attempt, Attempts, LIFETIME_S};
use client::Provider;

pub use failure::LoginError;
pub use return_path::local as path_on_this_host;

/// What the names of cookies begin with that bind logins to the browser that began them: one for each, so that several can be under way.
pub const LOGIN_COOKIES: &str = "__Host-distribution-login-";
/// How many a browser has at the same time. More would only be forgotten pages.
pub const MOST_LOGINS: usize = 8;

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

/// The name of the cookie of the login with this state.
pub fn login_cookie(state: &str) -> String {
    format!("{LOGIN_COOKIES}{}", hex::encode(&hash(state)[..8]))
}

/// Tells a browser to forget the cookie of a login, by its name.
pub fn login_cookie_removal(name: String) -> Cookie<'static> {
    removal(name)
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
        let name = login_cookie(state.expose_secret());
        let mut cookie = host_cookie(name, browser.expose_secret().to_owned());
        cookie.set_max_age(Duration::seconds(LIFETIME_S.into()));
        Ok(LoginStart { redirect, cookie })
    }

    /// Whether what a browser brings back may be the provider's, by the `iss` that may stand with it (RFC 9207).
    pub fn may_have_sent(&self, issuer: Option<&str>) -> bool {
        issuer.is_none_or(|issuer| issuer == self.0.provider.options.issuer.as_str())
    }

    /// Ends a login with what the provider sent back by the browser, `iss` too where that came, and the value of the login's cookie. An
    /// attempt is used up, however it ends; what comes from elsewhere ends none.
    pub async fn finish(
        &self,
        code: &str,
        state: &str,
        issuer: Option<&str>,
        browser: &str,
    ) -> Result<LoginEnd, LoginError> {
        if !self.may_have_sent(issuer) {
            return Err(LoginError::Elsewhere);
        }
        let taken = self.0.attempts.take(&hash(state), &hash(browser)).await?;
        let attempt = taken.ok_or(LoginError::NotBegun)?;
        let sources = self.0.provider.claims(code, attempt.pkce_verifier, attempt.nonce).await?;
        let grant = self.0.provider.options.claims.grant(&sources)?;
        Ok(LoginEnd { grant, return_to: attempt.return_to })
    }

    /// Ends a login for which the provider gave no code. Anybody can lead a browser here with an error of their own, so what it brings
    /// counts with the state and the cookie of a login under way alone.
    pub async fn give_up(&self, state: &str, browser: &str) -> Result<(), LoginError> {
        let taken = self.0.attempts.take(&hash(state), &hash(browser)).await?;
        taken.map(drop).ok_or(LoginError::NotBegun)
    }

    /// Where a browser whose session has ended is to be sent, so that the provider does not let whoever comes next in as the
    /// one before. It comes back to `signed-out`, beside `sign-in`. `None` where the provider has no such place.
    pub async fn sign_out(&self) -> Result<Option<Url>, LoginError> {
        self.0.provider.sign_out().await
    }
}
