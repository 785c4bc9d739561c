//! Faults on demand: what each kind does to the call and to the store, and which calls a rule hits.

use std::{
    io::{Read as _, Write as _},
    time::{Duration, Instant},
};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{ACCOUNT, Sandbox, sandbox};

async fn name(sandbox: &Sandbox, id: u64) -> String {
    sandbox.get(&format!("/v1/listings/{id}")).await["name"].as_str().unwrap().to_owned()
}

/// Bytes that a plain socket gets back for a PUT of the name, until the other side closes.
fn raw_put(sandbox: &Sandbox, id: u64) -> Vec<u8> {
    let host = sandbox.base.trim_start_matches("http://").to_owned();
    let body = r#"{"name":"Renamed"}"#;
    let head = format!(
        "PUT /v1/listings/{id} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n{body}",
        sandbox.token,
        body.len()
    );
    let mut stream = std::net::TcpStream::connect(&host).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    let mut got = Vec::new();
    match stream.read_to_end(&mut got) {
        Ok(_) => got,
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => got,
        Err(error) => panic!("the connection stayed open: {error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_cuts_close_the_connection_without_a_byte() {
    let sandbox = sandbox().await;
    let id = sandbox.create("ref-1").await;
    for (kind, expected) in [("cut_before", "Casa Limonar"), ("cut_after", "Renamed")] {
        sandbox.fault(json!({ "kind": kind, "method": "PUT", "count": 1 })).await;
        assert_eq!(raw_put(&sandbox, id), b"", "{kind}");
        assert_eq!(name(&sandbox, id).await, expected, "{kind}");
    }
    let statuses: Vec<_> =
        sandbox.arrivals().await.iter().filter(|c| c["method"] == "PUT").map(|c| c["status"].clone()).collect();
    assert_eq!(statuses, [Value::Null, Value::Null]);
    sandbox.fault(json!({ "kind": "cut_after", "method": "POST", "path_prefix": "/v1/listings", "count": 1 })).await;
    let body = crate::support::villa("ref-2");
    let error = sandbox.send(Method::POST, "/v1/listings", Some(&body)).await.unwrap_err();
    assert!(!error.is_timeout() && !error.is_connect() && !error.is_status(), "{error:?}");
    assert_eq!(sandbox.get("/v1/listings?match=ref-2").await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn latency_delays_and_then_applies() {
    let sandbox = sandbox().await;
    let id = sandbox.create("ref-1").await;
    sandbox.fault(json!({ "kind": "latency", "min_ms": 150, "max_ms": 200, "count": 1 })).await;
    let start = Instant::now();
    sandbox.put(&format!("/v1/listings/{id}"), &json!({ "name": "Slow" })).await;
    assert!(start.elapsed() >= Duration::from_millis(150));
    assert_eq!(name(&sandbox, id).await, "Slow");
    let put = sandbox.arrivals().await.into_iter().find(|call| call["method"] == "PUT").unwrap();
    assert!(put["duration_us"].as_u64().unwrap() >= 150_000);
}

#[tokio::test]
async fn a_status_fault_answers_its_code_and_applies_nothing() {
    let sandbox = sandbox().await;
    let id = sandbox.create("ref-1").await;
    let path = format!("/v1/listings/{id}");
    sandbox
        .fault(json!([
            { "kind": "status", "code": 503, "count": 1 },
            { "kind": "status", "code": 502, "body": "<html>Bad gateway</html>", "count": 1 },
            { "kind": "status", "code": 200, "body": { "status": "fail", "result": "no" }, "count": 1 },
        ]))
        .await;
    let rename = json!({ "name": "Lost" });
    let (status, body) = sandbox.call(Method::PUT, &path, Some(&rename)).await;
    assert_eq!((status.as_u16(), &body["status"]), (503, &json!("fail")));
    let answer = sandbox.send(Method::PUT, &path, Some(&rename)).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (502, "<html>Bad gateway</html>"));
    assert_eq!(sandbox.refused(Method::PUT, &path, &rename, "result").await, "no");
    assert_eq!(name(&sandbox, id).await, "Casa Limonar");
}

#[tokio::test]
async fn a_forced_429_has_the_documented_headers() {
    let sandbox = sandbox().await;
    sandbox.fault(json!({ "kind": "rate_limited", "retry_after_s": 30, "applied": "ip", "count": 1 })).await;
    let answer = sandbox.send(Method::GET, "/v1/listings", None).await.unwrap();
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(answer.headers()["x-ratelimit-applied"], "ip");
    let retry_at: i64 = answer.headers()["x-ratelimit-retry-after"].to_str().unwrap().parse().unwrap();
    assert!((28..=32).contains(&(retry_at - chrono::Utc::now().timestamp())));
}

#[tokio::test]
async fn a_hang_outlasts_the_client_with_and_without_applying() {
    let sandbox = sandbox().await;
    let id = sandbox.create("ref-1").await;
    for (apply, expected) in [(false, "Casa Limonar"), (true, "Renamed")] {
        sandbox.fault(json!({ "kind": "hang", "seconds": 1.0, "apply": apply, "count": 1 })).await;
        let request = sandbox.http.put(format!("{}/v1/listings/{id}", sandbox.base)).bearer_auth(&sandbox.token);
        let sent = request.json(&json!({ "name": "Renamed" })).timeout(Duration::from_millis(200)).send().await;
        assert!(sent.unwrap_err().is_timeout());
        tokio::time::sleep(Duration::from_millis(1100)).await;
        assert_eq!(name(&sandbox, id).await, expected, "apply {apply}");
    }
}

#[tokio::test]
async fn a_held_call_is_answered_once_its_rule_is_taken_away() {
    let sandbox = sandbox().await;
    let id = sandbox.create("ref-1").await;
    let path = format!("/v1/listings/{id}");
    for mend_all in [false, true] {
        let (before, after) = if mend_all { ("Renamed", "Again") } else { ("Casa Limonar", "Renamed") };
        let rule = json!({ "kind": "hold", "method": "PUT", "count": 1 });
        let added = sandbox.inspect(Method::POST, "/faults", Some(&rule)).await;
        let rule = if mend_all { "/faults".to_owned() } else { format!("/faults/{}", added["faults"][0]["id"]) };
        let body = json!({ "name": after });
        let let_go = async {
            // Others come and go, and so do rules.
            tokio::time::sleep(Duration::from_millis(200)).await;
            let other = json!({ "kind": "status", "code": 500, "account": 1002 });
            let other = sandbox.inspect(Method::POST, "/faults", Some(&other)).await["faults"][0]["id"].clone();
            sandbox.inspect(Method::DELETE, &format!("/faults/{other}"), None).await;
            assert_eq!(name(&sandbox, id).await, before);
            assert!(sandbox.arrivals().await.iter().any(|call| call["method"] == "PUT" && call["status"].is_null()));
            sandbox.inspect(Method::DELETE, &rule, None).await;
        };
        tokio::join!(sandbox.put(&path, &body), let_go);
        assert_eq!(name(&sandbox, id).await, after);
    }
}

#[tokio::test]
async fn malformed_json_is_applied_and_unreadable() {
    let sandbox = sandbox().await;
    let id = sandbox.create("ref-1").await;
    sandbox.fault(json!({ "kind": "malformed_json", "count": 1 })).await;
    let answer =
        sandbox.send(Method::PUT, &format!("/v1/listings/{id}"), Some(&json!({ "name": "Done" }))).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(serde_json::from_str::<Value>(&answer.text().await.unwrap()).is_err());
    assert_eq!(name(&sandbox, id).await, "Done");
}

#[tokio::test]
async fn a_lie_is_answered_after_the_call_was_applied() {
    let sandbox = sandbox().await;
    let id = sandbox.create("ref-1").await;
    let path = format!("/v1/listings/{id}");
    let said = json!({ "status": "success", "result": null });
    sandbox.fault(json!({ "kind": "lie", "code": 200, "body": said, "count": 1 })).await;
    let (status, body) = sandbox.call(Method::PUT, &path, Some(&json!({ "name": "Done" }))).await;
    assert_eq!((status, body), (StatusCode::OK, said));
    assert_eq!(name(&sandbox, id).await, "Done");
}

#[tokio::test]
async fn an_expired_token_stays_expired() {
    let mut sandbox = sandbox().await;
    sandbox.fault(json!({ "kind": "expired_token", "account": ACCOUNT, "count": 1 })).await;
    for _ in 0..2 {
        assert_eq!(sandbox.call(Method::GET, "/v1/listings", None).await.0, StatusCode::FORBIDDEN);
    }
    sandbox.token = sandbox.issue(ACCOUNT, "s3cret").await;
    sandbox.get("/v1/listings").await;
}

#[tokio::test]
async fn ignored_writes_answer_success_and_change_nothing() {
    let sandbox = sandbox().await;
    let id = sandbox.create("ref-1").await;
    sandbox.fault(json!({ "kind": "ignore_writes" })).await;
    sandbox.put(&format!("/v1/listings/{id}"), &json!({ "name": "Lost", "listingImages": [] })).await;
    let night = json!({ "startDate": "2030-05-02", "endDate": "2030-05-02", "price": 1 });
    sandbox.put(&format!("/v1/listings/{id}/calendar"), &night).await;
    sandbox.put(&format!("/v1/listings/{id}/calendarIntervals"), &json!([night])).await;
    let phantom = sandbox.create("ref-2").await;
    sandbox.inspect(Method::DELETE, "/faults", None).await;
    let after = sandbox.get(&format!("/v1/listings/{id}?includeResources=1")).await;
    assert_eq!((&after["name"], after["listingImages"].as_array().unwrap().len()), (&json!("Casa Limonar"), 2));
    let path = format!("/v1/listings/{id}/calendar?startDate=2030-05-02&endDate=2030-05-02");
    assert_eq!(sandbox.get(&path).await[0]["price"], 140.0);
    assert_eq!(sandbox.call(Method::GET, &format!("/v1/listings/{phantom}"), None).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn rules_hit_only_what_they_name() {
    let sandbox = sandbox().await;
    let id = sandbox.create("ref-1").await;
    sandbox
        .fault(json!([
            { "kind": "status", "code": 500, "account": 1002 },
            { "kind": "status", "code": 501, "method": "put", "path_pattern": "/v1/listings/*/calendar" },
            { "kind": "status", "code": 502, "path_prefix": "/v1/reservations", "count": 2 },
            { "kind": "status", "code": 503, "probability": 0.0 },
        ]))
        .await;
    let code = async |method: Method, path: String| sandbox.call(method, &path, Some(&json!({}))).await.0.as_u16();
    assert_eq!(code(Method::PUT, format!("/v1/listings/{id}/calendar")).await, 501);
    assert_eq!(code(Method::GET, format!("/v1/listings/{id}/calendar")).await, 200);
    assert_eq!(code(Method::PUT, format!("/v1/listings/{id}")).await, 200);
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(code(Method::GET, "/v1/reservations".to_owned()).await);
    }
    assert_eq!(seen, [502, 502, 200]);
    let rules = sandbox.inspect(Method::GET, "/faults", None).await;
    assert_eq!((&rules["faults"][2]["hits"], &rules["faults"][2]["count"]), (&json!(2), &json!(0)));
    let first = rules["faults"][0]["id"].as_u64().unwrap();
    let left = sandbox.inspect(Method::DELETE, &format!("/faults/{first}"), None).await;
    assert_eq!(left["faults"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_bad_rule_is_refused_with_its_field() {
    let sandbox = sandbox().await;
    for (rule, field) in [
        (json!({ "kind": "explode" }), "explode"),
        (json!({ "kind": "status", "code": 99 }), "code"),
        (json!({ "kind": "lie", "code": 600 }), "code"),
        (json!({ "kind": "latency", "min_ms": 5, "max_ms": 1 }), "min_ms"),
        (json!({ "kind": "cut_before", "probability": 1.5 }), "probability"),
        (json!({ "kind": "hang", "seconds": -1 }), "seconds"),
    ] {
        let (status, body) =
            sandbox.call(Method::POST, "/_sandbox/faults", Some(&json!([{ "kind": "cut_before" }, rule]))).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(body["error"].as_str().unwrap().contains(field), "{body}");
    }
    assert_eq!(sandbox.inspect(Method::GET, "/faults", None).await["faults"], json!([]));
}
