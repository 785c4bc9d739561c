//! What each fault of the channel or of the line becomes, and that nothing is sent after it.

use adapters::hostaway::Config;
use chrono::{TimeDelta, Utc};
use domain::channel::Section;
use domain::outcome::OutcomeClass;
use domain::port::ThrottledScope;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::fixture::{Bench, Listing, inside};
use crate::sandbox::Sandbox;
use crate::slots::End;

async fn throttled(applied: &str) -> (Bench, domain::port::PushReport) {
    let sandbox = Sandbox::start().await;
    let bench = Bench::new(&sandbox);
    let listing = Listing::created("villa-1", &bench).await;
    sandbox.fault(json!({ "kind": "rate_limited", "retry_after_s": 7, "applied": applied })).await;
    let before = sandbox.calls().await.len();
    let report = bench.push(&listing, &Section::ALL).await;
    assert_eq!(sandbox.calls().await.len(), before + 1, "nothing is sent after a 429");
    (bench, report)
}

#[tokio::test]
async fn a_429_pauses_the_account_until_the_epoch_it_names() {
    let (bench, report) = throttled("account").await;
    assert_eq!(report.class, OutcomeClass::Throttled);
    let wait = report.retry_at.unwrap() - Utc::now();
    assert!(wait > TimeDelta::seconds(5) && wait <= TimeDelta::seconds(9), "{wait}");
    let end = bench.slots.taken().last().unwrap().end;
    assert_eq!(end, End::Throttled(ThrottledScope::Account, report.retry_at.unwrap()));
}

#[tokio::test]
async fn a_429_of_the_address_pauses_the_address() {
    let (bench, report) = throttled("ip").await;
    let end = bench.slots.taken().last().unwrap().end;
    assert_eq!(end, End::Throttled(ThrottledScope::Egress, report.retry_at.unwrap()));
}

/// A push of everything with one fault on the content call, after the calendar went through.
async fn content_fault(config: Config, fault: Value) -> domain::port::PushReport {
    let sandbox = Sandbox::start().await;
    let bench = Bench::with(&sandbox.base_url(), &config);
    let listing = Listing::created("villa-1", &bench).await;
    let mut rule = json!({ "method": "PUT", "path_pattern": "/v1/listings/*" });
    rule.as_object_mut().unwrap().extend(fault.as_object().unwrap().clone());
    sandbox.fault(rule).await;
    let report = bench.push(&listing, &Section::ALL).await;
    let done: Vec<Section> = report.progress.sections.keys().copied().collect();
    assert_eq!(done, [Section::Availability, Section::Rates], "what was done counts: {report:?}");
    let last = if report.calls.last().unwrap().status.is_some() { End::Answered } else { End::Unanswered };
    let ends: Vec<End> = bench.slots.taken().iter().map(|slot| slot.end).collect();
    let (end, before) = ends.split_last().unwrap();
    assert!(before.iter().all(|end| *end == End::Answered), "{ends:?}");
    assert_eq!(*end, last, "without an answer it may arrive yet");
    report
}

#[tokio::test]
async fn a_server_error_is_transient() {
    let report = content_fault(inside(), json!({ "kind": "status", "code": 503 })).await;
    assert_eq!((report.class, report.calls.last().unwrap().status), (OutcomeClass::Transient, Some(503)));
}

#[tokio::test]
async fn a_cut_write_is_unknown() {
    let report = content_fault(inside(), json!({ "kind": "cut_before" })).await;
    assert_eq!((report.class, report.calls.last().unwrap().status), (OutcomeClass::Unknown, None));
}

#[tokio::test]
async fn half_an_answer_to_a_write_is_unknown() {
    let report = content_fault(inside(), json!({ "kind": "malformed_json" })).await;
    assert_eq!((report.class, report.calls.last().unwrap().status), (OutcomeClass::Unknown, Some(200)));
}

#[tokio::test]
async fn an_answer_without_end_is_not_read() {
    let body = "x".repeat(200_000);
    let config = Config { max_response_bytes: 100_000, ..inside() };
    let report = content_fault(config, json!({ "kind": "status", "code": 200, "body": body })).await;
    assert_eq!(report.class, OutcomeClass::Unknown);
    assert!(report.detail.unwrap().contains("longer than 100000 bytes"));
}

#[tokio::test]
async fn half_an_answer_to_a_read_is_transient_and_the_nights_do_not_count_yet() {
    let sandbox = Sandbox::start().await;
    let bench = Bench::new(&sandbox);
    let listing = Listing::created("villa-1", &bench).await;
    sandbox.fault(json!({ "method": "GET", "kind": "malformed_json" })).await;
    let report = bench.push(&listing, &[Section::Availability]).await;
    assert_eq!(report.class, OutcomeClass::Transient, "{report:?}");
    assert!(report.progress.sections.is_empty());
}

#[tokio::test]
async fn no_connection_is_transient_even_for_a_write() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let bench = Bench::with(&format!("http://127.0.0.1:{port}/v1"), &inside());
    let report = bench.push(&Listing::new("villa-1"), &Section::ALL).await;
    assert_eq!(report.class, OutcomeClass::Transient, "{report:?}");
    assert!(report.detail.unwrap().contains("no connection"));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let sandbox = Sandbox::start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let elsewhere = sandbox.base_url();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _read = stream.read(&mut request).await;
            let answer = format!(
                "HTTP/1.1 308 Permanent Redirect\r\nlocation: {elsewhere}/accessTokens\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            );
            let _written = stream.write_all(answer.as_bytes()).await;
        }
    });
    let bench = Bench::with(&format!("http://{address}/v1"), &inside());
    let report = bench.push(&Listing::new("villa-1"), &Section::ALL).await;
    assert_eq!(report.class, OutcomeClass::Rejected, "{report:?}");
    assert!(report.detail.unwrap().contains("redirected"));
    assert!(sandbox.arrivals().await.is_empty());
}

#[tokio::test]
async fn when_there_are_no_more_slots_it_stops_and_tells_how_far_it_got() {
    let sandbox = Sandbox::start().await;
    let mut bench = Bench::new(&sandbox);
    let listing = Listing::created("villa-1", &bench).await;
    let before = sandbox.calls().await.len();
    bench.slots.most = bench.slots.taken().len() + 2;
    let report = bench.push(&listing, &Section::ALL).await;
    assert_eq!(report.class, OutcomeClass::Stopped);
    assert_eq!(report.detail.as_deref(), Some("no further calls are made: the target was paused"), "{report:?}");
    assert!(report.retry_at.is_some());
    assert_eq!(report.progress.sections.len(), 2);
    assert_eq!(sandbox.calls().await.len(), before + 2);
}
