//! A caller of the API who wants a change made once, and asks until it has a definite answer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use end_to_end::api::{Answer, Api};
use reqwest::Method;
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

    /// Reads.
    pub async fn read(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(Method::GET, path, &[], None, Duration::from_secs(60)).await
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

/// Whether to ask again is what a reasonable caller does.
fn may_heal(answer: &Answer) -> bool {
    answer.status.is_server_error()
        || matches!(answer.status.as_u16(), 408 | 429)
        // A conflict that passes, such as a key that is in use.
        || answer.headers.contains_key("retry-after")
        // Published, and not taken in yet.
        || answer.text.contains("was never published")
}
