//! The calls of one push: each takes a slot, carries the token and an id of its own, and is recorded. A 403 brings one
//! new token and one more try, then it is a matter of rights.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use domain::call::{CallPurpose, CallRecord};
use domain::channel::Section;
use domain::outcome::OutcomeClass;
use domain::port::{NoSlot, Permit, SyncHost};
use domain::target::Settings;
use reqwest::header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, HeaderValue};
use reqwest::{Method, RequestBuilder};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use uuid::Uuid;

use super::Hostaway;
use super::answer::{self, Answer};
use super::client::{NoReply, Reply};
use super::failure::{Failure, Reach};
use super::guard::check_body;
use super::token::{Cell, Issued, Token};
use super::verdict::{self, Effect};

/// Where the token comes from, below the base URL.
const TOKEN_PATH: &str = "/accessTokens";
/// Where the token endpoint does not say how long a token lives: the shortest that anyone would choose.
const UNSAID_LIFETIME: Duration = Duration::from_secs(3_600);

/// A call to the API.
pub(super) struct Call {
    pub purpose: CallPurpose,
    pub urgency: Section,
    pub method: Method,
    /// Path and query below the base URL.
    pub path: String,
    pub body: Option<Value>,
}

/// One push's dealings with the channel.
pub(super) struct Session<'a> {
    hostaway: &'a Hostaway,
    target: &'a Settings,
    cell: Arc<Cell>,
    pub host: &'a dyn SyncHost,
    pub calls: Vec<CallRecord>,
    secret: Option<SecretString>,
    refreshed: bool,
}

impl<'a> Session<'a> {
    pub fn new(hostaway: &'a Hostaway, target: &'a Settings, host: &'a dyn SyncHost) -> Self {
        let cell = hostaway.tokens.cell(target);
        Self { hostaway, target, cell, host, calls: Vec::new(), secret: None, refreshed: false }
    }

    /// Makes a call; a 403 is tried once more with a new token, whatever the call: a 403 means not processed.
    pub async fn call(&mut self, call: &Call) -> Result<Answer, Failure> {
        if let Some(body) = &call.body {
            check_body(body)
                .map_err(|why| Failure::new(OutcomeClass::Rejected, format!("not sent, because the body{why}")))?;
        }
        let token = self.token(None, call.urgency).await?;
        let first = self.with_token(call, &token).await;
        let Err(denied) = &first else { return first };
        if denied.reach != Reach::Denied {
            return first;
        }
        if self.refreshed || self.cell.in_vain(&token).await {
            return first.map_err(|denied| no_rights(&denied));
        }
        self.refreshed = true;
        self.secret = None;
        let fresh = self.token(Some(token.generation), call.urgency).await?;
        let second = self.with_token(call, &fresh).await;
        match second {
            Err(denied) if denied.reach == Reach::Denied => {
                self.cell.note_vain(&fresh).await;
                Err(no_rights(&denied))
            }
            other => other,
        }
    }

    async fn with_token(&mut self, call: &Call, token: &Token) -> Result<Answer, Failure> {
        let effect = if call.method == Method::GET { Effect::Read } else { Effect::Write };
        let mut request = self
            .request(call.method.clone(), &call.path)
            .header(AUTHORIZATION, token.authorization.clone())
            .header(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        let judge = |reply| verdict::of(reply, effect, Utc::now());
        let permit = self.slot(call.purpose, call.urgency).await?;
        let end = self.exchange(call.purpose, request, permit, judge).await;
        match end {
            Ok(answer) => {
                self.cell.note_proven(token);
                Ok(answer)
            }
            Err(failure) if failure.reach == Reach::Listing && call.path.starts_with("/listings/") => {
                let detail = format!("the listing is gone at Hostaway: {}", failure.detail);
                Err(Failure { detail, ..failure })
            }
            Err(failure) => Err(failure),
        }
    }

    /// A token other than the refused generation; the caller waits until it is usable.
    async fn token(&mut self, refused: Option<u64>, urgency: Section) -> Result<Token, Failure> {
        let secret = self.secret().await?;
        let cell = Arc::clone(&self.cell);
        let seen = cell.ended();
        if let Some(token) = cell.lock().await.usable(&secret, refused) {
            return Ok(token.settled().await);
        }
        // The slot before the lock: a target without slots must not keep the others of its account waiting.
        let permit = self.slot(CallPurpose::Token, urgency).await?;
        let mut state = cell.lock().await;
        let known = match state.usable(&secret, refused) {
            Some(token) => Some(Ok(token)),
            None => state.failure_since(seen).map(Err),
        };
        let token = match known {
            Some(known) => {
                permit.unused();
                known?
            }
            None if !permit.can_start() => {
                permit.unused();
                return Err(Failure::stopping(Utc::now()));
            }
            None => {
                let issued = self.issue(&secret, permit).await;
                cell.settle(&mut state, &secret, issued)?
            }
        };
        drop(state);
        Ok(token.settled().await)
    }

    /// The credential's value, read once a push and again when a token was refused: it may just have been rotated.
    async fn secret(&mut self) -> Result<SecretString, Failure> {
        if let Some(secret) = &self.secret {
            return Ok(secret.clone());
        }
        let secret = self.hostaway.secrets.read(&self.target.credential).await;
        let secret = secret.map_err(|error| Failure::credentials(error.to_string()))?;
        self.secret = Some(secret.clone());
        Ok(secret)
    }

    async fn issue(&mut self, secret: &SecretString, permit: Box<dyn Permit>) -> Result<Issued, Failure> {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", self.target.channel_account.as_str()),
            ("client_secret", secret.expose_secret()),
            ("scope", "general"),
        ];
        let request = self.request(Method::POST, TOKEN_PATH).form(&form);
        self.exchange(CallPurpose::Token, request, permit, issued).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.target.base_url.trim_end_matches('/'));
        self.hostaway.client.request(method, &url).header(ACCEPT, HeaderValue::from_static("application/json"))
    }

    async fn slot(&self, purpose: CallPurpose, urgency: Section) -> Result<Box<dyn Permit>, Failure> {
        self.host.slot(purpose, urgency).await.map_err(|refused| match refused {
            NoSlot::Held => Failure::stopping(Utc::now()),
            NoSlot::Creation { reason, retry_at } => {
                Failure::new(OutcomeClass::Throttled, reason).not_before(Some(retry_at))
            }
        })
    }

    /// One HTTP request: call, verdict, slot back, record.
    async fn exchange<T>(
        &mut self,
        purpose: CallPurpose,
        request: RequestBuilder,
        permit: Box<dyn Permit>,
        judge: impl FnOnce(Result<Reply, NoReply>) -> Result<T, Failure> + Send,
    ) -> Result<T, Failure> {
        let request_id = Uuid::now_v7();
        let request = match request.header("X-Request-Id", request_id.to_string()).build() {
            Ok(request) => request,
            Err(error) => {
                permit.unused();
                let why = format!("the call cannot be built, check the target's base_url: {}", error.without_url());
                return Err(Failure::new(OutcomeClass::Rejected, why).reaching(Reach::Target));
            }
        };
        let (method, path) = (request.method().to_string(), shown_path(request.url()));
        let (started_at, started) = (Utc::now(), Instant::now());
        let reply = self.hostaway.client.exchange(request).await;
        let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let status = reply.as_ref().ok().map(|reply| reply.status.as_u16());
        let end = judge(reply);
        match end.as_ref().err().and_then(|failure| failure.throttle) {
            Some(throttle) => permit.throttled(throttle.scope, throttle.until),
            None => permit.answered(),
        }
        let class = end.as_ref().map_or_else(|failure| failure.class, |_| OutcomeClass::Accepted);
        tracing::debug!(%request_id, purpose = purpose.as_str(), method, path, status, duration_ms, %class, "hostaway call");
        let detail = end.as_ref().err().map(|failure| failure.detail.clone());
        self.calls.push(CallRecord {
            request_id,
            purpose,
            method,
            path,
            started_at,
            duration_ms,
            status,
            class,
            detail,
        });
        end
    }
}

/// Path and query. The token travels in a header and the secret in a body, so neither can stand here.
fn shown_path(url: &reqwest::Url) -> String {
    match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    }
}

fn no_rights(denied: &Failure) -> Failure {
    let detail = format!("the token is good but may not do this (a new one did not help): {}", denied.detail);
    Failure::new(OutcomeClass::Unauthorised, detail).reaching(Reach::Denied)
}

/// The token endpoint's answer, which comes without the envelope. Its refusal is of the credentials as a whole.
fn issued(reply: Result<Reply, NoReply>) -> Result<Issued, Failure> {
    let status = reply.as_ref().ok().map(|reply| reply.status);
    let body = verdict::successful(reply, Effect::Read, Utc::now()).map_err(|failure| {
        let refused = failure.reach == Reach::Denied || failure.class == OutcomeClass::Rejected && is_400(status);
        if refused { Failure::credentials(failure.detail) } else { failure }
    })?;
    let body = answer::json(&body).map_err(|why| verdict::malformed(Effect::Read, &why))?;
    let token = body.get("access_token").and_then(Value::as_str).filter(|token| !token.is_empty());
    let header = token.and_then(|token| HeaderValue::try_from(format!("Bearer {token}")).ok());
    let Some(mut authorization) = header else {
        return Err(verdict::malformed(Effect::Read, "there is no access token in it"));
    };
    authorization.set_sensitive(true);
    let lifetime = body.get("expires_in").and_then(Value::as_u64).map_or(UNSAID_LIFETIME, Duration::from_secs);
    Ok(Issued { authorization, lifetime })
}

/// OAuth servers may refuse a client with a plain 400 (RFC 6749 §5.2).
fn is_400(status: Option<reqwest::StatusCode>) -> bool {
    status == Some(reqwest::StatusCode::BAD_REQUEST)
}
