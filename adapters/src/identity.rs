//! Who a caller is: bearer tokens of an identity provider, people who sign in there, and what stands in for it where
//! there is none. What a caller may do is the domain's (`domain::access`).

mod claims;
#[cfg(any(test, fuzzing))]
pub mod fuzz_door;
mod grant;
mod http;
mod jwks;
mod key_file;
mod local;
mod mode;
mod oidc;
mod provider_url;
mod secret;
mod service_tokens;
mod sessions;
mod sign_in_links;
mod token;

pub use claims::{ClaimError, ClaimNames};
pub use grant::Grant;
pub use key_file::KeyFileError;
pub use local::{IssuedToken, LocalIdentity};
pub use mode::{tell_provider, told_provider};
pub use oidc::{
    LOGIN_COOKIES, LoginEnd, LoginError, LoginStart, MOST_LOGINS, OidcLogin, OidcOptions, login_cookie,
    login_cookie_removal, path_on_this_host,
};
pub use provider_url::{InvalidProviderUrl, ProviderUrl};
pub use service_tokens::{ServiceTokenOptions, ServiceTokens};
pub use sessions::{SESSION_COOKIE, Sessions, SignedIn, Way, csrf_matches, csrf_token, session_cookie_removal};
pub use sign_in_links::{NewLink, SignInLinks};
pub use token::TokenError;
