//! Who a request's credential belongs to: a bearer token, or the session of a browser.

use adapters::identity::{
    LocalIdentity, OidcLogin, SESSION_COOKIE, ServiceTokens, Sessions, SignInLinks, TokenError, csrf_matches,
};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use domain::access::Caller;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use super::known::Print;
use super::problem::{Problem, ProblemKind};

/// The header that unsafe requests of a session carry; `GET /api/channels/me` gives its value.
pub(crate) const CSRF_HEADER: &str = "x-csrf-token";

/// The credentials that this service takes.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Tokens that this service has signed; only where there is no identity provider.
    pub local: Option<LocalIdentity>,
    /// Tokens of the identity provider.
    pub services: Option<ServiceTokens>,
    /// Where people sign in, if there is a provider.
    pub oidc: Option<OidcLogin>,
    /// One-time links; they are taken only where there is no identity provider.
    pub links: SignInLinks,
    /// Browsers that are signed in.
    pub sessions: Sessions,
}

/// What a request proves with who sends it.
#[derive(Debug, Clone)]
pub(crate) enum Credential {
    /// A bearer token.
    Bearer(SecretString),
    /// The value of a session's cookie.
    Session(SecretString),
}

impl Credential {
    /// The cookie, where it is one.
    pub(crate) fn cookie(&self) -> Option<&str> {
        match self {
            Self::Bearer(_) => None,
            Self::Session(cookie) => Some(cookie.expose_secret()),
        }
    }

    /// That of a request: a token, whatever cookie comes beside it.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut given = headers.get_all(header::AUTHORIZATION).into_iter();
        if let Some(value) = given.next() {
            // Whoever stands in between may have looked at the other one.
            if given.next().is_some() {
                return Err(refused("give one Authorization"));
            }
            let bearer = value.to_str().ok().and_then(|text| text.split_once(' '));
            return match bearer {
                Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Self::Bearer(token.trim().into())),
                _ => Err(refused("only bearer tokens are taken: Authorization: Bearer TOKEN")),
            };
        }
        let cookie = session_cookie(headers);
        let none = || refused("sign in at /sign-in, or send a bearer token: Authorization: Bearer TOKEN");
        cookie.map(|cookie| Self::Session(cookie.into())).ok_or_else(none)
    }

    /// By which it is known, and not given away.
    pub(super) fn print(&self) -> Print {
        let (Self::Bearer(secret) | Self::Session(secret)) = self;
        let of_its_kind = Sha256::new().chain_update(self.kind()).chain_update([0]);
        of_its_kind.chain_update(secret.expose_secret()).finalize().into()
    }

    /// Which kind it is.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Bearer(_) => "token",
            Self::Session(_) => "cookie",
        }
    }

    /// Refuses an unsafe request of a session that does not carry its token.
    pub(super) fn not_forged(&self, method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
        let Self::Session(cookie) = self else { return Ok(()) };
        let given = headers.get(CSRF_HEADER).and_then(|given| given.to_str().ok()).unwrap_or_default();
        if method.is_safe() || csrf_matches(cookie.expose_secret(), given) {
            return Ok(());
        }
        let problem = ProblemKind::Forbidden.because("send the csrf_token of GET /api/channels/me with this request");
        Err(Problem { field: Some("X-CSRF-Token".to_owned()), ..problem })
    }
}

/// For handlers whose answer goes on after it has begun.
impl<S: Send + Sync> FromRequestParts<S> for Credential {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        Self::of(&parts.headers)
    }
}

impl Identity {
    /// Whose a credential is. It costs a query, or the check of a signature.
    pub(super) async fn caller(&self, credential: &Credential) -> Result<Caller, Problem> {
        match credential {
            Credential::Bearer(token) => self.bearer(token.expose_secret()).await,
            Credential::Session(cookie) => {
                let caller = self.sessions.find(cookie.expose_secret()).await?;
                caller.ok_or_else(|| refused("the session has ended: sign in again at /sign-in"))
            }
        }
    }

    /// Whether it may be worth a look where there are too many for one each: a session that there is, as it was seen a moment ago. Of
    /// tokens nothing can be told for less.
    pub(super) async fn may_be_good(&self, credential: &Credential) -> Result<bool, Problem> {
        match credential {
            Credential::Bearer(_) => Ok(false),
            Credential::Session(cookie) => Ok(self.sessions.may_be_one(cookie.expose_secret()).await?),
        }
    }

    /// Whether a credential that was good still is, for an answer that goes on. To ask is no request: it keeps no session
    /// alive. A token that cannot be checked any more would not be let in either.
    pub(crate) async fn still_takes(&self, credential: &Credential) -> Result<bool, sqlx::Error> {
        match credential {
            Credential::Bearer(token) => Ok(self.bearer(token.expose_secret()).await.is_ok()),
            Credential::Session(cookie) => self.sessions.lives(cookie.expose_secret()).await,
        }
    }

    async fn bearer(&self, token: &str) -> Result<Caller, Problem> {
        let caller = match (&self.services, &self.local) {
            (Some(services), _) => services.caller(token).await,
            (None, Some(local)) => local.caller(token),
            (None, None) => return Err(refused("services have no tokens here: DISTRIBUTION_JWKS_URL is not set")),
        };
        caller.map_err(|error| not_good(&error))
    }
}

fn not_good(error: &TokenError) -> Problem {
    if error.is_outage() {
        tracing::error!(error = %error, "tokens cannot be checked");
        return ProblemKind::Unavailable.because("the identity provider cannot be reached; try again").retry_after(1);
    }
    refused(&error.to_string())
}

fn refused(reason: &str) -> Problem {
    Problem { field: Some("Authorization".to_owned()), ..ProblemKind::Unauthenticated.because(reason) }
}

/// The value of the session's cookie.
pub(crate) fn session_cookie(headers: &HeaderMap) -> Option<String> {
    cookie(headers, SESSION_COOKIE)
}

/// The value of a cookie.
pub(crate) fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    cookies(headers).find(|(found, _)| *found == name).map(|(_, value)| value.to_owned())
}

/// The names of the cookies that begin with this, in their order.
pub(crate) fn cookies_below(headers: &HeaderMap, begin: &str) -> Vec<String> {
    cookies(headers).map(|(name, _)| name.to_owned()).filter(|name| name.starts_with(begin)).collect()
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let lines = headers.get_all(header::COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='))
}
