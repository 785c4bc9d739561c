//! What admins do: targets, listings, syncs, retries, the audit.

use std::net::Ipv4Addr;
use std::time::Duration;

use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::unit::unit;
use end_to_end::world::{ACCOUNT, ORG, World};
use futures::future::try_join_all;
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_is_linked_sent_retried_and_found_in_the_audit() -> anyhow::Result<()> {
    let world = World::new(&[8100]).await?;
    let service = world.serve("")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let wanted = json!({
        "account_id": ACCOUNT, "name": "Hostaway", "base_url": format!("{}/v1", world.sandbox.url),
        "channel_account": "8100", "secret": "secret-8100", "rate_limit": "100/1s",
    });
    let made = api.post("/api/channels/targets", &wanted).await?.expect(201)?;
    let target = made.json()["target_id"].as_str().unwrap_or_default().to_owned();
    assert_eq!(made.header("location"), format!("/api/channels/targets/{target}"));
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    let link = json!({ "target_id": target, "unit_id": "villa-000" });
    let linked = api.post("/api/channels/listings", &link).await?.expect(201)?;
    let listing = linked.json()["listing_id"].as_str().unwrap_or_default().to_owned();
    assert_eq!(linked.json()["sync_requested"], json!(true));
    // What was written is seen by whoever names its position.
    let position = linked.header("distribution-position");
    let path = format!("/api/channels/listings/{listing}?min_position={position}");
    let shown = api.get(&path).await?.expect(200)?;
    assert_eq!(shown.json()["unit_id"], json!("villa-000"));
    world.drained(Duration::from_secs(30)).await?;

    let history = api.get(&format!("/api/channels/listings/{listing}/history?limit=2")).await?.expect(200)?.json();
    assert_eq!(history["items"].as_array().map(Vec::len), Some(2));
    let cursor = history["next_cursor"].as_str().unwrap_or_default();
    let older =
        api.get(&format!("/api/channels/listings/{listing}/history?cursor={cursor}")).await?.expect(200)?.json();
    assert_eq!(
        older["items"].as_array().and_then(|items| items.last()).map(|e| e["event_type"].clone()),
        Some(json!("ListingLinked"))
    );

    world.publish(&[unit("villa-000", 2)]).await?;
    world.taken(1, 2).await?;
    world.drained(Duration::from_secs(30)).await?;
    let first = api.get(&format!("/api/channels/audit?listing_id={listing}&cause=linked")).await?.expect(200)?.json();
    let sync = first["items"][0]["sync_id"].as_str().unwrap_or_default().to_owned();
    let retry = json!({ "sync_id": sync, "reason": "back to the first state" });
    let path = format!("/api/channels/listings/{listing}/retry");
    let again = api.post(&path, &retry).await?.expect(202)?.json();
    world.drained(Duration::from_secs(30)).await?;
    let again = again["sync_id"].as_str().unwrap_or_default();
    let told = api.get(&format!("/api/channels/audit/{again}")).await?.expect(200)?.json();
    assert_eq!((&told["cause"], &told["outcome"]), (&json!("replayed"), &json!("accepted")));
    assert_eq!(told["created_by"], json!(format!("owner-of-{ORG}")));
    assert_eq!((&told["credential"], told["credential_id"].is_string()), (&json!("local_token"), true), "{told}");
    assert!(told["attempts_made"].as_array().is_some_and(|calls| !calls.is_empty()));
    assert_eq!(told["snapshot"], first["items"][0]["snapshot"]);

    let both = json!({ "sync_id": sync, "position": 3, "reason": "two points" });
    assert_eq!(api.post(&path, &both).await?.expect(400)?.json()["field"], json!("position"));
    let both = format!("/api/channels/listings/{listing}/preview?position=3&as_of=2026-11-24T03:00:00Z");
    let both = api.get(&both).await?.expect(400)?.json();
    assert_eq!(both["field"], json!("position"));
    assert!(both["detail"].as_str().is_some_and(|detail| detail.starts_with("as_of and position are given")), "{both}");
    // A time that has not come yet would quietly mean the newest state.
    let events = world.count("SELECT count(*) FROM events").await?;
    let late = json!({ "as_of": "2999-01-01T00:00:00Z", "reason": "too late" });
    for late in [
        api.post(&path, &late).await?,
        api.get(&format!("/api/channels/listings/{listing}/preview?as_of=2999-01-01T00:00:00Z")).await?,
    ] {
        let late = late.expect(400)?.json();
        assert_eq!(late["field"], json!("as_of"));
        assert!(late["detail"].as_str().is_some_and(|said| said.starts_with("must not be later than now")), "{late}");
    }
    assert_eq!(world.count("SELECT count(*) FROM events").await?, events);
    let elsewhere = json!({ "sync_id": uuid::Uuid::now_v7(), "reason": "no such sync" });
    assert_eq!(api.post(&path, &elsewhere).await?.expect(400)?.json()["field"], json!("sync_id"));

    let lines = api.get("/api/channels/audit/export").await?.expect(200)?;
    assert_eq!(lines.text.lines().count(), 3, "{}", lines.text);
    let table = api.get("/api/channels/audit/export?format=csv").await?.expect(200)?;
    // Both forms tell the same.
    let line: serde_json::Value = serde_json::from_str(lines.text.lines().next().unwrap_or_default())?;
    let columns: std::collections::BTreeSet<&str> = table.text.lines().next().unwrap_or_default().split(',').collect();
    let keys = line.as_object().map(|line| line.keys().map(String::as_str).collect());
    assert_eq!(Some(columns), keys);
    assert_eq!(table.text.lines().count(), 4);
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_admins_do_not_overwrite_each_other() -> anyhow::Result<()> {
    let world = World::new(&[8101]).await?;
    let target = world.target(8101, RateLimit::default()).await?;
    let service = world.serve("api,projector,relay")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let path = format!("/api/channels/targets/{target}");
    let read = api.get(&path).await?.expect(200)?;
    let tag = read.header("etag");
    let change = |name: &str| json!({ "name": name });
    let first = api.send(Method::PATCH, &path, &[("if-match", &tag)], Some(&change("One"))).await?.expect(200)?;
    assert_ne!(first.header("etag"), tag);
    let second = api.send(Method::PATCH, &path, &[("if-match", &tag)], Some(&change("Two"))).await?.expect(412)?;
    assert_eq!(second.json()["type"], json!("/problems/version-mismatch"));
    assert_eq!(api.get(&path).await?.json()["name"], json!("One"));
    // Who did it stands in its history.
    let history = api.get(&format!("{path}/history?limit=1")).await?.expect(200)?.json();
    assert_eq!(history["items"][0]["event_type"], json!("TargetConfigured"));
    assert_eq!(history["items"][0]["metadata"]["actor"], json!(format!("owner-of-{ORG}")), "{history}");
    assert!(history["items"][0]["metadata"]["credential_id"].is_string(), "{history}");
    // A target's secret stays with its host.
    let away = json!({ "base_url": "http://127.0.0.1:9/elsewhere" });
    let away = api.send(Method::PATCH, &path, &[], Some(&away)).await?.expect(400)?;
    assert_eq!(away.json()["field"], json!("base_url"));
    // Several settings are one change: all of them or none.
    let both = json!({ "name": "", "rate_limit": "3/1s" });
    api.send(Method::PATCH, &path, &[], Some(&both)).await?.expect(400)?;
    assert_ne!(api.get(&path).await?.json()["rate_limit"], json!("3/1s"));
    let both = json!({ "name": "Both", "rate_limit": "3/1s" });
    let events = world.count("SELECT count(*) FROM events").await?;
    let first =
        api.send(Method::PATCH, &path, &[("if-match", &first.header("etag"))], Some(&both)).await?.expect(200)?;
    assert_eq!((&first.json()["name"], &first.json()["rate_limit"]), (&json!("Both"), &json!("3/1s")));
    assert_eq!(world.count("SELECT count(*) FROM events").await?, events + 2);
    let newest = first.header("etag");
    api.send(Method::PATCH, &path, &[("if-match", &newest)], Some(&change("Two"))).await?.expect(200)?;
    // Both at once on one version: one of them wins.
    let tag = api.get(&path).await?.header("etag");
    let headers = [("if-match", tag.as_str())];
    let (one, other) = (change("Left"), change("Right"));
    let (one, other) = tokio::join!(
        api.send(Method::PATCH, &path, &headers, Some(&one)),
        api.send(Method::PATCH, &path, &headers, Some(&other))
    );
    let mut statuses = [one?.status.as_u16(), other?.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412]);
    api.send(Method::PATCH, &path, &[("if-match", "seven")], Some(&change("x"))).await?.expect(400)?;
    // A version alone is an ETag, too, as a change is answered with; what is no version is the ETag of nothing here, and a weak
    // one is never equal to another.
    let now = api.get(&path).await?.header("etag");
    let weak = format!("W/{now}");
    for (tags, status) in [
        ("\"999\"", 412),
        ("\"999.0123456789abcdef\"", 412),
        ("\"3.0123\"", 412),
        ("\"+3\"", 412),
        (weak.as_str(), 412),
        ("3", 400),
        ("\"3", 400),
        ("*, \"3\"", 400),
        (",", 400),
    ] {
        let answer = api.send(Method::PATCH, &path, &[("if-match", tags)], Some(&change("x"))).await?.expect(status)?;
        assert_eq!(answer.json()["field"], json!("If-Match"), "{tags}: {}", answer.text);
    }
    // One of several is enough, on one line or on two.
    let list = format!("\"999\", {weak} ,{now}");
    let listed = api.send(Method::PATCH, &path, &[("if-match", &list)], Some(&change("Listed"))).await?.expect(200)?;
    let newest = listed.header("etag");
    let lines = [("if-match", "\"999\""), ("if-match", newest.as_str())];
    api.send(Method::PATCH, &path, &lines, Some(&change("Of two lines"))).await?.expect(200)?;
    api.send(Method::PATCH, &path, &lines, Some(&change("x"))).await?.expect(412)?;
    api.send(Method::PATCH, &path, &[("if-match", "*")], Some(&change("Whatever"))).await?.expect(200)?;
    // A limit goes as it came: by what is given for it, null too.
    for (given, limit) in [(json!("50/10s"), json!("50/10s")), (json!(null), json!(null))] {
        let given = json!({ "account_rate_limit": given });
        let changed = api.send(Method::PATCH, &path, &[], Some(&given)).await?.expect(200)?;
        assert_eq!(changed.json()["account_rate_limit"], limit);
    }
    drop(service);
    world.close().await
}

/// Paths whose id is none, and its name.
const WRONG_IDS: [(&str, &str); 4] = [
    ("/api/channels/targets/not-an-id", "target_id"),
    ("/api/channels/targets/%ff", "target_id"),
    ("/api/channels/listings/%ff", "listing_id"),
    ("/api/channels/listings/%c3%28/history", "listing_id"),
];

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_named_by_their_field_and_write_nothing() -> anyhow::Result<()> {
    let world = World::new(&[8102]).await?;
    let target = world.target(8102, RateLimit::default()).await?;
    let service = world.serve("api")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let before = world.count("SELECT count(*) FROM events").await?;
    let whole = json!({ "account_id": ACCOUNT, "name": "x", "base_url": "https://api.hostaway.com/v1",
        "channel_account": "1", "secret": "a-secret" });
    for (field, value, named) in [
        ("account_id", json!("no spaces"), "account_id"),
        ("base_url", json!("ftp://x"), "base_url"),
        ("credential", json!("file:hostaway-8102"), "credential"),
        ("secret", json!(["my-very-secret-token"]), "secret"),
        ("secret", json!(""), "secret"),
        ("rate_limit", json!("12 per second"), "rate_limit"),
        ("channel", json!("airbnb"), "channel"),
        ("name", json!(7), "name"),
        ("colour", json!("blue"), "colour"),
    ] {
        let mut body = whole.clone();
        body[field] = value;
        let answer = api.post("/api/channels/targets", &body).await?.expect(400)?;
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!(answer.json()["field"], json!(named), "{}", answer.text);
        assert!(!answer.text.contains("my-very-secret-token"), "{}", answer.text);
    }
    let mut body = whole.clone();
    body.as_object_mut().and_then(|body| body.remove("name"));
    let missing = api.post("/api/channels/targets", &body).await?.expect(400)?;
    assert_eq!((&missing.json()["field"], &missing.json()["detail"]), (&json!("name"), &json!("is missing")));
    // What there is instead of an object is told in words of JSON, and a list is none.
    let credential = format!("/api/channels/targets/{target}/credential");
    for body in [json!(null), json!("a-secret"), json!(["a-secret"])] {
        let answer = api.post(&credential, &body).await?.expect(400)?;
        let told = json!("is not as it has to be: expected an object with secret");
        assert_eq!((&answer.json()["field"], &answer.json()["detail"]), (&json!("body"), &told), "{body}");
    }
    let get = |path: &'static str| api.get(path);
    assert_eq!(get("/api/channels/targets?limit=0").await?.expect(400)?.json()["field"], json!("limit"));
    assert_eq!(get("/api/channels/targets?cursor=abc").await?.expect(400)?.json()["field"], json!("cursor"));
    assert_eq!(get("/api/channels/targets?min_position=x").await?.expect(400)?.json()["field"], json!("min_position"));
    get("/api/channels/targets?min_position=999999").await?.expect(400)?;
    for (path, field) in [
        ("/api/channels/audit?outcome=acepted", "outcome"),
        ("/api/channels/audit/export?cause=mnual", "cause"),
        ("/api/channels/targets?health=well", "health"),
        ("/api/channels/listings?state=gone", "state"),
    ] {
        assert_eq!(get(path).await?.expect(400)?.json()["field"], json!(field), "{path}");
    }
    get("/api/channels/dead-letters").await?.expect(200)?;
    api.send(Method::DELETE, "/api/channels/dead-letters/0", &[], None).await?.expect(404)?;
    get("/api/channels/nothing").await?.expect(404)?;
    for (path, field) in WRONG_IDS {
        assert_eq!(get(path).await?.expect(400)?.json()["field"], json!(field), "{path}");
    }
    api.send(Method::PUT, "/api/channels/targets", &[], None).await?.expect(405)?;
    let text = [("content-type", "text/plain")];
    api.send(Method::POST, "/api/channels/targets", &text, None).await?.expect(415)?;
    let form = [("content-type", "application/x-www-form-urlencoded"), ("x-request-id", "of-a-form")];
    let form = api.send_text(Method::POST, "/sign-in", &form, "kode=1".to_owned()).await?;
    assert!(form.status.is_client_error(), "{form:?}");
    assert_eq!(
        (form.header("content-type").as_str(), form.header("x-request-id").as_str()),
        ("application/problem+json", "of-a-form")
    );
    // An escaped backslash before u0000 is text.
    let path = format!("/api/channels/targets/{target}/pause");
    let json = [("content-type", "application/json")];
    let nul = api.send_text(Method::POST, &path, &json, r#"{"reason":"a\u0000"}"#.to_owned()).await?.expect(400)?;
    assert_eq!(nul.json()["field"], json!("reason"));
    let large = json!({ "reason": "x".repeat(300_000) });
    let large = api.post(&format!("/api/channels/targets/{target}/pause"), &large).await?.expect(413)?;
    assert_eq!(large.json()["type"], json!("/problems/too-large"));
    assert!(!large.header("x-request-id").is_empty());
    assert_eq!(world.count("SELECT count(*) FROM events").await?, before);
    // A new connection: the one of the large body was closed on it.
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    api.send_text(Method::POST, &path, &json, r#"{"reason":"a\\u0000"}"#.to_owned()).await?.expect(200)?;
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_good_credential_is_limited_by_where_it_comes_from() -> anyhow::Result<()> {
    let world = World::new(&[8103]).await?;
    let service = world.serve_with("api", &["--api-rate", "5"])?;
    let nobody = Api::of(&service).await?;
    let asked = (0..40).map(|_| nobody.get("/api/channels/targets"));
    let answers = futures::future::try_join_all(asked).await?;
    let limited: Vec<_> = answers.iter().filter(|answer| answer.status.as_u16() == 429).collect();
    assert!(answers.iter().any(|answer| answer.status.as_u16() == 401) && limited.len() >= 20, "{answers:?}");
    assert_eq!(limited[0].header("ratelimit-remaining"), "0");
    assert!(answers.iter().all(|answer| answer.header("ratelimit-limit") == "5"), "{answers:?}");
    let lost = (0..40).map(|_| nobody.get("/api/nowhere"));
    let lost = futures::future::try_join_all(lost).await?;
    assert!(lost.iter().all(|answer| answer.header("ratelimit-limit") == "5"), "{lost:?}");
    assert!(lost.iter().any(|answer| answer.status.as_u16() == 429), "{lost:?}");
    let signing_in = (0..40).map(|_| nobody.get("/sign-in"));
    let answers = futures::future::try_join_all(signing_in).await?;
    assert!(answers.iter().filter(|answer| answer.status.as_u16() == 429).count() >= 20, "{answers:?}");
    // Whoever is somebody has a bucket of its own.
    nobody.as_caller(&world, ORG, None, "owner")?.get("/api/channels/targets").await?.expect(200)?;
    drop(service);
    world.close().await
}

/// As behind two proxies, of which the nearer one tells of the other; the caller has written something, too.
async fn asked_from(api: &Api, path: &str, address: [u8; 4]) -> anyhow::Result<u16> {
    let chain = format!("203.0.113.9, {}, 10.0.0.1", Ipv4Addr::from(address));
    Ok(api.send(Method::GET, path, &[("x-forwarded-for", chain.as_str())], None).await?.status.as_u16())
}

/// Otherwise all of its callers would be one, and one of them could use up what all have.
#[tokio::test(flavor = "multi_thread")]
async fn behind_a_trusted_proxy_each_address_has_a_limit_of_its_own() -> anyhow::Result<()> {
    let world = World::new(&[8103]).await?;
    let rate = ["--api-rate", "5"];
    let plain = world.serve_with("api", &rate)?;
    let trusting = world.serve_with("api", &[&rate[..], &["--trusted-proxies", "10.0.0.0/8,127.0.0.1"]].concat())?;
    let (plain_api, api) = (Api::of(&plain).await?, Api::of(&trusting).await?);
    // Whoever may be limited is: a public page, one without a credential, and one who asks for what is not there.
    for (place, path) in [(1, "/sign-in"), (2, "/api/channels/targets"), (3, "/api/nowhere")] {
        let limited = |statuses: Vec<u16>| statuses.into_iter().filter(|status| *status == 429).count();
        let each = try_join_all((0..40).map(|n| asked_from(&api, path, [198, 51, place, n]))).await?;
        assert_eq!(limited(each), 0, "{path}: each is an address of its own");
        let one = try_join_all((0..40).map(|_| asked_from(&api, path, [198, 51, place, 250]))).await?;
        assert!(limited(one) >= 20, "{path}: one address");
        // Nobody's word is taken where no proxy is trusted.
        let all = try_join_all((0..40).map(|n| asked_from(&plain_api, path, [198, 51, place, n]))).await?;
        assert!(limited(all) >= 20, "{path}: all are the one who connects");
    }
    drop((plain, trusting));
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_arrive_is_the_callers_fault() -> anyhow::Result<()> {
    let world = World::new(&[8104]).await?;
    let service = world.serve("api")?;
    let api = Api::of(&service).await?;
    let (_, token, _) = world.run(&["token", "--subject", "slow", "--org", ORG, "--role", "owner"])?;
    let mut connection = TcpStream::connect(api.base().trim_start_matches("http://")).await?;
    let head = format!(
        "POST /api/channels/targets HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: 100\r\n\r\n{{",
        token.trim()
    );
    connection.write_all(head.as_bytes()).await?;
    let mut answer = vec![0; 4096];
    let read = tokio::time::timeout(Duration::from_secs(25), connection.read(&mut answer)).await??;
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_cut_off_is_told_as_that_whoever_reads_it() -> anyhow::Result<()> {
    let world = World::new(&[8107]).await?;
    let service = world.serve("api")?;
    let api = Api::of(&service).await?;
    let (_, token, _) = world.run(&["token", "--subject", "cut", "--org", ORG, "--role", "owner"])?;
    let json = format!("authorization: Bearer {}\r\ncontent-type: application/json\r\n", token.trim());
    let form = "content-type: application/x-www-form-urlencoded\r\n".to_owned();
    for (path, headers) in [
        ("/api/channels/targets", json.clone()),
        ("/api/channels/targets", format!("{json}idempotency-key: cut\r\n")),
        ("/sign-in", form),
    ] {
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\n{headers}");
        // It ends too early; and what is no chunk, on a connection that goes on.
        let (short, no_chunk) = ("content-length: 100\r\n\r\n{", "transfer-encoding: chunked\r\n\r\nx\r\n");
        for (rest, ends) in [(short, true), (no_chunk, false)] {
            let mut connection = TcpStream::connect(api.base().trim_start_matches("http://")).await?;
            connection.write_all(format!("{head}{rest}").as_bytes()).await?;
            if ends {
                connection.shutdown().await?;
            }
            let answer = answered(&mut connection).await?;
            assert!(answer.starts_with("http/1.1 400") && answer.contains("was cut off"), "{head}{rest}: {answer}");
        }
        // One that is too large is that, also where nobody said so before.
        let mut connection = TcpStream::connect(api.base().trim_start_matches("http://")).await?;
        let chunk = "x".repeat(0x1_0000);
        connection.write_all(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes()).await?;
        for _ in 0..5 {
            connection.write_all(format!("10000\r\n{chunk}\r\n").as_bytes()).await?;
        }
        let answer = answered(&mut connection).await?;
        assert!(answer.starts_with("http/1.1 413") && answer.contains("at most 256 kib"), "{head}: {answer}");
    }
    assert_eq!(world.count("SELECT count(*) FROM events").await?, 0);
    drop(service);
    world.close().await
}

/// What comes until there is an end of a document of JSON.
async fn answered(connection: &mut TcpStream) -> anyhow::Result<String> {
    let mut answer = Vec::new();
    let reading = async {
        while !answer.ends_with(b"}") && connection.read_buf(&mut answer).await? > 0 {}
        anyhow::Ok(())
    };
    tokio::time::timeout(Duration::from_secs(10), reading).await??;
    Ok(String::from_utf8_lossy(&answer).to_lowercase())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_outlives_a_refusal_that_comes_before_the_body_or_its_end_is_told() -> anyhow::Result<()> {
    let world = World::new(&[8106]).await?;
    let service = world.serve("api")?;
    let api = Api::of(&service).await?;
    let address = api.base().trim_start_matches("http://");
    let head = "POST /api/channels/targets HTTP/1.1\r\nhost: x\r\nauthorization: Bearer x\r\n\
        content-type: application/json\r\ncontent-length: 2\r\n";
    let mut connection = TcpStream::connect(address).await?;
    for _ in 0..3 {
        connection.write_all(format!("{head}\r\n").as_bytes()).await?;
        // The refusal is there by now; its body is still on the way.
        tokio::time::sleep(Duration::from_millis(200)).await;
        connection.write_all(b"{}").await?;
        let answer = answered(&mut connection).await?;
        assert!(answer.starts_with("http/1.1 401") && !answer.contains("connection: close"), "{answer}");
    }
    // A body that does not come, and one that waits for leave.
    for more in ["", "expect: 100-continue\r\n"] {
        let mut connection = TcpStream::connect(address).await?;
        connection.write_all(format!("{head}{more}\r\n").as_bytes()).await?;
        let answer = answered(&mut connection).await?;
        assert!(answer.starts_with("http/1.1 401") && answer.contains("connection: close"), "{more}{answer}");
        assert_eq!(connection.read(&mut [0; 64]).await?, 0, "it has ended");
    }
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_key_is_told_by_readiness_and_its_place_to_nobody() -> anyhow::Result<()> {
    let world = World::new(&[8105]).await?;
    let service = world.serve("")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let wanted = json!({ "account_id": ACCOUNT, "name": "Hostaway", "base_url": format!("{}/v1", world.sandbox.url),
        "channel_account": "8105", "secret": "secret-8105" });
    let made = api.post("/api/channels/targets", &wanted).await?.expect(201)?;
    let target = made.json()["target_id"].as_str().unwrap_or_default().to_owned();
    std::fs::remove_file(world.path("secrets/.store/key"))?;
    // Before anybody asked: what was found is good for a while.
    let ready = api.get("/health/ready").await?.expect(200)?.json();
    assert_eq!(ready["secret_store"], json!(false), "{ready}");
    let checked = api.send(Method::POST, &format!("/api/channels/targets/{target}/check"), &[], None).await?;
    assert!(!checked.text.contains("secrets/.store"), "{}", checked.text);
    assert!(checked.text.contains("the service's log says why"), "{}", checked.text);
    drop(service);
    world.close().await
}
