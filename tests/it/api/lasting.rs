//! Answers that go on after they have begun, live pages and exports, end with the credential that they were asked for with.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::world::{ORG, World};
use reqwest::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use super::credentials::{Issuer, local_token, session};
use super::pages::told;

/// So long the tokens that end during a test are taken.
const SHORT_S: i64 = 8;

#[tokio::test(flavor = "multi_thread")]
async fn a_live_page_that_a_token_opened_ends_when_that_has_expired() -> anyhow::Result<()> {
    let world = World::new(&[8136]).await?;
    let target = world.target(8136, RateLimit::new(100, 1_000)?).await?.to_string();
    let issuer = Issuer::start().await?;
    for by_provider in [false, true] {
        let further = if by_provider { issuer.options().to_vec() } else { Vec::new() };
        let service = world.serve_with("api,relay,projector", &further)?;
        let api = Api::of(&service).await?;
        let signed = |seconds| {
            if by_provider { issuer.token("pricing", seconds) } else { local_token(&world, "pricing", ORG, seconds) }
        };
        let opened = async |token: &str| {
            let url = format!("{}/live?topic=target:{target}", api.base());
            let mut stream = reqwest::Client::new().get(url).bearer_auth(token).send().await?.error_for_status()?;
            let seen = told(&mut stream, "do-pause").await?;
            assert!(seen.contains("do-pause"), "by the provider: {by_provider}: {seen}");
            anyhow::Ok(stream)
        };
        // When it shows something, the read models are there.
        let mut goes_on = opened(&signed(600)?).await?;
        let short = signed(SHORT_S)?;
        let mut ends = opened(&short).await?;
        sleep(Duration::from_secs(SHORT_S.unsigned_abs() + 2)).await;
        world.run(&["target", "pause", &target, "--reason", "works on the roof"])?;
        let after = told(&mut ends, "do-resume").await?;
        assert!(!after.contains("do-resume"), "by the provider: {by_provider}: {after}");
        assert!(told(&mut goes_on, "do-resume").await?.contains("do-resume"), "by the provider: {by_provider}");
        api.with_token(&short).get("/api/channels/me").await?.expect(401)?;
        world.run(&["target", "resume", &target])?;
        drop(service);
    }
    world.close().await
}

/// Syncs of an export: each is some 3 KB of it, so that the buffers between both ends hold no more than a part of them.
const SYNCS: usize = 12_000;
const EXPORT: &str = "/api/channels/audit/export";

async fn fill(world: &World) -> anyhow::Result<()> {
    sqlx::query(
        "INSERT INTO outbound_audit (sync_id, listing_id, idempotency_key, org_id, account_id, target_id, unit_id, ordinal,
             cause, revision, snapshot, needs, outcome, attempts, detail, created_by, credential, correlation_id, requested_at,
             finished_at, position, updated_position)
         SELECT gen_random_uuid(), '00000000-0000-7000-8000-00000000000b', decode(lpad(to_hex(n), 64, '0'), 'hex'), $1, 'villas',
             '00000000-0000-7000-8000-00000000000a', 'villa-000', n, 'manual', n, decode(lpad('', 64, '0'), 'hex'), '{rates}',
             'accepted', 1, repeat('all is well ', 200), 'service:intake', 'service', gen_random_uuid(), now(), now(), n, n
         FROM generate_series(1, $2::bigint) AS n",
    )
    .bind(ORG)
    .bind(i64::try_from(SYNCS)?)
    .execute(&world.pool)
    .await?;
    Ok(())
}

/// What is left of an export: its lines, and how it ends.
async fn rest(mut export: reqwest::Response) -> (usize, reqwest::Result<()>) {
    let mut lines = 0;
    loop {
        match export.chunk().await {
            Ok(Some(chunk)) => lines += chunk.iter().filter(|byte| **byte == b'\n').count(),
            Ok(None) => return (lines, Ok(())),
            Err(error) => return (lines, Err(error)),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_cut_off_when_its_credential_ends_and_not_before() -> anyhow::Result<()> {
    let world = World::new(&[8137]).await?;
    fill(&world).await?;
    let service = world.serve("api")?;
    let api = Api::of(&service).await?;
    let begun = async |name: &str, value: &str| {
        let request = reqwest::Client::new().get(format!("{}{EXPORT}", api.base())).header(name, value);
        let mut export = request.send().await?.error_for_status()?;
        export.chunk().await?.context("an export begins")?;
        anyhow::Ok(export)
    };
    let (ana, token_of_ana) = session(&world, "ana", ORG).await?;
    let (ben, _) = session(&world, "ben", ORG).await?;
    let (cleo, _) = session(&world, "cleo", ORG).await?;
    let (short, long) =
        (local_token(&world, "pricing", ORG, SHORT_S)?, local_token(&world, "another", ORG, 10 * SHORT_S)?);
    let (short, long) = (format!("Bearer {short}"), format!("Bearer {long}"));
    let ended = [begun("cookie", &ana).await?, begun("cookie", &ben).await?, begun("authorization", &short).await?];
    let whole = [begun("cookie", &cleo).await?, begun("authorization", &long).await?];

    let both = [("cookie", ana.as_str()), ("x-csrf-token", token_of_ana.as_str())];
    api.send(Method::POST, "/sign-out", &both, None).await?.expect(200)?;
    let (code, _, said) = world.run(&["sign-out", "--subject", "ben"])?;
    assert_eq!(code, 0, "{said}");
    sleep(Duration::from_secs(SHORT_S.unsigned_abs() + 2)).await;
    for (export, whose) in ended.into_iter().zip(["signed out", "signed out by the operator", "expired"]) {
        let (lines, end) = rest(export).await;
        assert!(end.is_err() && lines < SYNCS, "{whose}: {lines} lines and {end:?}");
    }
    for (export, whose) in whole.into_iter().zip(["a session", "a token"]) {
        let (lines, end) = rest(export).await;
        // Its beginning was read before.
        assert!(end.is_ok() && lines > SYNCS / 2, "{whose}: {lines} lines and {end:?}");
    }
    drop(service);
    world.close().await
}

/// In HTTP/1.0 an answer of unknown length ends with its connection, whether it is whole or not.
#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_could_not_be_seen_to_be_cut_off_is_refused() -> anyhow::Result<()> {
    let world = World::new(&[8139]).await?;
    let service = world.serve("api")?;
    let api = Api::of(&service).await?;
    let address: SocketAddr = api.base().trim_start_matches("http://").parse()?;
    let token = local_token(&world, "old", ORG, 3_600)?;
    for (version, status) in [("1.0", 426), ("1.1", 200)] {
        let head = format!("GET {EXPORT} HTTP/{version}\r\nhost: x\r\nconnection: close\r\n");
        let mut connection = TcpStream::connect(address).await?;
        connection.write_all(format!("{head}authorization: Bearer {token}\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        timeout(Duration::from_secs(20), connection.read_to_string(&mut answer)).await??;
        assert_eq!(answer.split(' ').nth(1), Some(status.to_string().as_str()), "{version}: {answer}");
        let told = ["\r\nupgrade: HTTP/1.1\r\n", "\"/problems/upgrade-required\""];
        assert_eq!(told.map(|part| answer.contains(part)), [status == 426; 2], "{version}: {answer}");
    }
    drop(service);
    world.close().await
}

/// Nobody keeps a connection for ever by reading a little of an export now and then.
#[tokio::test(flavor = "multi_thread")]
async fn an_export_whose_reader_is_too_slow_is_cut_off() -> anyhow::Result<()> {
    let world = World::new(&[8138]).await?;
    fill(&world).await?;
    let service = world.serve("api")?;
    let api = Api::of(&service).await?;
    let address: SocketAddr = api.base().trim_start_matches("http://").parse()?;
    let token = local_token(&world, "slow", ORG, 3_600)?;
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(65_536)?;
    let mut connection = socket.connect(address).await?;
    let request =
        format!("GET {EXPORT} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\r\n");
    connection.write_all(request.as_bytes()).await?;
    // Fast enough for a reader who is merely slow, and much too slow for 500 rows in a minute.
    let (began, mut buffer, mut answer) = (Instant::now(), vec![0; 4_096], Vec::new());
    while began.elapsed() < Duration::from_secs(80) {
        let read = timeout(Duration::from_secs(30), connection.read(&mut buffer)).await?.unwrap_or_default();
        answer.extend_from_slice(&buffer[..read]);
        sleep(Duration::from_millis(500)).await;
    }
    assert!(service.printed().contains("its reader is too slow"), "{}", service.printed());
    // The rest is what was on its way: the end never comes.
    let _ = timeout(Duration::from_secs(60), connection.read_to_end(&mut answer)).await?;
    let text = String::from_utf8_lossy(&answer);
    let lines = text.matches("\"sync_id\"").count();
    assert!(text.starts_with("HTTP/1.1 200") && !text.ends_with("\r\n0\r\n\r\n") && lines < SYNCS, "{lines} lines");
    drop(service);
    world.close().await
}
