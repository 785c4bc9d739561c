//! `/me`: who the caller is, and what it may do.

use adapters::identity::csrf_token;
use axum::Json;
use axum::http::HeaderMap;
use domain::access::{AccessRole, Accounts, CredentialKind, Permission};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::by::By;
use super::identity::session_cookie;
use super::problem::Problem;

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(me))
}

/// The caller.
#[derive(Debug, Serialize, ToSchema)]
struct Me {
    subject: String,
    org_id: String,
    /// The accounts that exist for the caller; null for all of them.
    account_ids: Option<Vec<String>>,
    #[schema(value_type = Vec<String>, example = json!(["Owner"]))]
    roles: Vec<AccessRole>,
    #[schema(value_type = Vec<String>, example = json!(["targets:read"]))]
    permissions: Vec<Permission>,
    #[schema(value_type = String, example = "service_token")]
    credential: CredentialKind,
    /// For sessions: what unsafe requests carry as the header X-CSRF-Token.
    #[serde(skip_serializing_if = "Option::is_none")]
    csrf_token: Option<String>,
}

/// Who you are, and what you may do.
#[utoipa::path(get, path = "/api/channels/me", tag = "me",
    responses((status = 200, body = Me), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
async fn me(by: By, headers: HeaderMap) -> Json<Me> {
    let caller = by.caller;
    let account_ids = match &caller.accounts {
        Accounts::All => None,
        Accounts::Only(accounts) => Some(accounts.iter().map(ToString::to_string).collect()),
    };
    let session = caller.credential == CredentialKind::Session;
    let csrf_token = session_cookie(&headers).filter(|_| session).map(|cookie| csrf_token(&cookie));
    Json(Me {
        subject: caller.subject.clone(),
        org_id: caller.org_id.to_string(),
        account_ids,
        roles: caller.roles.iter().copied().collect(),
        permissions: Permission::ALL.into_iter().filter(|permission| caller.may(*permission)).collect(),
        credential: caller.credential,
        csrf_token,
    })
}
