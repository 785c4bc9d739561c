//! Issue and revocation of tokens. The answers are bare OAuth objects, not the envelope (documented).

use std::time::Duration;

use axum::{
    body::Bytes,
    extract::{RawQuery, State},
    http::StatusCode,
    response::Response,
};
use serde_json::json;

use crate::{
    envelope::{empty, json_answer},
    query,
    tokens::LIFETIME_S,
    world::Shared,
};

pub async fn issue(State(world): State<Shared>, body: Bytes) -> Response {
    let form = String::from_utf8_lossy(&body);
    let field = |name: &str| query::value(&form, name).unwrap_or_default().into_owned();
    if field("grant_type") != "client_credentials" {
        let about = "The authorization grant type is not supported by the authorization server.";
        return refused(StatusCode::BAD_REQUEST, "unsupported_grant_type", about);
    }
    if field("scope") != "general" {
        let about = "The requested scope is invalid, unknown, or malformed.";
        return refused(StatusCode::BAD_REQUEST, "invalid_scope", about);
    }
    let account = field("client_id").parse().ok().and_then(|id| world.account(id));
    let Some(account) = account.filter(|account| account.books().secret == field("client_secret")) else {
        return refused(StatusCode::UNAUTHORIZED, "invalid_client", "Client authentication failed");
    };
    let delay: Duration = world.config.token_delay;
    let token = world.tokens.issue(account.id, world.clock.now_us(), delay);
    let body = json!({ "token_type": "Bearer", "expires_in": LIFETIME_S, "access_token": token });
    json_answer(StatusCode::OK, &body)
}

/// Revoking needs no other credential than the token itself; an unknown one is a success too.
pub async fn revoke(State(world): State<Shared>, RawQuery(raw): RawQuery) -> Response {
    if let Some(token) = query::value(raw.as_deref().unwrap_or_default(), "token") {
        world.tokens.revoke(&token);
    }
    empty()
}

fn refused(status: StatusCode, error: &str, description: &str) -> Response {
    json_answer(status, &json!({ "error": error, "error_description": description, "message": description }))
}
