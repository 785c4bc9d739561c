//! Who a request's credential belongs to: a bearer token, or the session of a browser.

use adapters::identity::{
    LocalIdentity, OidcLogin, SESSION_COOKIE, ServiceTokens, Sessions, SignInLinks, TokenError, csrf_matches,
};
use axum::http::{HeaderMap, Method, header};
use domain::access::Caller;

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

impl Identity {
    /// Who sends these headers.
    pub(crate) async fn caller(&self, method: &Method, headers: &HeaderMap) -> Result<Caller, Problem> {
        let mut given = headers.get_all(header::AUTHORIZATION).into_iter();
        if let Some(value) = given.next() {
            // Whoever stands in between may have looked at the other one.
            if given.next().is_some() {
                return Err(refused("give one Authorization"));
            }
            let bearer = value.to_str().ok().and_then(|text| text.split_once(' '));
            return match bearer {
                Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => self.bearer(token.trim()).await,
                _ => Err(refused("only bearer tokens are taken: Authorization: Bearer TOKEN")),
            };
        }
        let Some(cookie) = session_cookie(headers) else {
            return Err(refused("sign in at /sign-in, or send a bearer token: Authorization: Bearer TOKEN"));
        };
        let caller = self.sessions.find(&cookie).await?;
        let caller = caller.ok_or_else(|| refused("the session has ended: sign in again at /sign-in"))?;
        let given = headers.get(CSRF_HEADER).and_then(|given| given.to_str().ok()).unwrap_or_default();
        if !method.is_safe() && !csrf_matches(&cookie, given) {
            let problem =
                ProblemKind::Forbidden.because("send the csrf_token of GET /api/channels/me with this request");
            return Err(Problem { field: Some("X-CSRF-Token".to_owned()), ..problem });
        }
        Ok(caller)
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
    let lines = headers.get_all(header::COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value.to_owned())
}
