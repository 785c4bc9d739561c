//! `Idempotency-Key`: a change that is asked for twice with one key is made once, and its first answer given again.

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt as _;
use sha2::{Digest as _, Sha256};
use sqlx::{FromRow, PgPool};

use super::Api;
use super::answer::POSITION;
use super::by::By;
use super::problem::{Problem, ProblemKind};

const KEY: &str = "idempotency-key";
const LONGEST_KEY: usize = 128;
/// On an answer that was given before.
const REPLAYED: &str = "idempotency-replayed";

/// A first request that has had no answer for a minute has died with its process.
const BEGIN: &str = "
INSERT INTO api_answers AS kept (org_id, subject, key, request) VALUES ($1, $2, $3, $4)
ON CONFLICT (org_id, subject, key) DO UPDATE SET request = excluded.request, recorded_at = clock_timestamp(),
    status = NULL, content_type = NULL, etag = NULL, location = NULL, position = NULL, body = NULL
WHERE kept.recorded_at < now() - interval '1 day'
    OR (kept.status IS NULL AND kept.recorded_at < now() - interval '1 minute')
RETURNING true";

const FOUND: &str = "SELECT request, status, content_type, etag, location, position, body FROM api_answers WHERE org_id = $1 AND subject = $2 AND key = $3";

const KEEP: &str = "
UPDATE api_answers SET status = $4, content_type = $5, etag = $6, location = $7, position = $8, body = $9
WHERE org_id = $1 AND subject = $2 AND key = $3";

const FORGET: &str = "DELETE FROM api_answers WHERE org_id = $1 AND subject = $2 AND key = $3";

const SWEEP: &str = "
DELETE FROM api_answers WHERE ctid IN (
    SELECT ctid FROM api_answers WHERE recorded_at < now() - interval '1 day' LIMIT 100)";

#[derive(Debug, FromRow)]
struct Kept {
    request: Vec<u8>,
    status: Option<i32>,
    content_type: Option<String>,
    etag: Option<String>,
    location: Option<String>,
    position: Option<String>,
    body: Option<Vec<u8>>,
}

/// Whose key it is.
struct Owner {
    org: String,
    subject: String,
    key: String,
    /// What the caller may see and do.
    scope: String,
}

/// The middleware; inside of the admission.
pub(super) async fn once(State(api): State<Api>, request: Request, next: Next) -> Response {
    let unsafe_method = matches!(*request.method(), Method::POST | Method::PATCH | Method::DELETE | Method::PUT);
    let (Some(key), Some(by)) = (request.headers().get(KEY).cloned(), request.extensions().get::<By>().cloned()) else {
        return next.run(request).await;
    };
    if !unsafe_method {
        return next.run(request).await;
    }
    let key = key.to_str().unwrap_or_default().to_owned();
    if !(1..=LONGEST_KEY).contains(&key.len()) {
        let reason = format!("1 to {LONGEST_KEY} visible ASCII characters, such as a UUID");
        return Problem::field("Idempotency-Key", reason).into_response();
    }
    let owner = Owner {
        org: by.caller.org_id.to_string(),
        subject: by.caller.subject.clone(),
        key,
        scope: format!("{:?}{:?}", by.caller.accounts, by.caller.roles),
    };
    run(&api.inner.pool, &owner, request, next).await.unwrap_or_else(IntoResponse::into_response)
}

async fn run(pool: &PgPool, owner: &Owner, request: Request, next: Next) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let body =
        body.collect().await.map_err(|_| ProblemKind::TooLarge.because("a body has at most 256 KiB"))?.to_bytes();
    let mut digest = Sha256::new();
    digest.update(parts.method.as_str());
    digest.update([0]);
    digest.update(parts.uri.to_string());
    digest.update([0]);
    // The same subject by another credential may see other things, and another version is another wish.
    digest.update(owner.scope.as_bytes());
    digest.update(parts.headers.get(header::IF_MATCH).map_or(&b""[..], HeaderValue::as_bytes));
    digest.update([0]);
    digest.update(&body);
    let print = digest.finalize().to_vec();
    let query = sqlx::query_scalar(BEGIN).bind(&owner.org).bind(&owner.subject).bind(&owner.key).bind(&print);
    let mine: Option<bool> = query.fetch_optional(pool).await?;
    if mine.is_none() {
        return given_before(pool, owner, &print).await;
    }
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    // What did nothing may be asked for again.
    if !response.status().is_success() {
        sqlx::query(FORGET).bind(&owner.org).bind(&owner.subject).bind(&owner.key).execute(pool).await?;
        return Ok(response);
    }
    keep(pool, owner, response).await
}

async fn given_before(pool: &PgPool, owner: &Owner, print: &[u8]) -> Result<Response, Problem> {
    let query = sqlx::query_as(FOUND).bind(&owner.org).bind(&owner.subject).bind(&owner.key);
    let found: Option<Kept> = query.fetch_optional(pool).await?;
    let in_use = || {
        let reason = "the first request with this key is still under way";
        ProblemKind::IdempotencyKeyInUse.because(reason).retry_after(1)
    };
    let kept = found.ok_or_else(in_use)?;
    if kept.request != print {
        let reason = "this key was used for another request: take a new one";
        let problem = ProblemKind::IdempotencyKeyReused.because(reason);
        return Err(Problem { field: Some("Idempotency-Key".to_owned()), ..problem });
    }
    let status = kept.status.and_then(|status| u16::try_from(status).ok()).ok_or_else(in_use)?;
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let mut response = (status, kept.body.unwrap_or_default()).into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, kept.content_type),
        (header::ETAG, kept.etag),
        (header::LOCATION, kept.location),
        (POSITION.clone(), kept.position),
    ] {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
            headers.insert(name, value);
        }
    }
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

async fn keep(pool: &PgPool, owner: &Owner, response: Response) -> Result<Response, Problem> {
    let (parts, body) = response.into_parts();
    let body: Bytes =
        body.collect().await.map_err(|_| ProblemKind::Internal.because("the answer was cut off"))?.to_bytes();
    let text = |name| parts.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).map(str::to_owned);
    let query = sqlx::query(KEEP).bind(&owner.org).bind(&owner.subject).bind(&owner.key);
    let query = query.bind(i32::from(parts.status.as_u16())).bind(text(header::CONTENT_TYPE)).bind(text(header::ETAG));
    let query = query.bind(text(header::LOCATION)).bind(text(POSITION.clone()));
    query.bind(body.as_ref()).execute(pool).await?;
    sqlx::query(SWEEP).execute(pool).await?;
    Ok(Response::from_parts(parts, Body::from(body)))
}
