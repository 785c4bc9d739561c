//! The calls of one push, read or check: each takes a slot, carries the token and an id of its own, and is recorded. A 403
//! brings one new token and one more try; where that is refused, too, the next push tells whether it is a matter of rights.

mod authorization;

use std::sync::Arc;
use std::time::Instant;

use chrono::{TimeDelta, Utc};
use domain::call::{CallPurpose, CallRecord, LISTING_GONE};
use domain::channel::Section;
use domain::ids::{ExternalId, ListingId};
use domain::outcome::OutcomeClass;
use domain::port::{NoSlot, NotOurs, Permit, SlotSource};
use domain::target::{Health, Target};
use reqwest::header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, HeaderValue};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use uuid::Uuid;

use super::Hostaway;
use super::answer::{Answer, Wanted};
use super::client::{NoReply, Reply};
use super::failure::{Failure, Reach};
use super::guard::check_body;
use super::token::{Cell, Token, VainCall};
use super::verdict::{self, Effect};
use super::withheld::Withheld;
use crate::secrets::Secret;
use crate::telemetry::{ChannelCall, call_made};

/// Until it is asked again whose a listing is. What nobody could say may last, and each time the listing was looked for before.
const UNKNOWN_WAIT: TimeDelta = TimeDelta::seconds(60);

/// A call to the API.
pub(super) struct Call {
    pub purpose: CallPurpose,
    pub urgency: Section,
    pub method: Method,
    /// Path and query below the base URL.
    pub path: String,
    pub body: Option<Value>,
    /// What its answer has to have in it.
    pub wanted: Wanted,
}

impl Call {
    /// What it does to what, without its values.
    fn name(&self) -> String {
        let path = self.path.split('?').next().unwrap_or_default();
        format!("{} {path}", self.method)
    }
}

/// The dealings of one push, read or check with the channel.
pub(super) struct Session<'a> {
    hostaway: &'a Hostaway,
    pub target: &'a Target,
    cell: Arc<Cell>,
    slots: &'a dyn SlotSource,
    pub calls: Vec<CallRecord>,
    secret: Option<Secret>,
    /// What no words of the channel's may say back.
    pub withheld: Withheld,
    /// Whether a refusal was met, so that only what the keeper of the secret says now will do.
    doubted: bool,
    refreshed: bool,
    /// Whether the value that holds now is the only one that counts.
    current_alone: bool,
    /// Whose push it is, if it is one.
    listing: Option<ListingId>,
    /// Whether the previous one still serves the pushes.
    pub rotating: bool,
    /// Whether nobody knows yet that the value that holds now stays.
    pub pending: bool,
    /// The last token was of the previous secret, as the one that holds now is refused: in words.
    pub new_secret_refused: Option<String>,
}

impl<'a> Session<'a> {
    pub fn new(hostaway: &'a Hostaway, target: &'a Target, slots: &'a dyn SlotSource) -> Self {
        let cell = hostaway.tokens.cell(target);
        Self {
            hostaway,
            target,
            cell,
            slots,
            calls: Vec::new(),
            secret: None,
            withheld: Withheld::default(),
            doubted: false,
            refreshed: false,
            current_alone: false,
            listing: None,
            rotating: false,
            pending: false,
            new_secret_refused: None,
        }
    }

    /// For a push of this listing. Of a degraded target it may be the new secret that is refused: whoever knows the one of
    /// before alone, as it was read a minute ago, would take its success for an end of that.
    pub fn of(self, listing: ListingId) -> Self {
        let doubted = self.target.health == Health::Degraded;
        Self { listing: Some(listing), doubted, ..self }
    }

    /// With the secret that its keeper has now, and no other: whoever has just rotated it wants to know of that one.
    pub fn with_current_secret_alone(self) -> Self {
        Self { doubted: true, current_alone: true, ..self }
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
        if self.cell.in_vain(&token, &self.vain(call)) {
            return first.map_err(|denied| no_rights(&denied));
        }
        if self.refreshed {
            // The new token was got for another call of this push.
            return first.map_err(|denied| self.refused_again(&denied, false));
        }
        self.refreshed = true;
        self.secret = None;
        self.doubted = true;
        let fresh = self.token(Some(token.generation), call.urgency).await?;
        let second = self.with_token(call, &fresh).await;
        match second {
            Err(denied) if denied.reach == Reach::Denied => {
                let before = self.cell.note_vain(self.vain(call));
                Err(self.refused_again(&denied, before))
            }
            other => other,
        }
    }

    /// A new token was refused, too. The channel may have forgotten that one as well, so a push does not end its job here: that
    /// ends where it was so `before`. A check has no next attempt.
    fn refused_again(&self, denied: &Failure, before: bool) -> Failure {
        if before || self.listing.is_none() {
            return no_rights(denied);
        }
        let detail = format!("a new token was refused, too: {}", denied.detail);
        Failure::new(OutcomeClass::Transient, detail).reaching(Reach::Denied)
    }

    fn vain(&self, call: &Call) -> VainCall {
        (self.listing, call.name())
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
        let judge = |reply, withheld: &Withheld| verdict::of(reply, effect, &call.wanted, Utc::now(), withheld);
        self.withheld.add(token.bearer());
        let permit = self.slot(call.purpose, call.urgency).await?;
        let end = self.exchange(call.purpose, request, permit, judge).await;
        match end {
            Ok(answer) => {
                self.cell.note_proven(token, &self.vain(call));
                Ok(answer)
            }
            Err(failure) if failure.reach == Reach::Listing && call.path.starts_with("/listings/") => {
                let detail = format!("{LISTING_GONE} at Hostaway: {}", failure.detail);
                Err(Failure { detail, ..failure })
            }
            Err(failure) => Err(failure),
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.target.base_url.trim_end_matches('/'));
        self.hostaway.client.request(method, &url).header(ACCEPT, HeaderValue::from_static("application/json"))
    }

    async fn slot(&self, purpose: CallPurpose, urgency: Section) -> Result<Box<dyn Permit>, Failure> {
        self.slots.slot(purpose, urgency).await.map_err(|refused| match refused {
            NoSlot::Stopped(_) => Failure::stopped(refused.to_string(), Utc::now()),
            NoSlot::NoneFree => Failure::new(OutcomeClass::Throttled, refused.to_string()).not_before(Some(Utc::now())),
            NoSlot::Creation { reason, retry_at } => Failure::stopped(reason, retry_at),
        })
    }

    /// Whether a listing that was found or made may be written to as ours.
    pub async fn may_write_to(&self, id: &str, was_made: bool) -> Result<(), Failure> {
        self.slots.may_write_to(&ExternalId(id.to_owned()), was_made).await.map_err(|refused| match refused {
            NotOurs::Held(why) => Failure::new(OutcomeClass::Rejected, why).reaching(Reach::Listing),
            NotOurs::Unknown(why) => Failure::stopped(why, Utc::now() + UNKNOWN_WAIT),
        })
    }

    /// One HTTP request: call, verdict, slot back, record.
    async fn exchange<T>(
        &mut self,
        purpose: CallPurpose,
        request: RequestBuilder,
        permit: Box<dyn Permit>,
        judge: impl FnOnce(Result<Reply, NoReply>, &Withheld) -> Result<T, Failure> + Send,
    ) -> Result<T, Failure> {
        let request_id = Uuid::now_v7();
        let built = request.header("X-Request-Id", request_id.to_string()).build();
        let checked = built.map_err(|error| error.without_url().to_string()).and_then(|request| {
            self.hostaway.client.allows(&request).map_err(|forbidden| forbidden.to_string())?;
            Ok(request)
        });
        let request = match checked {
            Ok(request) => request,
            Err(error) => {
                permit.unused();
                let why = format!("the call cannot be made, check the target's base_url: {error}");
                return Err(Failure::new(OutcomeClass::Rejected, why).reaching(Reach::Target));
            }
        };
        let (method, path) = (request.method().to_string(), shown_path(request.url()));
        let host = request.url().host_str().unwrap_or_default().to_owned();
        let port = request.url().port_or_known_default();
        permit.starts();
        let (started_at, started) = (Utc::now(), Instant::now());
        let reply = self.hostaway.client.exchange(request).await;
        let took = started.elapsed();
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let status = reply.as_ref().ok().map(|reply| reply.status.as_u16());
        let may_arrive = matches!(reply, Err(NoReply::Lost(_)));
        let end = judge(reply, &self.withheld);
        match end.as_ref().err().and_then(|failure| failure.throttle) {
            Some(throttle) => permit.throttled(throttle.scope, throttle.until),
            None if may_arrive => permit.unanswered(),
            None => permit.answered(),
        }
        let class = end.as_ref().map_or_else(|failure| failure.class, |_| OutcomeClass::Accepted);
        tracing::debug!(%request_id, purpose = purpose.as_str(), method, path, status, duration_ms, %class, "hostaway call");
        call_made(ChannelCall {
            host: &host,
            port,
            method: &method,
            status,
            class: class.as_str(),
            purpose: purpose.as_str(),
            seconds: took.as_secs_f64(),
        });
        let (detail, answer) =
            end.as_ref().err().map(|failure| (failure.detail.clone(), failure.answer.clone())).unzip();
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
            answer: answer.flatten(),
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
