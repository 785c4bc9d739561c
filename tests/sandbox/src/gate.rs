//! The front door of every API call, in this order: record the arrival, read the body, find the account, charge the
//! limits, plan faults, check the token, route. Inspection calls pass by it. A cut is an error given to the HTTP
//! engine, which then closes the connection without writing an answer.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    body::{Body, Bytes, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use hyper::{body::Incoming, service::Service as _};
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};

use crate::{
    arrivals::{Purpose, Record},
    envelope::{Refusal, json_answer, json_text},
    faults::{Call, Kind},
    limits::Exceeded,
    query,
    store::Account,
    tokens::Standing,
    world::{Shared, World},
};

const LARGEST_BODY: usize = 32 << 20;

/// The connection ends without an answer.
#[derive(Debug)]
pub struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the connection is cut on purpose")
    }
}

impl std::error::Error for Cut {}

/// Who calls, for the handlers.
#[derive(Clone)]
pub struct Caller {
    pub account: Arc<Account>,
    /// A fault: answer as if written, write nothing.
    pub ignore_writes: bool,
}

pub type Routes = TowerToHyperService<Router>;

pub async fn handle(world: Shared, routes: Routes, peer: IpAddr, request: Request<Incoming>) -> Result<Response, Cut> {
    let (parts, body) = request.into_parts();
    if parts.uri.path().starts_with("/_sandbox") {
        return Ok(route(&routes, Request::from_parts(parts, Body::new(body))).await);
    }
    let ip = caller_ip(&parts.headers, peer);
    let ticket = world.arrivals.begin(&world.clock, record(&parts, ip));
    let body = to_bytes(Body::new(body), LARGEST_BODY).await.map_err(|_| Cut)?;
    let call = Admission::new(&world, parts, body, ticket.at_us);
    ticket.identify(call.account, call.body.len());
    if world.config.keep_bodies && call.parts.uri.path() != "/v1/accessTokens" {
        ticket.keep(&call.body);
    }
    let answer = match world.limits.admit(call.account, ip, ticket.at_us) {
        Err(exceeded) => Ok(exceeded.answer()),
        Ok(()) => call.answer(&world, &routes).await,
    };
    if let Ok(answer) = &answer {
        ticket.answered(answer.status().as_u16());
    }
    answer
}

/// A call that has arrived whole.
struct Admission {
    parts: Parts,
    body: Bytes,
    bearer: Option<String>,
    standing: Option<Standing>,
    account: Option<u64>,
}

impl Admission {
    fn new(world: &World, parts: Parts, body: Bytes, at_us: u64) -> Self {
        let bearer = bearer(&parts.headers);
        let mut standing = bearer.as_deref().and_then(|token| world.tokens.standing(token, at_us));
        let mut account = standing.map(|standing| standing.account);
        if parts.uri.path() == "/v1/accessTokens" {
            standing = None;
            account = token_call_account(world, &parts, &body, at_us);
        }
        Self { parts, body, bearer, standing, account }
    }

    async fn answer(self, world: &World, routes: &Routes) -> Result<Response, Cut> {
        let call = Call { account: self.account, method: self.parts.method.as_str(), path: self.parts.uri.path() };
        let plan = world.faults.plan(&call);
        if !plan.latency.is_zero() {
            tokio::time::sleep(plan.latency).await;
        }
        match plan.deed {
            None => Ok(self.process(world, routes, false).await),
            Some((rule, deed)) => self.fail(world, routes, rule, deed).await,
        }
    }

    async fn fail(self, world: &World, routes: &Routes, rule: u64, deed: Kind) -> Result<Response, Cut> {
        match deed {
            Kind::Latency { .. } => Ok(self.process(world, routes, false).await),
            Kind::Status { code, body } => Ok(status_fault(code, body)),
            Kind::RateLimited { retry_after_s, applied } => {
                let retry_at_us = world.clock.now_us() + retry_after_s.saturating_mul(1_000_000);
                Ok(Exceeded { applied, limit: 0, retry_at_us }.answer())
            }
            Kind::Hang { seconds, apply } => {
                let silence = tokio::time::sleep(Duration::from_secs_f64(seconds));
                if apply {
                    let answer = self.process(world, routes, false).await;
                    silence.await;
                    return Ok(answer);
                }
                silence.await;
                Ok(self.process(world, routes, false).await)
            }
            Kind::Hold => {
                world.faults.gone(rule).await;
                Ok(self.process(world, routes, false).await)
            }
            Kind::CutBefore => Err(Cut),
            Kind::CutAfter => {
                self.process(world, routes, false).await;
                Err(Cut)
            }
            Kind::MalformedJson => Ok(halved(self.process(world, routes, false).await).await),
            Kind::Lie { code, body } => {
                self.process(world, routes, false).await;
                Ok(status_fault(code, body))
            }
            Kind::ExpiredToken => {
                if let Some(token) = &self.bearer {
                    world.tokens.revoke(token);
                }
                Ok(Refusal::Denied.into_response())
            }
            Kind::IgnoreWrites => Ok(self.process(world, routes, true).await),
        }
    }

    async fn process(self, world: &World, routes: &Routes, ignore_writes: bool) -> Response {
        let mut request = Request::from_parts(self.parts, Body::from(self.body));
        if request.uri().path() != "/v1/accessTokens" {
            let usable = self.standing.filter(|standing| standing.usable);
            let Some(account) = usable.and_then(|standing| world.account(standing.account)) else {
                return Refusal::Denied.into_response();
            };
            request.extensions_mut().insert(Caller { account, ignore_writes });
        }
        route(routes, request).await
    }
}

/// Extractor of the caller, put there by the gate.
pub type Called = Extension<Caller>;

async fn route(routes: &Routes, request: Request<Body>) -> Response {
    match routes.call(request).await {
        Ok(answer) => answer,
        Err(never) => match never {},
    }
}

fn record(parts: &Parts, ip: IpAddr) -> Record {
    let path = parts.uri.path();
    Record {
        at_us: 0,
        account: 0,
        ip,
        purpose: Purpose::of(&parts.method, path),
        method: parts.method.clone(),
        path: path.into(),
        query: query::masked(parts.uri.query().unwrap_or_default()).into(),
        request_id: parts.headers.get("x-request-id").and_then(|id| id.to_str().ok()).map(Into::into),
        body_bytes: 0,
        body: None,
        status: 0,
        duration_us: 0,
    }
}

fn caller_ip(headers: &HeaderMap, peer: IpAddr) -> IpAddr {
    let forwarded = headers.get("x-forwarded-for").and_then(|value| value.to_str().ok());
    let first = forwarded.and_then(|list| list.split(',').next());
    first.and_then(|ip| ip.trim().parse().ok()).unwrap_or(peer)
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

/// The account a token call counts against: the client id asking, or the owner of the token being revoked. An
/// unknown client id counts against nobody.
fn token_call_account(world: &World, parts: &Parts, body: &Bytes, at_us: u64) -> Option<u64> {
    if parts.method == Method::DELETE {
        let token = query::value(parts.uri.query().unwrap_or_default(), "token")?;
        return world.tokens.standing(&token, at_us).map(|standing| standing.account);
    }
    let id = query::number(std::str::from_utf8(body).ok()?, "client_id")?;
    world.account(id).map(|account| account.id)
}

fn status_fault(code: u16, body: Option<Value>) -> Response {
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match body {
        Some(Value::String(text)) => (status, text).into_response(),
        Some(body) => json_answer(status, &body),
        None => json_answer(status, &json!({ "status": "fail", "message": format!("Sandbox fault: HTTP {code}") })),
    }
}

/// The same answer with only the first half of its body.
async fn halved(answer: Response) -> Response {
    let status = answer.status();
    let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap_or_default();
    json_text(status, String::from_utf8_lossy(&body[..body.len() / 2]).into_owned())
}
