//! HTTP calls, each with what it was for and what was answered; with the request too where that can be made again.

use chrono::{DateTime, Utc};
use domain::call::CallRecord;
use maud::{Markup, html};
use serde_json::Value;
use uuid::Uuid;

use super::pieces::{in_words, json, moment, span, state, words};
use crate::views::audit::Call;

/// A call as pages show it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown<'a> {
    request_id: Uuid,
    purpose: &'a str,
    method: &'a str,
    path: &'a str,
    status: Option<i64>,
    class: &'a str,
    started_at: DateTime<Utc>,
    duration_ms: i64,
    detail: Option<&'a str>,
    answer: Option<&'a str>,
}

impl<'a> From<&'a Call> for Shown<'a> {
    fn from(call: &'a Call) -> Self {
        Self {
            request_id: call.request_id,
            purpose: &call.purpose,
            method: &call.method,
            path: &call.path,
            status: call.status.map(i64::from),
            class: &call.class,
            started_at: call.started_at,
            duration_ms: call.duration_ms,
            detail: call.detail.as_deref(),
            answer: call.answer.as_deref(),
        }
    }
}

impl<'a> From<&'a CallRecord> for Shown<'a> {
    fn from(call: &'a CallRecord) -> Self {
        Self {
            request_id: call.request_id,
            purpose: call.purpose.as_str(),
            method: &call.method,
            path: &call.path,
            status: call.status.map(i64::from),
            class: call.class.as_str(),
            started_at: call.started_at,
            duration_ms: i64::try_from(call.duration_ms).unwrap_or(i64::MAX),
            detail: call.detail.as_deref(),
            answer: call.answer.as_deref(),
        }
    }
}

/// What a call carried, as far as that is known.
#[derive(Debug, Clone, Copy)]
pub(super) enum Carried<'a> {
    /// It reads.
    Nothing,
    /// The account's secret.
    Secret,
    /// Made again; `exact` where this build maps the snapshot as the one that sent it.
    Body { body: &'a Value, exact: bool },
    /// Why it cannot be shown.
    Unknown(&'a str),
}

/// Without what they carried.
pub(super) fn brief<'a>(calls: impl Iterator<Item = Shown<'a>>) -> Markup {
    html! { ol.calls { @for call in calls { li { (line(&call)) p.quiet { "Request id " code { (call.request_id) } } } } } }
}

/// Each with its request and its answer.
pub(super) fn whole<'a>(calls: impl Iterator<Item = (Shown<'a>, Carried<'a>)>) -> Markup {
    html! { ol.calls { @for (call, carried) in calls {
        li #(format!("call-{}", call.request_id)) {
            (line(&call))
            details { summary { "Request and answer" } div.exchange { (request(&call, carried)) (answer(&call)) } }
        }
    } } }
}

fn line(call: &Shown<'_>) -> Markup {
    html! {
        p.call {
            span.at { (moment(call.started_at)) }
            span.asked { strong { (words(call.purpose)) } " " code { (call.method) " " (call.path) } }
            span.answered { @if let Some(status) = call.status { (status) " " } (state(call.class)) }
            span.took { (span(call.duration_ms)) }
        }
        @if let Some(detail) = call.detail { p.words { (detail) } }
    }
}

fn request(call: &Shown<'_>, carried: Carried<'_>) -> Markup {
    html! { div {
        h3 { "Request" }
        pre.head tabindex="0" { code {
            (call.method) " " (call.path) "\n"
            "X-Request-Id: " (call.request_id)
            @if !matches!(carried, Carried::Secret) { "\nAuthorization: Bearer •••" }
        } }
        @match carried {
            Carried::Nothing => p.quiet { "It has no body." },
            Carried::Secret => p.quiet { "Its body is the account's id and secret at the channel, which is shown to nobody." },
            Carried::Body { body, exact } => {
                (json(body))
                p.quiet { "Bodies of requests are not stored: this one was made again from the snapshot." }
                @if !exact { p.warn { "This build makes something else of the snapshot than the one that sent it: the body was another." } }
            },
            Carried::Unknown(why) => p.quiet { (why) },
        }
    } }
}

/// What it means that the channel had nothing to say.
fn silence(call: &Shown<'_>) -> &'static str {
    match (call.purpose, call.method) {
        ("token", _) => "nothing: it gave a token",
        (_, "GET") => "nothing: it was read",
        _ => "nothing: it was taken",
    }
}

fn answer(call: &Shown<'_>) -> Markup {
    html! { div {
        h3 { "Answer" }
        dl.facts {
            div { dt { "Status" } dd { @if let Some(status) = call.status { (status) } @else { "none came" } } }
            div { dt { "Judged as" } dd { (state(call.class)) } }
            div { dt { "Took" } dd { (span(call.duration_ms)) } }
            div.whole { dt { "In the channel's words" } dd {
                @if let Some(detail) = call.detail { (in_words(detail)) } @else { span.quiet { (silence(call)) } }
            } }
        }
        @match call.answer {
            Some(body) => { pre.head tabindex="0" { code { (body) } }
                p.quiet { "The beginning of its body, without what is a secret or a guest's." } },
            None => p.quiet { "Its body is not kept." },
        }
    } }
}
