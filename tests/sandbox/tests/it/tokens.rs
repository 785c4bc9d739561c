//! Tokens: the bare OAuth answers, the delay until a token is usable, revocation, and the overloaded 403.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{ACCOUNT, config, sandbox, sandbox_with};

const DENIED: &str = "The resource owner or authorization server denied the request.";

#[tokio::test]
async fn a_token_answer_is_a_bare_oauth_object() {
    let sandbox = sandbox().await;
    let answer = sandbox.ask_token(ACCOUNT, "s3cret").await;
    assert_eq!(answer.status(), StatusCode::OK);
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["expires_in"], 63_158_400);
    assert_eq!(body["access_token"].as_str().unwrap().split('.').count(), 3);
    assert_eq!(body.as_object().unwrap().len(), 3);
}

#[tokio::test]
async fn wrong_credentials_answer_401_with_the_oauth_error() {
    let sandbox = sandbox().await;
    for (id, secret) in [(ACCOUNT, "wrong"), (9_999, "s3cret")] {
        let answer = sandbox.ask_token(id, secret).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(answer.json::<Value>().await.unwrap()["error"], "invalid_client");
    }
}

#[tokio::test]
async fn a_token_is_refused_until_its_delay_is_over() {
    let mut sandbox =
        sandbox_with(hostaway_sandbox::Config { token_delay: Duration::from_millis(300), ..config() }).await;
    let issued = std::time::Instant::now();
    sandbox.token = sandbox.issue(ACCOUNT, "s3cret").await;
    let (status, body) = sandbox.call(Method::GET, "/v1/listings", None).await;
    assert_eq!((status, &body), (StatusCode::FORBIDDEN, &json!({ "status": "fail", "message": DENIED })));
    tokio::time::sleep(Duration::from_millis(350).saturating_sub(issued.elapsed())).await;
    sandbox.get("/v1/listings").await;
}

#[tokio::test]
async fn no_or_an_unknown_token_is_denied() {
    let mut sandbox = sandbox().await;
    for token in ["", "eyJ.not.ours"] {
        token.clone_into(&mut sandbox.token);
        let (status, body) = sandbox.call(Method::GET, "/v1/listings", None).await;
        assert_eq!((status, body["message"].as_str()), (StatusCode::FORBIDDEN, Some(DENIED)));
    }
}

#[tokio::test]
async fn revoking_ends_one_token_and_leaves_the_others() {
    let mut sandbox = sandbox().await;
    let first = sandbox.token.clone();
    let second = sandbox.issue(ACCOUNT, "s3cret").await;
    let path = format!("/v1/accessTokens?token={first}");
    assert_eq!(sandbox.result(Method::DELETE, &path, None).await, json!([]));
    assert_eq!(sandbox.call(Method::GET, "/v1/listings", None).await.0, StatusCode::FORBIDDEN);
    sandbox.token = second;
    sandbox.get("/v1/listings").await;

    let arrivals = sandbox.arrivals().await;
    assert!(!json!(arrivals).to_string().contains(&first), "a token in a query must not be recorded");
    assert!(arrivals.iter().any(|call| call["query"] == "token=***"));
}

#[tokio::test]
async fn an_account_sees_only_its_own_listings() {
    let mut sandbox = sandbox().await;
    let id = sandbox.create("ref-1").await;
    sandbox.token = sandbox.issue(1002, "other").await;
    assert_eq!(sandbox.get("/v1/listings").await, json!([]));
    assert_eq!(sandbox.call(Method::GET, &format!("/v1/listings/{id}"), None).await.0, StatusCode::NOT_FOUND);
}
