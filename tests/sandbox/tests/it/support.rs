//! A sandbox for one test, an API client of one account, and the inspection API.

use std::time::Duration;

use hostaway_sandbox::{Config, LimitTable, serve};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;

pub const ACCOUNT: u64 = 1001;

pub struct Sandbox {
    pub base: String,
    pub http: reqwest::Client,
    pub token: String,
    /// Dropping it stops the sandbox.
    _stop: tokio::sync::oneshot::Sender<()>,
}

pub fn config() -> Config {
    Config {
        accounts: vec![(ACCOUNT, "s3cret".to_owned()), (1002, "other".to_owned())],
        limits: LimitTable::default(),
        token_delay: Duration::ZERO,
        image_delay: Duration::from_millis(150),
        state_file: None,
        keep_bodies: true,
    }
}

/// A sandbox without limits, and a usable token of account 1001.
pub async fn sandbox() -> Sandbox {
    sandbox_with(config()).await
}

pub async fn sandbox_with(config: Config) -> Sandbox {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    tokio::spawn(serve(config, listener, async move {
        let _dropped = stopped.await;
    }));
    let http = reqwest::Client::builder().retry(reqwest::retry::never()).build().unwrap();
    let mut sandbox = Sandbox { base, http, token: String::new(), _stop: stop };
    sandbox.token = sandbox.issue(ACCOUNT, "s3cret").await;
    sandbox
}

impl Sandbox {
    pub async fn ask_token(&self, client_id: u64, secret: &str) -> Response {
        let id = client_id.to_string();
        let form =
            [("grant_type", "client_credentials"), ("client_id", &id), ("client_secret", secret), ("scope", "general")];
        self.http.post(format!("{}/v1/accessTokens", self.base)).form(&form).send().await.unwrap()
    }

    pub async fn issue(&self, client_id: u64, secret: &str) -> String {
        let answer: Value = self.ask_token(client_id, secret).await.json().await.unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    }

    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> reqwest::Result<Response> {
        let mut request = self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        request.send().await
    }

    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> (StatusCode, Value) {
        let answer = self.send(method, path, body).await.unwrap();
        let status = answer.status();
        (status, answer.json().await.unwrap())
    }

    /// `result` of a call that must succeed.
    pub async fn result(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let (status, mut body) = self.call(method, path, body).await;
        assert_eq!((status, &body["status"]), (StatusCode::OK, &json!("success")), "{path}: {body}");
        body["result"].take()
    }

    pub async fn get(&self, path: &str) -> Value {
        self.result(Method::GET, path, None).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Value {
        self.result(Method::PUT, path, Some(body)).await
    }

    /// Text of a failure with HTTP 200, which stands under `key`.
    pub async fn refused(&self, method: Method, path: &str, body: &Value, key: &str) -> String {
        let (status, answer) = self.call(method, path, Some(body)).await;
        assert_eq!((status, &answer["status"]), (StatusCode::OK, &json!("fail")), "{path}: {answer}");
        answer[key].as_str().unwrap_or_else(|| panic!("no {key} in {answer}")).to_owned()
    }

    pub async fn create(&self, reference: &str) -> u64 {
        let body = villa(reference);
        self.result(Method::POST, "/v1/listings", Some(&body)).await["id"].as_u64().unwrap()
    }

    /// A call of the inspection API that must succeed.
    pub async fn inspect(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let (status, answer) = self.call(method, &format!("/_sandbox{path}"), body).await;
        assert_eq!(status, StatusCode::OK, "{path}: {answer}");
        answer
    }

    pub async fn fault(&self, rule: Value) {
        self.inspect(Method::POST, "/faults", Some(&rule)).await;
    }

    pub async fn arrivals(&self) -> Vec<Value> {
        let path = format!("/arrivals?account={ACCOUNT}");
        self.inspect(Method::GET, &path, None).await["arrivals"].as_array().unwrap().clone()
    }
}

pub fn villa(reference: &str) -> Value {
    json!({
        "name": "Casa Limonar", "externalListingName": "Casa Limonar", "internalListingName": reference,
        "description": "Old town house", "propertyTypeId": 3, "roomType": "entire_home", "address": "Calle Mayor 4",
        "city": "Malaga", "countryCode": "ES", "lat": 36.72, "lng": -4.41, "timeZoneName": "Europe/Madrid",
        "price": 140.0, "currencyCode": "EUR", "guestsIncluded": 2, "priceForExtraPerson": 15, "personCapacity": 4,
        "minNights": 2, "maxNights": 60, "checkInTimeStart": 15, "checkOutTime": 11, "cancellationPolicy": "moderate",
        "instantBookable": 1, "listingAmenities": [{"amenityId": 2}, {"amenityId": 6}],
        "listingBedTypes": [{"bedTypeId": 5, "quantity": 2}],
        "listingImages": [
            {"url": "https://cdn.example.org/2.jpg", "caption": "Garden", "sortOrder": 2},
            {"url": "https://cdn.example.org/1.jpg", "caption": "Front", "sortOrder": 1}],
    })
}
