//! A channel that says the secret and the token back, in words that look like nothing: no report keeps them.

use domain::channel::Section;
use domain::ids::ExternalId;
use domain::outcome::OutcomeClass;
use domain::port::Channel as _;
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::fixture::{Bench, Listing, inside, write_secret};

const TOKEN: &str = "4711-plainly-spoken";

/// Its base URL. It answers every request for a token and every other call in the same way.
async fn parrot(token: (u16, Value), call: (u16, Value)) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let request = whole(&mut stream).await;
            let (status, body) = if request.starts_with("POST /v1/accessTokens") { &token } else { &call };
            let body = body.to_string();
            let head = format!("HTTP/1.1 {status} So\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            let _written = stream.write_all(format!("{head}{body}").as_bytes()).await;
        }
    });
    format!("http://{address}/v1")
}

/// A request to its end: a connection that is closed before that loses the answer.
async fn whole(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let read = stream.read(&mut chunk).await.unwrap_or_default();
        request.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let missing = text.split_once("\r\n\r\n").is_none_or(|(head, body)| {
            let head = head.to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
            body.len() < length.unwrap_or(0)
        });
        if read == 0 || !missing {
            return text;
        }
    }
}

/// A push and a check against it.
async fn says_back(secret: &str, token: (u16, Value), call: (u16, Value), wanted: OutcomeClass) {
    let bench = Bench::with(&parrot(token, call).await, &inside());
    write_secret(bench.secrets.path(), "hostaway", secret, 0o600);
    let mut listing = Listing::new("villa-1");
    listing.external_id = Some(ExternalId("1".to_owned()));
    let push = bench.push(&listing, &[Section::Content]).await;
    assert_eq!(push.class, wanted, "{push:?}");
    let check = bench.hostaway.check(&bench.target, &bench.slots).await;
    let in_json = Value::from(secret).to_string();
    for report in [format!("{push:?}"), format!("{check:?}")] {
        let said = report.replace("\\\"", "\"").replace("\\\\", "\\");
        for gone in [secret, in_json.trim_matches('"'), in_a_form(secret).as_str(), TOKEN] {
            assert!(!report.contains(gone) && !said.contains(gone), "{gone} is in {report}");
        }
    }
    assert!(format!("{push:?}").contains("we know you by •••, by ••• and by •••, too"), "{push:?}");
}

fn in_a_form(secret: &str) -> String {
    form_urlencoded::byte_serialize(secret.as_bytes()).collect()
}

#[tokio::test]
async fn a_secret_and_a_token_that_are_said_back_are_in_no_report() {
    let issued = (200, json!({ "access_token": TOKEN, "expires_in": 86_400 }));
    for secret in ["hunter2", "Kx9fQ-plain_secret.77", "5f0c".repeat(16).as_str(), r#"a/b "c"+d"#] {
        let words = format!("we know you by {secret}, by {} and by {TOKEN}, too", in_a_form(secret));
        let fail = json!({ "status": "fail", "message": words, "seen": [{ "as": words }], secret: TOKEN });
        let taken = json!({ "status": "success", "result": { "id": 1, "description": words } });
        // Who gets no token knows of none.
        let refused = json!({ "status": "fail", "message": words.replace(TOKEN, secret) });
        join_all([
            says_back(secret, (401, refused), (200, json!({})), OutcomeClass::Unauthorised),
            says_back(secret, issued.clone(), (422, fail.clone()), OutcomeClass::Rejected),
            says_back(secret, issued.clone(), (200, fail), OutcomeClass::Rejected),
            says_back(secret, issued.clone(), (503, json!(words)), OutcomeClass::Transient),
            says_back(secret, issued.clone(), (200, taken), OutcomeClass::AcceptedWithRejections),
        ])
        .await;
    }
}
