//! A caller of the API who wants a change made once, and asks until it has a definite answer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use end_to_end::api::{Answer, Api};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use uuid::Uuid;

/// A caller.
#[derive(Debug)]
pub struct Caller {
    apis: Vec<Api>,
    turn: AtomicUsize,
}

impl Caller {
    /// The longest that one request may take.
    pub const LIMIT: Duration = Duration::from_secs(8);
    const REST: Duration = Duration::from_millis(250);

    /// A caller of these APIs, which are one service.
    pub fn new(apis: Vec<Api>) -> Self {
        Self { apis, turn: AtomicUsize::new(0) }
    }

    /// Asks with one idempotency key, at one API after the other. An error where it is refused, or has had no answer
    /// after so long.
    pub async fn change(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        patience: Duration,
    ) -> anyhow::Result<Value> {
        let key = Uuid::now_v7().to_string();
        self.ask(method, path, &[("idempotency-key", &key)], body, patience).await
    }

    /// Reads. An error where that is refused, or has had no answer after so long.
    pub async fn read(&self, path: &str, patience: Duration) -> anyhow::Result<Value> {
        self.ask(Method::GET, path, &[], None, patience).await
    }

    /// Whether each API says that it can serve; or what one says.
    pub async fn are_ready(&self) -> Result<(), String> {
        for api in &self.apis {
            let answer = api.get("/health/ready").await.map_err(|error| format!("{error:#}"))?;
            if !answer.status.is_success() {
                return Err(answer.text);
            }
        }
        Ok(())
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
        patience: Duration,
    ) -> anyhow::Result<Value> {
        let began = Instant::now();
        loop {
            let api = &self.apis[self.turn.fetch_add(1, Ordering::Relaxed) % self.apis.len()];
            let answer = api.send(method.clone(), path, headers, body).await;
            let why = match answer {
                Ok(answer) if answer.status.is_success() => return Ok(answer.json()),
                Ok(answer) if may_heal(&answer) => answer.text,
                Ok(answer) => bail!("refused: {method} {path}: {}: {}", answer.status, answer.text),
                Err(error) => format!("{error:#}"),
            };
            if began.elapsed() > patience {
                return Err(anyhow::anyhow!(why)).context(format!("{method} {path} had no answer in {patience:?}"));
            }
            tokio::time::sleep(Self::REST).await;
        }
    }
}

/// What passes by itself while something is broken, as the service tells it. A 500 does not, whatever is broken.
const PASSING: [&str; 6] = [
    "/problems/unavailable",
    "/problems/not-yet-visible",
    "/problems/timed-out",
    "/problems/request-timed-out",
    "/problems/rate-limited",
    "/problems/idempotency-key-in-use",
];

/// Whether to ask again is what a reasonable caller does.
fn may_heal(answer: &Answer) -> bool {
    answer.json()["type"].as_str().is_some_and(|kind| PASSING.contains(&kind))
        // A conflict that passes: others wrote at the same time.
        || (answer.status == StatusCode::CONFLICT && answer.headers.contains_key("retry-after"))
        // Published, and not taken in yet.
        || answer.text.contains("was never published")
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderMap, HeaderValue};
    use serde_json::json;

    use super::*;

    fn problem(status: StatusCode, name: &str) -> Answer {
        let body = json!({ "type": format!("/problems/{name}"), "status": status.as_u16() });
        Answer { status, headers: HeaderMap::new(), text: body.to_string() }
    }

    #[test]
    fn what_the_service_says_passes_is_asked_again() {
        for (status, name) in [
            (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            (StatusCode::GATEWAY_TIMEOUT, "timed-out"),
            (StatusCode::TOO_MANY_REQUESTS, "rate-limited"),
            (StatusCode::CONFLICT, "idempotency-key-in-use"),
        ] {
            assert!(may_heal(&problem(status, name)), "{name}");
        }
        let mut conflict = problem(StatusCode::CONFLICT, "conflict");
        assert!(!may_heal(&conflict));
        conflict.headers.insert("retry-after", HeaderValue::from_static("1"));
        assert!(may_heal(&conflict));
    }

    #[test]
    fn an_answer_that_nobody_meant_to_give_is_a_refusal() {
        let mut internal = problem(StatusCode::INTERNAL_SERVER_ERROR, "internal");
        assert!(!may_heal(&internal));
        internal.headers.insert("retry-after", HeaderValue::from_static("1"));
        assert!(!may_heal(&internal));
        for status in [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE] {
            let bare = Answer { status, headers: HeaderMap::new(), text: "it broke".to_owned() };
            assert!(!may_heal(&bare), "{status} without a problem");
        }
    }
}
