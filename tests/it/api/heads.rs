//! Heads of requests that are too long, or name no host, are refused like everything else; what the parser of HTTP refuses by itself
//! stops nobody.

use std::time::Duration;

use end_to_end::api::Api;
use end_to_end::world::World;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Three headers, whose names and values are 41 bytes together.
const HEADERS: &str = "host: x\r\nx-request-id: of-a-head\r\nconnection: close\r\n";

fn get(path: &str, further: &str) -> String {
    format!("GET {path} HTTP/1.1\r\n{HEADERS}{further}\r\n")
}

/// What is answered until the connection ends.
async fn answer(address: &str, bytes: &str) -> anyhow::Result<String> {
    let mut connection = TcpStream::connect(address).await?;
    connection.write_all(bytes.as_bytes()).await?;
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(20), connection.read_to_end(&mut answer)).await??;
    Ok(String::from_utf8_lossy(&answer).to_lowercase())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_too_long_is_a_problem_with_an_id() -> anyhow::Result<()> {
    let world = World::new(&[8178]).await?;
    let service = world.serve("api")?;
    let api = Api::of(&service).await?;
    let address = api.base().trim_start_matches("http://");
    let path = |bytes: usize| format!("/{}", "x".repeat(bytes - 1));
    let headers = |count: usize| (0..count).map(|n| format!("x-{n}: y\r\n")).collect::<String>();
    let header = |bytes: usize| format!("x-long: {}\r\n", "y".repeat(bytes - "x-long".len()));
    for (head, status, problem) in [
        (get(&path(8_192), ""), 404, "not-found"),
        (get(&path(8_193), ""), 414, "uri-too-long"),
        (get(&format!("/api/channels/targets?{}", "x".repeat(20_000)), ""), 414, "uri-too-long"),
        (get(&path(65_000), ""), 414, "uri-too-long"),
        (get("/x", &headers(97)), 404, "not-found"),
        (get("/x", &headers(98)), 431, "headers-too-large"),
        (get("/x", &headers(197)), 431, "headers-too-large"),
        (get("/x", &header(65_536 - 41)), 404, "not-found"),
        (get("/x", &header(65_537 - 41)), 431, "headers-too-large"),
        (get("/x", &header(300_000)), 431, "headers-too-large"),
    ] {
        let answer = answer(address, &head).await?;
        let shown = &head[..head.len().min(60)];
        assert!(answer.starts_with(&format!("http/1.1 {status} ")), "{shown}: {answer}");
        assert!(answer.contains("\r\ncontent-type: application/problem+json\r\n"), "{shown}: {answer}");
        assert!(answer.contains(&format!("\"/problems/{problem}\"")), "{shown}: {answer}");
        assert!(answer.contains("\r\nx-request-id: of-a-head\r\n"), "{shown}: {answer}");
        // Nobody may send these without end, either.
        let counted = !head.starts_with("GET /api/") || answer.contains("\r\nratelimit-remaining: ");
        assert!(counted, "{shown}: {answer}");
    }
    // The connection goes on.
    let refused = format!("GET {} HTTP/1.1\r\nhost: x\r\n\r\n", path(9_000));
    let both = answer(address, &format!("{refused}{}", get("/health/live", ""))).await?;
    assert!(both.starts_with("http/1.1 414 ") && both.contains("http/1.1 204 "), "{both}");
    // Further out the parser refuses by itself, and what is no HTTP, too.
    for (head, status) in [
        (get(&path(70_000), ""), 414),
        (get("/x", &headers(300)), 431),
        ("\0\u{1}\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/9.9\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nno header\r\n\r\n".to_owned(), 400),
    ] {
        let answer = answer(address, &head).await?;
        assert!(answer.starts_with(&format!("http/1.1 {status} ")), "{}: {answer}", &head[..head.len().min(60)]);
    }
    api.get("/health/live").await?.expect(204)?;
    drop(service);
    world.close().await
}

/// Whatever stands before the service, and the service, are to go by the same host (RFC 9112, 3.2).
#[tokio::test(flavor = "multi_thread")]
async fn a_request_of_http_1_1_names_one_host_and_an_older_one_may_name_none() -> anyhow::Result<()> {
    let world = World::new(&[8178]).await?;
    let service = world.serve("api")?;
    let api = Api::of(&service).await?;
    let address = api.base().trim_start_matches("http://");
    for (version, hosts, status) in [
        ("1.1", "host: x\r\n", 204),
        ("1.1", "host:\r\n", 204),
        ("1.0", "", 204),
        ("1.0", "host: x\r\n", 204),
        ("1.1", "", 400),
        ("1.1", "host: x\r\nHost: x\r\n", 400),
        ("1.1", "host: x\r\nhost: y\r\n", 400),
        ("1.0", "host: x\r\nhost: y\r\n", 400),
    ] {
        let further = "x-request-id: of-a-head\r\nconnection: close\r\n\r\n";
        let head = format!("GET /health/live HTTP/{version}\r\n{hosts}{further}");
        let answer = answer(address, &head).await?;
        assert_eq!(answer.split(' ').nth(1), Some(status.to_string().as_str()), "{head}: {answer}");
        let told = ["application/problem+json", "\"field\":\"host\"", "x-request-id: of-a-head"];
        assert!(status == 204 || told.iter().all(|part| answer.contains(part)), "{head}: {answer}");
    }
    drop(service);
    world.close().await
}
