//! The table of answers, a row per key.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use domain::access::Caller;
use http_body_util::BodyExt as _;
use sha2::{Digest as _, Sha256};
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{FromRow, PgPool, Postgres};
use uuid::Uuid;

use super::REPLAYED;
use crate::api::answer::POSITION;
use crate::api::problem::{Problem, ProblemKind};

/// How often it is tried to tell that an end is unknown: together with the request it takes less than the minute after
/// which its key is free.
const TELLINGS: u32 = 6;
const BETWEEN_TELLINGS: Duration = Duration::from_secs(1);
/// So long after it began a request without an answer may begin anew, in seconds; the statements have it as a minute.
const FREE_AFTER_S: u64 = 60;
/// So long its answer is likely to come any moment, and whoever asks for it need not wait for more than that.
const YOUNG_S: u64 = 5;

/// A key, and whose it is. The table has a hash in its place: it is what the hash of a request is made with, so that nobody who
/// has the table alone, from a backup say, can try out what a request said, such as the secret of a target.
#[derive(Clone)]
pub(super) struct Key {
    org: String,
    subject: String,
    given: String,
    name: String,
}

impl Key {
    pub(super) fn of(caller: &Caller, given: &str) -> Self {
        let (org, subject, given) = (caller.org_id.to_string(), caller.subject.clone(), given.to_owned());
        let name = URL_SAFE_NO_PAD.encode(Sha256::digest([org.as_str(), &subject, &given].join("\0")));
        Self { org, subject, given, name }
    }

    /// What a request with this key is known by.
    pub(super) fn print(&self, request: Sha256) -> Vec<u8> {
        let digest = Sha256::new().chain_update(&self.given).chain_update([0]).chain_update(request.finalize());
        digest.finalize().to_vec()
    }
}

/// The row of a key as one request has it, since it began. Whoever begins it anew has another one: a request that was given up after
/// its minute, and ends late, does nothing to that.
#[derive(Debug, Clone, Copy)]
pub(super) struct Own {
    /// What the events of the change carry.
    pub causation_id: Uuid,
    since: DateTime<Utc>,
}

/// What a key is met with.
#[derive(Debug)]
pub(super) enum Begun {
    /// Nobody has asked with it.
    First(Own),
    /// Somebody has, with the same request, and its end is not known; the journal knows it by the same id.
    Again(Own),
    /// It was answered.
    Before(Response),
}

/// A first request that has had no answer for a minute has died with its process. Its id stays, so that what it did is
/// found; a key of yesterday begins anew.
const BEGIN: &str = "
INSERT INTO api_answers AS kept (org_id, subject, key, request)
SELECT $1::text, $2::text, $3::text, $4::bytea
WHERE NOT EXISTS (SELECT FROM api_answers WHERE org_id = $1 AND subject = $2 AND key = $5)
ON CONFLICT (org_id, subject, key) DO UPDATE SET request = excluded.request, recorded_at = clock_timestamp(),
    causation_id = CASE WHEN kept.recorded_at < now() - interval '1 day' THEN excluded.causation_id
        ELSE kept.causation_id END,
    unknown_end = false, status = NULL, content_type = NULL, etag = NULL, location = NULL, position = NULL, body = NULL
WHERE kept.recorded_at < now() - interval '1 day'
    OR (kept.status IS NULL AND kept.request = excluded.request
        AND (kept.unknown_end OR kept.recorded_at < now() - interval '1 minute'))
RETURNING causation_id, recorded_at, xmax <> 0 AS again";

/// A row as older builds wrote it, which had the key as it came and a hash of the request alone, becomes one of ours. Such a
/// process may still run, or may have just died with the answer; a request of its that may be under way stays its own.
const ADOPT: &str = r"
UPDATE api_answers SET key = $3, request = sha256(convert_to(key, 'UTF8') || '\x00'::bytea || request)
WHERE org_id = $1 AND subject = $2 AND key = $4
    AND (status IS NOT NULL OR unknown_end OR recorded_at < now() - interval '1 minute')
    AND NOT EXISTS (SELECT FROM api_answers WHERE org_id = $1 AND subject = $2 AND key = $3)";

/// Ours, or else one of an older build that was not adopted.
const FOUND: &str = r"
SELECT CASE WHEN key = $3 THEN request ELSE sha256(convert_to(key, 'UTF8') || '\x00'::bytea || request) END AS request,
    status, content_type, etag, location, position, body,
    ceil(extract(epoch FROM recorded_at + interval '1 minute' - now()))::bigint AS free_in_s
FROM api_answers WHERE org_id = $1 AND subject = $2 AND key IN ($3, $4)
ORDER BY key = $3 DESC LIMIT 1";

const KEEP: &str = "
UPDATE api_answers SET status = $5, content_type = $6, etag = $7, location = $8, position = $9, body = $10
WHERE org_id = $1 AND subject = $2 AND key = $3 AND recorded_at = $4";

const UNKNOWN: &str = "
UPDATE api_answers SET unknown_end = true
WHERE org_id = $1 AND subject = $2 AND key = $3 AND recorded_at = $4 AND status IS NULL";

const FORGET: &str = "DELETE FROM api_answers WHERE org_id = $1 AND subject = $2 AND key = $3 AND recorded_at = $4";

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
    /// When it may begin anew, whatever became of the first.
    free_in_s: i64,
}

/// Begins a request with a key; `print` is what the request is known by.
pub(super) async fn begin(pool: &PgPool, key: &Key, print: &[u8]) -> Result<Begun, Problem> {
    let mut begun = insert(pool, key, print).await?;
    if begun.is_none() && adopt(pool, key).await? {
        begun = insert(pool, key, print).await?;
    }
    match begun {
        Some((own, false)) => Ok(Begun::First(own)),
        Some((own, true)) => Ok(Begun::Again(own)),
        None => given_before(pool, key, print).await.map(Begun::Before),
    }
}

async fn insert(pool: &PgPool, key: &Key, print: &[u8]) -> Result<Option<(Own, bool)>, sqlx::Error> {
    let query = sqlx::query_as(BEGIN).bind(&key.org).bind(&key.subject).bind(&key.name).bind(print).bind(&key.given);
    let begun: Option<(Uuid, DateTime<Utc>, bool)> = query.fetch_optional(pool).await?;
    Ok(begun.map(|(causation_id, since, again)| (Own { causation_id, since }, again)))
}

async fn adopt(pool: &PgPool, key: &Key) -> Result<bool, sqlx::Error> {
    let adopted = sqlx::query(ADOPT).bind(&key.org).bind(&key.subject).bind(&key.name).bind(&key.given);
    Ok(adopted.execute(pool).await?.rows_affected() > 0)
}

async fn given_before(pool: &PgPool, key: &Key, print: &[u8]) -> Result<Response, Problem> {
    let query = sqlx::query_as(FOUND).bind(&key.org).bind(&key.subject).bind(&key.name).bind(&key.given);
    let found: Option<Kept> = query.fetch_optional(pool).await?;
    let Some(kept) = found else {
        let reason = "the first request with this key has just ended: ask again";
        return Err(ProblemKind::IdempotencyKeyInUse.because(reason).retry_after(1));
    };
    if kept.request != print {
        let reason = "this key was used for another request: take a new one";
        let problem = ProblemKind::IdempotencyKeyReused.because(reason);
        return Err(Problem { field: Some("Idempotency-Key".to_owned()), ..problem });
    }
    let status = kept.status.and_then(|status| u16::try_from(status).ok()).ok_or_else(|| in_use(kept.free_in_s))?;
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let mut response = (status, kept.body.unwrap_or_default()).into_response();
    let headers = response.headers_mut();
    // The answer has the one that it had, or none.
    headers.remove(header::CONTENT_TYPE);
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

/// Nobody sees from outside whether its process still runs.
fn in_use(free_in_s: i64) -> Problem {
    let free_in_s = u64::try_from(free_in_s).unwrap_or_default().max(1);
    let reason = format!(
        "the first request with this key is under way, or was when its process ended: it can be begun anew in \
        {free_in_s} s at the latest"
    );
    let is_young = free_in_s > FREE_AFTER_S - YOUNG_S;
    ProblemKind::IdempotencyKeyInUse.because(reason).retry_after(if is_young { 1 } else { free_in_s })
}

/// A statement about the row of a key as one request has it.
fn of_own<'q>(statement: &'q str, key: &'q Key, own: Own) -> Query<'q, Postgres, PgArguments> {
    sqlx::query(statement).bind(&key.org).bind(&key.subject).bind(&key.name).bind(own.since)
}

/// Keeps the answer for whoever asks again. The change is made: where the answer cannot be kept it is given all the
/// same, and found in the journal when it is asked for again.
pub(super) async fn keep(pool: &PgPool, key: &Key, own: Own, response: Response) -> Result<Response, Problem> {
    let (parts, body) = response.into_parts();
    let body: Bytes =
        body.collect().await.map_err(|_| ProblemKind::Internal.because("the answer was cut off"))?.to_bytes();
    let text = |name| parts.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).map(str::to_owned);
    let query = of_own(KEEP, key, own);
    let query = query.bind(i32::from(parts.status.as_u16())).bind(text(header::CONTENT_TYPE)).bind(text(header::ETAG));
    let query = query.bind(text(header::LOCATION)).bind(text(POSITION.clone()));
    let kept = async {
        query.bind(body.as_ref()).execute(pool).await?;
        sqlx::query(SWEEP).execute(pool).await
    };
    if let Err(error) = kept.await {
        tracing::warn!(error = %error, "failed to keep an answer for its idempotency key");
        end_is_unknown(pool, key, own);
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}

/// The request ended, and whether it changed anything is not known. It is told in the background: where the database is
/// the reason, it cannot be told now, and whoever asks again need not wait until the key is free by itself.
pub(super) fn end_is_unknown(pool: &PgPool, key: &Key, own: Own) {
    let (pool, key) = (pool.clone(), key.clone());
    tokio::spawn(async move {
        for _ in 0..TELLINGS {
            let query = of_own(UNKNOWN, &key, own);
            // Later it helps nobody: the key is free by itself then.
            match tokio::time::timeout(BETWEEN_TELLINGS, query.execute(&pool)).await {
                Ok(Ok(_)) => return,
                Ok(Err(_)) => tokio::time::sleep(BETWEEN_TELLINGS).await,
                Err(_) => {}
            }
        }
    });
}

/// Forgets the answers that were kept for long enough.
pub(in crate::api) async fn sweep(pool: &PgPool) -> Result<(), sqlx::Error> {
    while sqlx::query(SWEEP).execute(pool).await?.rows_affected() > 0 {}
    Ok(())
}

/// The request changed nothing.
pub(super) async fn forget(pool: &PgPool, key: &Key, own: Own) -> Result<(), sqlx::Error> {
    of_own(FORGET, key, own).execute(pool).await.map(|_| ())
}
