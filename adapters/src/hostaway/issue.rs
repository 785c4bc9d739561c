//! The token endpoint: what it is asked, and what it answers.

use std::time::Duration;

use bytes::Bytes;
use chrono::Utc;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use zeroize::Zeroizing;

use super::answer;
use super::client::{NoReply, Reply};
use super::failure::{Failure, Reach};
use super::token::Issued;
use super::verdict::{self, Effect};
use super::withheld::Withheld;

/// Where the token comes from, below the base URL.
pub(super) const PATH: &str = "/accessTokens";
/// Where the token endpoint does not say how long a token lives: the shortest that anyone would choose.
const UNSAID_LIFETIME: Duration = Duration::from_secs(3_600);
/// No token is kept for longer, whatever its lifetime: of some no clock can tell the end.
const LONGEST_LIFETIME: Duration = Duration::from_secs(2 * 366 * 24 * 3_600);

/// The request's body, which is wiped once it is sent.
pub(super) fn form(account: &str, secret: &SecretString) -> Bytes {
    let secret = secret.expose_secret();
    // Room for all, each byte escaped: a buffer that grows leaves its old content behind.
    let room = String::with_capacity(128 + account.len() + 3 * secret.len());
    let mut form = form_urlencoded::Serializer::new(room);
    form.append_pair("grant_type", "client_credentials").append_pair("client_id", account);
    form.append_pair("client_secret", secret).append_pair("scope", "general");
    Bytes::from_owner(Zeroizing::new(form.finish()))
}

/// The token endpoint's answer, which comes without the envelope. Its refusal is of the credentials as a whole.
pub(super) fn issued(reply: Result<Reply, NoReply>, withheld: &Withheld) -> Result<Issued, Failure> {
    let refuses = reply.as_ref().is_ok_and(is_refusal);
    let body = verdict::successful(reply, Effect::Read, Utc::now(), withheld).map_err(|failure| {
        let refused = failure.reach == Reach::Denied || refuses;
        if refused { Failure { answer: failure.answer, ..Failure::credentials(failure.detail) } } else { failure }
    })?;
    // What is answered with success and cannot be used is not kept: it could be half a token.
    let body = answer::json(&body).map_err(|why| verdict::malformed(Effect::Read, &why))?;
    let token = body.get("access_token").and_then(Value::as_str).filter(|token| !token.is_empty());
    let header = token.and_then(|token| HeaderValue::try_from(format!("Bearer {token}")).ok());
    let Some(mut authorization) = header else {
        return Err(verdict::malformed(Effect::Read, "there is no access token in it"));
    };
    authorization.set_sensitive(true);
    let lifetime = body.get("expires_in").and_then(Value::as_u64).map_or(UNSAID_LIFETIME, Duration::from_secs);
    Ok(Issued { authorization, lifetime: lifetime.min(LONGEST_LIFETIME) })
}

/// OAuth servers may refuse a client with a plain 400 (RFC 6749 §5.2), in JSON: a page is somebody else's.
fn is_refusal(reply: &Reply) -> bool {
    let is_json = || reply.body.as_ref().is_ok_and(|body| answer::json(body).is_ok_and(|body| body.is_object()));
    reply.status == reqwest::StatusCode::BAD_REQUEST && is_json()
}
