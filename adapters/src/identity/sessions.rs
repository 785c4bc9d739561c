//! Sessions of browsers: a cookie with a random secret, and a row that says who it is. No row, no session.

mod listed;

use std::borrow::Cow;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cookie::{Cookie, SameSite};
use domain::access::{Caller, CredentialKind};
use domain::ids::OrgId;
use secrecy::ExposeSecret as _;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::grant::{Grant, StoredGrant};
use super::secret::{hash, hash_of, new_secret, random};
use crate::postgres::begin;
use listed::Listed;

/// The cookie's name. Its prefix makes browsers refuse it from other hosts, paths and without TLS.
pub const SESSION_COOKIE: &str = "__Host-distribution";

/// A session ends after so long without a request.
const IDLE_S: f64 = 30.0 * 60.0;
/// And after so long anyway.
const LONGEST_S: f64 = 12.0 * 3600.0;
/// A request is noted at most once in this time.
const NOTED_S: f64 = 60.0;
/// What the CSRF token is derived for: the cookie's secret is no key for anything else.
const CSRF_PURPOSE: &[u8] = b"distribution csrf token v1";
/// Bytes of what is derived, and of the pad that it is shown under.
const CSRF_BYTES: usize = 32;

/// The sessions. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sessions {
    pool: PgPool,
    links_too: bool,
    listed: Listed,
}

/// How somebody came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By a one-time link.
    Link,
    /// By the identity provider.
    Provider,
}

/// A session that has just begun.
#[derive(Debug)]
pub struct SignedIn {
    /// To be set in the answer.
    pub cookie: Cookie<'static>,
    /// Who it is.
    pub caller: Caller,
    /// What unsafe requests of this session must carry.
    pub csrf_token: String,
}

impl Sessions {
    /// On a database.
    pub fn new(pool: PgPool) -> Self {
        Self { pool, links_too: true, listed: Listed::default() }
    }

    /// The same, where there is an identity provider: who came in by a link is signed out.
    #[must_use]
    pub fn of_the_provider(self) -> Self {
        Self { links_too: false, ..self }
    }

    /// Begins a session with a new secret, and ends the one that the browser came with.
    pub async fn begin(&self, grant: Grant, way: Way, replaces: Option<&str>) -> Result<SignedIn, sqlx::Error> {
        let secret = new_secret();
        let id = Uuid::now_v7();
        let (secret_hash, accounts) = (hash_of(&secret), grant.account_names());
        let mut transaction = begin(&self.pool).await?;
        if let Some(before) = replaces {
            delete(&mut transaction, before).await?;
        }
        sqlx::query!(
            "INSERT INTO sessions (secret_hash, session_id, org_id, subject, roles, account_ids, expires_at, by_link)
             VALUES ($1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7), $8)",
            secret_hash.as_slice(),
            id,
            grant.org_id.as_str(),
            grant.subject,
            &grant.role_names(),
            accounts.as_deref(),
            LONGEST_S,
            way == Way::Link,
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        self.listed.add(&secret_hash);
        let csrf_token = csrf_token(secret.expose_secret());
        let cookie = host_cookie(SESSION_COOKIE, secret.expose_secret().to_owned());
        Ok(SignedIn { cookie, caller: grant.caller(CredentialKind::Session, id.to_string()), csrf_token })
    }

    /// Who a cookie's value stands for. Any text costs the same: one hash and one look-up by it.
    pub async fn find(&self, cookie_value: &str) -> Result<Option<Caller>, sqlx::Error> {
        let secret_hash = hash(cookie_value);
        let row = sqlx::query!(
            r#"SELECT session_id, org_id, subject, roles, account_ids,
                      last_seen_at <= now() - make_interval(secs => $3) AS "stale!"
               FROM sessions
               WHERE secret_hash = $1 AND expires_at > now() AND last_seen_at > now() - make_interval(secs => $2)
                   AND ($4 OR NOT by_link)"#,
            secret_hash.as_slice(),
            IDLE_S,
            NOTED_S,
            self.links_too,
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        if row.stale {
            sqlx::query!(
                "UPDATE sessions SET last_seen_at = now()
                 WHERE secret_hash = $1 AND last_seen_at <= now() - make_interval(secs => $2)",
                secret_hash.as_slice(),
                NOTED_S,
            )
            .execute(&self.pool)
            .await?;
        }
        let (org_id, subject, roles, account_ids) = (row.org_id, row.subject, row.roles, row.account_ids);
        let grant = StoredGrant { subject, org_id, roles, account_ids }.read()?;
        Ok(Some(grant.caller(CredentialKind::Session, row.session_id.to_string())))
    }

    /// Whether a session still is. To ask is no request: an open page keeps no session alive.
    pub async fn lives(&self, cookie_value: &str) -> Result<bool, sqlx::Error> {
        let secret_hash = hash(cookie_value);
        sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM sessions WHERE secret_hash = $1 AND expires_at > now()
                   AND last_seen_at > now() - make_interval(secs => $2)) AS "lives!""#,
            secret_hash.as_slice(),
            IDLE_S,
        )
        .fetch_one(&self.pool)
        .await
    }

    /// Whether a cookie's value may be that of a session. However many ask, the sessions are read once in a second at most; so one that
    /// began elsewhere within that may not be seen yet, and one that ended may be seen still.
    pub async fn may_be_one(&self, cookie_value: &str) -> Result<bool, sqlx::Error> {
        self.listed.has(&hash(cookie_value), &self.pool).await
    }

    /// Signs a browser out: its cookie is worth nothing from now on. Says whether there was a session.
    pub async fn end(&self, cookie_value: &str) -> Result<bool, sqlx::Error> {
        delete(&mut *self.pool.acquire().await?, cookie_value).await
    }

    /// Ends every session of a subject, in one organisation or in all, and its sign-in links that were not used yet.
    /// Gives how many sessions there were.
    pub async fn end_all(&self, subject: &str, org: Option<&OrgId>) -> Result<u64, sqlx::Error> {
        let org = org.map(OrgId::as_str);
        let mut transaction = begin(&self.pool).await?;
        // An unused link would let the subject in again.
        sqlx::query!("DELETE FROM sign_in_links WHERE subject = $1 AND org_id = coalesce($2, org_id)", subject, org)
            .execute(&mut *transaction)
            .await?;
        let ended =
            sqlx::query!("DELETE FROM sessions WHERE subject = $1 AND org_id = coalesce($2, org_id)", subject, org)
                .execute(&mut *transaction)
                .await?;
        transaction.commit().await?;
        Ok(ended.rows_affected())
    }

    /// Ends every session that began with a link, and every link that nobody has used: for where there is a provider now.
    /// Gives how many.
    pub async fn end_links(&self) -> Result<u64, sqlx::Error> {
        let sessions = sqlx::query("DELETE FROM sessions WHERE by_link").execute(&self.pool).await?;
        let links = sqlx::query("DELETE FROM sign_in_links").execute(&self.pool).await?;
        Ok(sessions.rows_affected() + links.rows_affected())
    }

    /// Deletes what has expired: sessions, sign-in links and logins that nobody ended. Gives how many rows. Nothing
    /// depends on it but the tables' size.
    pub async fn sweep(&self) -> Result<u64, sqlx::Error> {
        let sessions = sqlx::query!(
            "DELETE FROM sessions WHERE expires_at <= now() OR last_seen_at <= now() - make_interval(secs => $1)",
            IDLE_S,
        )
        .execute(&self.pool)
        .await?;
        let links = sqlx::query!("DELETE FROM sign_in_links WHERE expires_at <= now()").execute(&self.pool).await?;
        let logins = sqlx::query!("DELETE FROM login_attempts WHERE expires_at <= now()").execute(&self.pool).await?;
        Ok(sessions.rows_affected() + links.rows_affected() + logins.rows_affected())
    }
}

/// Takes a session away; says whether there was one.
async fn delete(connection: &mut PgConnection, cookie_value: &str) -> Result<bool, sqlx::Error> {
    let secret_hash = hash(cookie_value);
    let deleted = sqlx::query!("DELETE FROM sessions WHERE secret_hash = $1", secret_hash.as_slice());
    Ok(deleted.execute(connection).await?.rows_affected() > 0)
}

/// What unsafe requests of a session must carry: it follows from the cookie's secret, which scripts and other sites
/// cannot read, and gives nothing of it away. It is another text each time, a random pad and what is derived under that pad: of a
/// text that stays, the lengths of pages that are compressed and say back what was searched for would tell letter by letter (BREACH).
pub fn csrf_token(cookie_value: &str) -> String {
    let pad = random();
    let tag = hmac::sign(&csrf_key(cookie_value), CSRF_PURPOSE);
    let shown = [pad.to_vec(), under(&pad, tag.as_ref())].concat();
    URL_SAFE_NO_PAD.encode(shown)
}

/// Whether a request carries a token of its session; in constant time.
pub fn csrf_matches(cookie_value: &str, given: &str) -> bool {
    let Ok(given) = URL_SAFE_NO_PAD.decode(given) else { return false };
    // A page that an older build has made carries what is derived as it is.
    let tag = if given.len() == 2 * CSRF_BYTES { under(&given[..CSRF_BYTES], &given[CSRF_BYTES..]) } else { given };
    hmac::verify(&csrf_key(cookie_value), CSRF_PURPOSE, &tag).is_ok()
}

fn csrf_key(cookie_value: &str) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, cookie_value.as_bytes())
}

/// Bytes under a pad of as many; those under a pad once more are what they were.
fn under(pad: &[u8], bytes: &[u8]) -> Vec<u8> {
    pad.iter().zip(bytes).map(|(pad, byte)| pad ^ byte).collect()
}

/// Tells a browser to forget the session's cookie.
pub fn session_cookie_removal() -> Cookie<'static> {
    removal(SESSION_COOKIE)
}

/// A cookie that only this host gets, that no script reads, and that ends with the browser.
pub(super) fn host_cookie(name: impl Into<Cow<'static, str>>, value: String) -> Cookie<'static> {
    Cookie::build((name, value)).path("/").secure(true).http_only(true).same_site(SameSite::Lax).build()
}

/// Tells a browser to forget such a cookie.
pub(super) fn removal(name: impl Into<Cow<'static, str>>) -> Cookie<'static> {
    let mut cookie = host_cookie(name, String::new());
    cookie.make_removal();
    cookie
}
