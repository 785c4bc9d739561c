//! The state file, through the binary: what a stop or a save leaves, the next start takes up.

use std::{
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{ACCOUNT, villa};

const BINARY: &str = env!("CARGO_BIN_EXE_hostaway-sandbox");

/// The sandbox as a process; killed if it still runs at the end.
struct Process {
    child: Child,
    base: String,
    http: reqwest::Client,
}

impl Process {
    fn start(state_file: Option<&Path>, arguments: &[&str]) -> Self {
        let mut command = Command::new(BINARY);
        command.args(["--limits", "off", "--token-delay-ms", "0"]).args(arguments);
        if let Some(path) = state_file {
            command.arg("--state-file").arg(path);
        }
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let base = line.strip_prefix("listening on ").unwrap().trim().to_owned();
        Self { child, base, http: reqwest::Client::new() }
    }

    async fn call(&self, token: &str, method: Method, path: &str, body: Option<&Value>) -> (StatusCode, Value) {
        let mut request = self.http.request(method, format!("{}{path}", self.base)).bearer_auth(token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    async fn done(&self, token: &str, method: Method, path: &str, body: Option<&Value>) -> Value {
        let (status, answer) = self.call(token, method, path, body).await;
        assert_eq!(status, StatusCode::OK, "{path}: {answer}");
        assert_ne!(answer["status"], "fail", "{path}: {answer}");
        answer
    }

    async fn token(&self) -> String {
        let form = "grant_type=client_credentials&client_id=1001&client_secret=s3cret&scope=general";
        let answer = self.http.post(format!("{}/v1/accessTokens", self.base)).body(form).send().await.unwrap();
        answer.json::<Value>().await.unwrap()["access_token"].as_str().unwrap().to_owned()
    }

    async fn create(&self, token: &str, reference: &str) -> u64 {
        let answer = self.done(token, Method::POST, "/v1/listings", Some(&villa(reference))).await;
        answer["result"]["id"].as_u64().unwrap()
    }

    /// All that the inspection API shows of an account's listings, nights and reservations.
    async fn world(&self, token: &str, listing: u64) -> [Value; 3] {
        let (from, to) = ("2030-05-01", "2030-06-30");
        let listings = format!("/_sandbox/accounts/{ACCOUNT}/listings");
        let nights = format!("{listings}/{listing}/calendar?startDate={from}&endDate={to}");
        [
            self.done(token, Method::GET, &listings, None).await,
            self.done(token, Method::GET, &nights, None).await,
            self.done(token, Method::GET, "/v1/reservations", None).await,
        ]
    }

    fn terminate(mut self) {
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Ended already where the test went well.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// Two listings with nested rows, nights, reservations and an image whose import is still under way.
async fn furnish(process: &Process, token: &str) -> u64 {
    let listing = process.create(token, "unit-1 Casa").await;
    process.create(token, "unit-2 Casa").await;
    let archive = format!("/_sandbox/accounts/{ACCOUNT}/listings/{}/archive", listing + 1);
    process.done(token, Method::PUT, &archive, None).await;
    let nights = json!([
        { "startDate": "2030-05-02", "endDate": "2030-05-20", "isAvailable": 1, "price": 99.9, "minimumStay": 3,
            "note": "early" },
        { "startDate": "2030-06-02", "endDate": "2030-06-03", "isAvailable": 0, "closedOnArrival": 1 },
    ]);
    let path = format!("/v1/listings/{listing}/calendarIntervals");
    process.done(token, Method::PUT, &path, Some(&nights)).await;
    for (from, to, status) in [("2030-05-17", "2030-05-19", "new"), ("2030-05-24", "2030-05-26", "pending")] {
        let seed = json!({ "account_id": ACCOUNT, "listing_id": listing, "arrival_date": from, "departure_date": to,
            "status": status, "total_price": 250.5 });
        process.done(token, Method::POST, "/_sandbox/reservations", Some(&seed)).await;
    }
    let confirm = json!({ "account_id": ACCOUNT, "status": "modified" });
    process.done(token, Method::PUT, "/_sandbox/reservations/500001/status", Some(&confirm)).await;
    let images = json!({ "images": [{ "url": "https://cdn.example.org/3.jpg", "sortOrder": 3 }] });
    process.done(token, Method::POST, &format!("/v1/listings/{listing}/images"), Some(&images)).await;
    listing
}

#[tokio::test]
async fn a_stopped_sandbox_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    let first = Process::start(Some(&path), &["--account", "1001:s3cret", "--image-delay-ms", "0"]);
    let token = first.token().await;
    let listing = furnish(&first, &token).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let before = first.world(&token, listing).await;
    assert_eq!(before[0]["listings"][0]["listingImages"].as_array().unwrap().len(), 3);
    assert_eq!(before[2]["count"], 2);
    first.terminate();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside the file");

    let second = Process::start(Some(&path), &[]);
    assert_eq!(second.world(&token, listing).await, before);
    let found = second.done(&token, Method::GET, "/v1/listings?match=unit-1", None).await;
    assert_eq!(found["result"][0]["id"], listing);
    assert_eq!(second.create(&token, "unit-3 Casa").await, listing + 2);
    let highest = |answer: &Value| {
        let rows =
            answer["listings"].as_array().unwrap().iter().flat_map(|row| row["listingImages"].as_array().unwrap());
        rows.map(|image| image["id"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let [listings, _, _] = second.world(&token, listing).await;
    let mut rows = highest(&listings);
    rows.sort_unstable();
    rows.dedup();
    assert_eq!(rows.len(), 3 + 2 + 2, "no row id is given out twice");
    assert_ne!(second.token().await, token);
}

#[tokio::test]
async fn an_import_under_way_is_in_the_state_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    let first = Process::start(Some(&path), &["--account", "1001:s3cret", "--image-delay-ms", "400"]);
    let token = first.token().await;
    let listing = furnish(&first, &token).await;
    first.terminate();
    let second = Process::start(Some(&path), &[]);
    let [listings, _, _] = second.world(&token, listing).await;
    assert_eq!(listings["listings"][0]["listingImages"][2]["sourceUrl"], "https://cdn.example.org/3.jpg");
}

#[tokio::test]
async fn a_killed_sandbox_keeps_what_was_saved_and_soon_what_was_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    let first = Process::start(Some(&path), &["--account", "1001:s3cret"]);
    let token = first.token().await;
    let listing = first.create(&token, "unit-1").await;
    let saved = first.done("", Method::POST, "/_sandbox/save", None).await;
    assert_eq!(saved["saved"], path.display().to_string());
    drop(first);

    let second = Process::start(Some(&path), &[]);
    second.done(&token, Method::GET, &format!("/v1/listings/{listing}"), None).await;
    let later = second.create(&token, "unit-2").await;
    let since = Instant::now();
    while !std::fs::read_to_string(&path).unwrap().contains("unit-2") {
        assert!(since.elapsed() < Duration::from_secs(15), "the change is not written");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(second);
    let third = Process::start(Some(&path), &[]);
    third.done(&token, Method::GET, &format!("/v1/listings/{later}"), None).await;
}

#[tokio::test]
async fn without_a_state_file_there_is_nothing_to_save() {
    let process = Process::start(None, &[]);
    let (status, answer) = process.call("", Method::POST, "/_sandbox/save", None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(answer["error"], "the sandbox was started without --state-file");
}

#[test]
fn a_state_file_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let state = r#"{"version":2,"accounts":{},"tokens":{},"ids":{"listing":1,"row":1,"reservation":1,"change":1}}"#;
    for (name, text) in [("torn.json", &state[..40]), ("newer.json", state)] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let start = |path: &Path| -> Output { Command::new(BINARY).arg("--state-file").arg(path).output().unwrap() };
    for path in ["torn.json", "newer.json", "", "no/folder.json"].map(|name| folder.path().join(name)) {
        let out = start(&path);
        let words = String::from_utf8_lossy(&out.stderr);
        assert!(!out.status.success(), "{words}");
        assert!(words.contains(&*path.to_string_lossy()), "{words}");
        assert!(out.stdout.is_empty(), "it does not say that it listens");
    }
}
