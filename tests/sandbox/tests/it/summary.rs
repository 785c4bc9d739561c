//! What the sandbox reports: arrivals, calls by kind, the exact worst window, reset.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::{ACCOUNT, sandbox, villa};

#[tokio::test]
async fn calls_are_counted_by_kind_and_refusals_apart() {
    let sandbox = sandbox().await;
    let id = sandbox.create("ref-1").await;
    let path = format!("/v1/listings/{id}");
    sandbox.put(&path, &json!({ "name": "x" })).await;
    sandbox.put(&format!("{path}/calendarIntervals"), &json!([])).await;
    sandbox.put(&format!("{path}/calendar"), &json!({})).await;
    sandbox.get(&path).await;
    sandbox.inspect(Method::PUT, "/limits", Some(&json!({ "account": { "limit": 1, "window_ms": 60_000 } }))).await;
    sandbox.get(&path).await;
    assert_eq!(sandbox.call(Method::PUT, &path, Some(&json!({}))).await.0, StatusCode::TOO_MANY_REQUESTS);

    let summary = sandbox.inspect(Method::GET, "/summary", None).await;
    let account = &summary["accounts"]["1001"];
    let writes =
        json!({ "creates": 1, "content_puts": 1, "image_posts": 0, "calendar_puts": 2, "deletes": 0, "token": 1 });
    assert_eq!(account["writes"], writes);
    assert_eq!((&account["calls"], &account["reads"], &account["refused_429"]), (&json!(8), &json!(2), &json!(1)));
    assert_eq!(account["worst_window"], 8, "tokens, reads and refusals are in it");
    assert_eq!(summary["ips"]["127.0.0.1"]["worst_window"], 8);
    assert_eq!((&summary["window_ms"], &summary["calls"]), (&json!(10_000), &json!(8)));
    assert_eq!(summary["accounts"]["1002"]["calls"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_worst_window_is_the_one_a_full_count_finds() {
    let sandbox = sandbox().await;
    for burst in [3_u64, 9, 5] {
        let calls = (0..burst).map(|_| sandbox.send(Method::GET, "/v1/bedTypes", None));
        for call in calls.map(|call| async { call.await.unwrap().status() }) {
            assert_eq!(call.await, StatusCode::OK);
        }
        tokio::time::sleep(Duration::from_millis(120)).await;
    }
    let times: Vec<u64> = sandbox.arrivals().await.iter().map(|call| call["at_us"].as_u64().unwrap()).collect();
    assert!(times.is_sorted());
    for window_ms in [1, 20, 100, 250, 10_000] {
        let inside = |start: &u64| times.iter().filter(|at| *at >= start && **at < start + window_ms * 1000).count();
        let worst = times.iter().map(inside).max().unwrap();
        let summary = sandbox.inspect(Method::GET, &format!("/summary?window_ms={window_ms}"), None).await;
        assert_eq!(summary["accounts"]["1001"]["worst_window"], worst, "{window_ms} ms");
        let at = summary["accounts"]["1001"]["worst_window_at_us"].as_u64().unwrap();
        assert_eq!(inside(&at), worst);
    }
}

#[tokio::test]
async fn arrivals_are_recorded_with_what_was_sent_and_answered() {
    let sandbox = sandbox().await;
    let url = format!("{}/v1/listings?match=a%20b", sandbox.base);
    let request = sandbox.http.get(url).bearer_auth(&sandbox.token).header("x-request-id", "job-7");
    request.send().await.unwrap();
    let body = villa("ref-1");
    sandbox.send(Method::POST, "/v1/listings", Some(&body)).await.unwrap();
    sandbox.http.get(format!("{}/v1/listings", sandbox.base)).send().await.unwrap();

    let mine = sandbox.arrivals().await;
    assert_eq!(mine.len(), 3, "the token, the read, the create");
    let read = &mine[1];
    assert_eq!(
        (&read["method"], &read["path"], &read["query"]),
        (&json!("GET"), &json!("/v1/listings"), &json!("match=a%20b"))
    );
    assert_eq!(
        (&read["request_id"], &read["status"], &read["account"]),
        (&json!("job-7"), &json!(200), &json!(ACCOUNT))
    );
    assert_eq!(
        (&mine[2]["purpose"], mine[2]["body_bytes"].as_u64()),
        (&json!("create"), Some(body.to_string().len() as u64))
    );
    assert_eq!(mine[2]["body"].as_str(), Some(body.to_string().as_str()));
    assert_eq!(mine[0]["body"], json!(null), "a token call's body holds a secret");

    let since = mine[2]["at_us"].as_u64().unwrap();
    let later = sandbox.inspect(Method::GET, &format!("/arrivals?since_us={since}"), None).await;
    let rows = later["arrivals"].as_array().unwrap();
    assert_eq!((rows.len(), &rows[1]["account"], &rows[1]["status"]), (2, &json!(null), &json!(403)));
    assert_eq!(sandbox.inspect(Method::GET, "/summary", None).await["unidentified_calls"], 1);
}

#[tokio::test]
async fn a_reset_brings_back_the_start() {
    let mut sandbox = sandbox().await;
    sandbox.create("ref-1").await;
    sandbox.inspect(Method::POST, "/accounts", Some(&json!({ "account_id": 7, "secret": "k" }))).await;
    sandbox.issue(7, "k").await;
    sandbox.fault(json!({ "kind": "cut_before", "probability": 0.0 })).await;
    sandbox.inspect(Method::POST, "/reset", None).await;
    assert_eq!(sandbox.call(Method::GET, "/v1/listings", None).await.0, StatusCode::FORBIDDEN);
    assert_eq!(sandbox.ask_token(7, "k").await.status(), StatusCode::UNAUTHORIZED);
    sandbox.token = sandbox.issue(ACCOUNT, "s3cret").await;
    assert_eq!(sandbox.get("/v1/listings").await, json!([]));
    assert_eq!(sandbox.inspect(Method::GET, "/faults", None).await["faults"], json!([]));
    assert_eq!(sandbox.inspect(Method::GET, "/summary", None).await["calls"], 4);
}
