//! The HTTP API of a running `distribution`, as another program meets it.

use std::collections::BTreeSet;
use std::time::Duration;

use adapters::identity::{Grant, LocalIdentity};
use anyhow::{Context, ensure};
use chrono::TimeDelta;
use domain::access::Accounts;
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use secrecy::ExposeSecret as _;
use serde_json::Value;

use crate::process::Process;
use crate::wait::wait_until;
use crate::world::World;

/// An answer, read.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body as text.
    pub text: String,
}

impl Answer {
    /// The body as JSON; null where there is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> String {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    }

    /// The answer, where it has this status.
    pub fn expect(self, status: u16) -> anyhow::Result<Self> {
        ensure!(self.status.as_u16() == status, "{} instead of {status}: {}", self.status, self.text);
        Ok(self)
    }
}

/// A caller of the API.
#[derive(Debug, Clone)]
pub struct Api {
    base: String,
    token: Option<String>,
    client: reqwest::Client,
}

impl Api {
    /// The API of a process that was just started.
    pub async fn of(process: &Process) -> anyhow::Result<Self> {
        let base = wait_until("the API listens", Duration::from_secs(30), || async {
            let log = process.printed();
            let address = log.split("the API listens at ").nth(1).and_then(|rest| rest.split(';').next());
            Ok(address.map(str::to_owned).ok_or_else(|| format!("its log says: {log}")))
        })
        .await?;
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
        Ok(Self { base, token: None, client })
    }

    /// The API at an address, with a limit for each request.
    pub fn at(base: String, limit: Duration) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(limit).build()?;
        Ok(Self { base, token: None, client })
    }

    /// Where it is.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The same API with a token, signed as `distribution token` signs one.
    pub fn as_caller(&self, world: &World, org: &str, account: Option<&str>, role: &str) -> anyhow::Result<Self> {
        let accounts = match account {
            Some(account) => Accounts::Only(BTreeSet::from([account.parse()?])),
            None => Accounts::All,
        };
        let roles = BTreeSet::from([role.parse()?]);
        let grant = Grant { subject: format!("{role}-of-{org}"), org_id: org.parse()?, accounts, roles };
        let issued = LocalIdentity::open(&world.path("secrets"))?.issue(&grant, TimeDelta::hours(1))?;
        Ok(self.with_token(issued.token.expose_secret()))
    }

    /// The same API with this bearer token.
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// A request with headers and a body.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> anyhow::Result<Answer> {
        let request = self.request(method, path, headers);
        Self::answer(path, if let Some(body) = body { request.json(body) } else { request }).await
    }

    /// A request with headers and a text as its body.
    pub async fn send_text(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> anyhow::Result<Answer> {
        Self::answer(path, self.request(method, path, headers).body(body)).await
    }

    fn request(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> reqwest::RequestBuilder {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request
    }

    async fn answer(path: &str, request: reqwest::RequestBuilder) -> anyhow::Result<Answer> {
        let response = request.send().await.with_context(|| format!("no answer from {path}"))?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Answer { status, headers, text: response.text().await? })
    }

    /// GET.
    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.send(Method::GET, path, &[], None).await
    }

    /// One field of the items of a list, page by page. `list` is its path with whatever is asked for.
    pub async fn pages(&self, list: &str, field: &str) -> anyhow::Result<Vec<Vec<Value>>> {
        let (mut pages, mut path) = (Vec::new(), list.to_owned());
        let and = if list.contains('?') { '&' } else { '?' };
        loop {
            let page = self.get(&path).await?.expect(200)?.json();
            let items = page["items"].as_array().with_context(|| format!("{path} is no list: {page}"))?;
            pages.push(items.iter().map(|item| item[field].clone()).collect());
            let Some(next) = page["next_cursor"].as_str() else { return Ok(pages) };
            path = format!("{list}{and}cursor={next}");
        }
    }

    /// POST with a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.send(Method::POST, path, &[], Some(body)).await
    }
}
