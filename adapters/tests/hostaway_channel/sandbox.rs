//! The sandbox as its own process, one per test, and its inspection API. It dies with the value.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

pub const ACCOUNT: u64 = 10_450;
pub const SECRET: &str = "sandbox-secret-7f3a";

pub struct Sandbox {
    process: Child,
    root: String,
    http: reqwest::Client,
    _dir: tempfile::TempDir,
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _reaped = self.process.wait();
    }
}

/// Cargo gives a test no binary of another package, so it is looked for beside the test's own.
fn binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(|deps| deps.parent()).unwrap().join("hostaway-sandbox");
    assert!(path.exists(), "{} is missing: build it with cargo build -p hostaway-sandbox", path.display());
    path
}

impl Sandbox {
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port_file = dir.path().join("address");
        let process = Command::new(binary())
            .args(["--limits", "off", "--account", &format!("{ACCOUNT}:{SECRET}"), "--port-file"])
            .arg(&port_file)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let patience = Instant::now() + Duration::from_secs(20);
        let address = loop {
            match std::fs::read_to_string(&port_file) {
                Ok(address) => break address,
                Err(_) => assert!(Instant::now() < patience, "the sandbox does not come up"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        Self { process, root: format!("http://{address}"), http: reqwest::Client::new(), _dir: dir }
    }

    pub fn base_url(&self) -> String {
        format!("{}/v1", self.root)
    }

    async fn inspect(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> Value {
        let mut request = self.http.request(method, format!("{}/_sandbox{path}", self.root));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
        answer.json().await.unwrap()
    }

    pub async fn fault(&self, rule: Value) {
        self.inspect(reqwest::Method::POST, "/faults", Some(rule)).await;
    }

    /// Takes every fault away.
    pub async fn heal(&self) {
        self.inspect(reqwest::Method::DELETE, "/faults", None).await;
    }

    pub async fn reserve(&self, listing: &str, arrival: &str, departure: &str) {
        let listing: u64 = listing.parse().unwrap();
        let seed = json!({ "account_id": ACCOUNT, "listing_id": listing, "arrival_date": arrival, "departure_date": departure });
        self.inspect(reqwest::Method::POST, "/reservations", Some(seed)).await;
    }

    pub async fn archive(&self, listing: &str) {
        let path = format!("/accounts/{ACCOUNT}/listings/{listing}/archive");
        self.inspect(reqwest::Method::PUT, &path, Some(json!({ "archived": true }))).await;
    }

    pub async fn set_secret(&self, secret: &str) {
        let account = json!({ "account_id": ACCOUNT, "secret": secret });
        self.inspect(reqwest::Method::POST, "/accounts", Some(account)).await;
    }

    pub async fn listings(&self) -> Vec<Value> {
        let answer = self.inspect(reqwest::Method::GET, &format!("/accounts/{ACCOUNT}/listings"), None).await;
        answer["listings"].as_array().unwrap().clone()
    }

    pub async fn days(&self, listing: &str, first: &str, last: &str) -> Vec<Value> {
        let path = format!("/accounts/{ACCOUNT}/listings/{listing}/calendar?startDate={first}&endDate={last}");
        self.inspect(reqwest::Method::GET, &path, None).await["days"].as_array().unwrap().clone()
    }

    /// Every API call that arrived, oldest first.
    pub async fn arrivals(&self) -> Vec<Value> {
        let answer = self.inspect(reqwest::Method::GET, "/arrivals?limit=100000", None).await;
        answer["arrivals"].as_array().unwrap().clone()
    }

    /// `PUT /v1/listings/1/calendar` and so on, without the token calls.
    pub async fn calls(&self) -> Vec<String> {
        let line = |call: &Value| format!("{} {}", call["method"].as_str().unwrap(), call["path"].as_str().unwrap());
        self.arrivals().await.iter().map(line).filter(|line| !line.ends_with("/accessTokens")).collect()
    }

    pub async fn token_calls(&self) -> usize {
        let arrivals = self.arrivals().await;
        arrivals.iter().filter(|call| call["path"] == "/v1/accessTokens").count()
    }

    /// A client of the API that is not ours, for what other tools do.
    pub async fn foreign_client(&self) -> Foreign<'_> {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &ACCOUNT.to_string()),
            ("client_secret", SECRET),
            ("scope", "general"),
        ];
        let answer = self.http.post(format!("{}/accessTokens", self.base_url())).form(&form).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        tokio::time::sleep(Duration::from_millis(1_050)).await;
        Foreign { sandbox: self, token: answer["access_token"].as_str().unwrap().to_owned() }
    }
}

pub struct Foreign<'a> {
    sandbox: &'a Sandbox,
    token: String,
}

impl Foreign<'_> {
    pub async fn create(&self, body: Value) -> String {
        let url = format!("{}/listings", self.sandbox.base_url());
        let request = self.sandbox.http.post(url).bearer_auth(&self.token).json(&body);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        answer["result"]["id"].to_string()
    }

    pub async fn delete(&self, listing: &str) {
        let url = format!("{}/listings/{listing}", self.sandbox.base_url());
        let answer = self.sandbox.http.delete(url).bearer_auth(&self.token).send().await.unwrap();
        assert!(answer.status().is_success());
    }
}
