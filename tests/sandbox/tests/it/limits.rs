//! Limits: exact sliding windows per account and per IP, and the 429 with its epoch-valued header.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hostaway_sandbox::{Limit, LimitTable, parse_table};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{ACCOUNT, Sandbox, sandbox};

async fn limit(sandbox: &Sandbox, table: &Value) {
    sandbox.inspect(Method::PUT, "/limits", Some(table)).await;
}

async fn status(sandbox: &Sandbox) -> StatusCode {
    sandbox.send(Method::GET, "/v1/amenities", None).await.unwrap().status()
}

#[tokio::test]
async fn the_window_slides_exactly_and_a_refused_call_does_not_count() {
    let sandbox = sandbox().await;
    limit(&sandbox, &json!({ "account": { "limit": 3, "window_ms": 600 } })).await;
    let mut statuses = Vec::new();
    for _ in 0..60 {
        statuses.push(status(&sandbox).await);
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let arrivals = sandbox.arrivals().await;
    let mut admitted: Vec<u64> = Vec::new();
    for call in arrivals.iter().filter(|call| call["path"] == "/v1/amenities") {
        let at = call["at_us"].as_u64().unwrap();
        let inside = admitted.iter().filter(|earlier| at - **earlier < 600_000).count();
        let expected = if inside < 3 { 200 } else { 429 };
        assert_eq!(call["status"], expected, "call at {at} with {inside} admitted in its window");
        if inside < 3 {
            admitted.push(at);
        }
    }
    assert!(statuses.contains(&StatusCode::TOO_MANY_REQUESTS) && admitted.len() > 6, "{}", admitted.len());
}

#[tokio::test]
async fn a_429_names_the_limit_and_the_epoch_second_to_retry_at() {
    let sandbox = sandbox().await;
    limit(&sandbox, &json!({ "account": { "limit": 1, "window_ms": 1000 } })).await;
    assert_eq!(status(&sandbox).await, StatusCode::OK);
    let answer = sandbox.send(Method::GET, "/v1/amenities", None).await.unwrap();
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(header("x-ratelimit-limit").as_deref(), Some("1"));
    assert_eq!(header("x-ratelimit-remaining").as_deref(), Some("0"));
    assert_eq!(header("x-ratelimit-applied").as_deref(), Some("account"));
    assert_eq!(header("retry-after"), None);
    let retry_at: u64 = header("x-ratelimit-retry-after").unwrap().parse().unwrap();
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    assert!((now().as_secs()..=now().as_secs() + 2).contains(&retry_at), "{retry_at}");
    let body: Value = answer.json().await.unwrap();
    assert_eq!((&body["status"], body["message"].is_string()), (&json!("fail"), true));
    tokio::time::sleep(Duration::from_secs(retry_at).saturating_sub(now())).await;
    assert_eq!(status(&sandbox).await, StatusCode::OK);
}

#[tokio::test]
async fn token_calls_count_against_their_account() {
    let sandbox = sandbox().await;
    limit(&sandbox, &json!({ "account": { "limit": 1, "window_ms": 60_000 } })).await;
    sandbox.issue(ACCOUNT, "s3cret").await;
    assert_eq!(status(&sandbox).await, StatusCode::TOO_MANY_REQUESTS);
    sandbox.issue(1002, "other").await;
}

#[tokio::test]
async fn the_ip_counter_goes_by_peer_or_forwarded_address() {
    let sandbox = sandbox().await;
    limit(&sandbox, &json!({ "ip": { "limit": 1, "window_ms": 60_000 } })).await;
    let from = async |ip: &str| {
        let url = format!("{}/v1/amenities", sandbox.base);
        let request = sandbox.http.get(url).bearer_auth(&sandbox.token).header("x-forwarded-for", ip);
        request.send().await.unwrap()
    };
    assert_eq!(from("10.0.0.1").await.status(), StatusCode::OK);
    let second = from("10.0.0.1, 10.9.9.9").await;
    assert_eq!(second.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(second.headers()["x-ratelimit-applied"], "ip");
    assert_eq!(from("10.0.0.2").await.status(), StatusCode::OK);
    assert_eq!(status(&sandbox).await, StatusCode::OK);
}

#[tokio::test]
async fn an_override_beats_the_table_and_null_lifts_it() {
    let sandbox = sandbox().await;
    let one = json!({ "limit": 1, "window_ms": 60_000 });
    limit(&sandbox, &json!({ "account": one, "accounts": { "1001": null } })).await;
    for _ in 0..5 {
        assert_eq!(status(&sandbox).await, StatusCode::OK);
    }
    limit(&sandbox, &json!({ "accounts": { "1001": one } })).await;
    assert_eq!(status(&sandbox).await, StatusCode::OK);
    assert_eq!(status(&sandbox).await, StatusCode::TOO_MANY_REQUESTS);
    let (refused, body) = sandbox
        .call(Method::PUT, "/_sandbox/limits", Some(&json!({ "account": { "limit": 0, "window_ms": 1 } })))
        .await;
    assert_eq!(refused, StatusCode::BAD_REQUEST, "{body}");
}

#[test]
fn both_published_tables_and_custom_ones_are_known() {
    let table = |account: u32, ip: u32| LimitTable {
        account: Some(Limit { limit: account, window_ms: 10_000 }),
        ip: Some(Limit { limit: ip, window_ms: 10_000 }),
        ..LimitTable::default()
    };
    assert_eq!(parse_table("current"), Ok(table(200, 200)));
    assert_eq!(parse_table("old"), Ok(table(20, 15)));
    assert_eq!(parse_table("off"), Ok(LimitTable::default()));
    let custom = LimitTable { account: Some(Limit { limit: 12, window_ms: 10_000 }), ..LimitTable::default() };
    assert_eq!(parse_table("12/10"), Ok(custom));
    for bad in ["0/10", "12/0", "12", "a/b", ""] {
        assert!(parse_table(bad).is_err(), "{bad}");
    }
}
