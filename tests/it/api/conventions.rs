//! What holds for every answer of the server, whoever gives it, and for what no route would take.

use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::world::{ACCOUNT, ORG, World};
use reqwest::Method;
use serde_json::json;
use services::api::problem::ProblemKind;

const ID: &str = "of-whatever";
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_the_id_and_the_trace_of_its_request() -> anyhow::Result<()> {
    let world = World::new(&[8171]).await?;
    let target = world.target(8171, RateLimit::default()).await?;
    let service = world.serve_with("api", &["--api-rate", "100000"])?;
    let nobody = Api::of(&service).await?;
    let owner = nobody.as_caller(&world, ORG, None, "owner")?;
    let pause = format!("/api/channels/targets/{target}/pause");
    let mut cases = 0;
    for (method, path, status) in [
        ("GET", "/api/channels/targets", 200),
        ("HEAD", "/api/channels/targets", 200),
        ("GET", "/api/channels/targets?limit=0", 400),
        ("GET", "/api/channels/nothing", 404),
        ("GET", "/nothing", 404),
        ("GET", "/assets/nothing.js", 404),
        ("GET", "/api/docs/", 200),
        ("GET", "/api/docs/nothing", 404),
        ("GET", "/api/openapi.json", 200),
        ("POST", "/api/openapi.json", 405),
        ("PUT", "/api/channels/targets", 405),
        ("OPTIONS", "/api/channels/targets", 405),
        ("BREW", "/api/channels/targets", 405),
        ("GET", "/", 200),
        ("GET", "/targets", 200),
        ("GET", "/targets/not-an-id", 400),
        ("DELETE", "/targets", 405),
        ("GET", "/sign-in", 200),
        ("POST", "/sign-in", 415),
        ("GET", "/sign-in/callback", 404),
        ("GET", "/health/live", 204),
        ("GET", "/version", 200),
        ("POST", pause.as_str(), 415),
    ] {
        for (api, is_owner) in [(&owner, true), (&nobody, false)] {
            let headers = [("x-request-id", ID), ("traceparent", TRACE)];
            let answer = api.send_text(method.parse()?, path, &headers, String::new()).await?;
            let told = (answer.header("x-request-id"), answer.header("traceparent"));
            assert_eq!(told, (ID.to_owned(), TRACE.to_owned()), "{method} {path}: {answer:?}");
            assert!(!is_owner || answer.status.as_u16() == status, "{method} {path}: {answer:?}");
            // RFC 9110, 15.5.6: whoever refuses a method says which it takes.
            let refused = answer.status.as_u16() == 405;
            assert!(!refused || answer.header("allow").contains("GET"), "{method} {path}: {answer:?}");
            cases += 1;
        }
    }
    assert_eq!(cases, 46);
    // The tests are built beside the service, with the same environment.
    let version = nobody.get("/version").await?.expect(200)?.json();
    let commit = option_env!("DISTRIBUTION_COMMIT").filter(|commit| !commit.is_empty());
    assert_eq!((&version["version"], &version["commit"]), (&json!(env!("CARGO_PKG_VERSION")), &json!(commit)));
    // What cannot be used is not carried on: an id is made up, and without telemetry no trace.
    let bad = [("x-request-id", ""), ("traceparent", "00-nonsense")];
    let answer = nobody.send_text(Method::GET, "/nothing", &bad, String::new()).await?;
    assert!(answer.header("x-request-id").parse::<uuid::Uuid>().is_ok(), "{answer:?}");
    assert_eq!(answer.header("traceparent"), "");
    // Of a later version what is known of it goes on.
    let later = format!("cc{}-and-more", &TRACE[2..]);
    let answer = nobody.send_text(Method::GET, "/nothing", &[("traceparent", &later)], String::new()).await?;
    assert_eq!(answer.header("traceparent"), TRACE);
    // The last one: its connection is closed with its answer.
    let ties = [("x-request-id", ID), ("traceparent", TRACE)];
    let large = owner.send_text(Method::POST, &pause, &ties, "x".repeat(300_000)).await?.expect(413)?;
    assert_eq!((large.header("x-request-id"), large.header("traceparent")), (ID.to_owned(), TRACE.to_owned()));
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_refused_with_what_would_be_right() -> anyhow::Result<()> {
    let world = World::new(&[8172]).await?;
    let target = world.target(8172, RateLimit::default()).await?;
    let service = world.serve("api,projector,relay")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let pause = format!("/api/channels/targets/{target}/pause");
    let json = ("content-type", "application/json");
    // A body in a coding; one that says it has none is taken.
    for coding in ["gzip", "identity, GZIP", "br", "x-unknown"] {
        let coded = [json, ("content-encoding", coding)];
        let answer = api.send_text(Method::POST, &pause, &coded, "\u{1f}\u{8b}".to_owned()).await?.expect(415)?;
        assert_eq!(
            (answer.header("accept-encoding"), &answer.json()["field"]),
            ("identity".to_owned(), &json!("Content-Encoding"))
        );
    }
    api.send_text(Method::POST, &pause, &[json, ("content-encoding", "identity")], r#"{"reason":"x"}"#.to_owned())
        .await?
        .expect(200)?;
    api.send(Method::GET, "/api/channels/targets", &[("content-encoding", "gzip")], None).await?.expect(200)?;
    // Whatever stands in a body, its field is named.
    let listings = "/api/channels/listings";
    let whole = r#""account_id":"a","base_url":"https://api.hostaway.com/v1","channel_account":"1","secret":"s""#;
    for (path, body, field) in [
        ("/api/channels/targets", format!(r#"{{{whole},"name":"a\u0000"}}"#), "name"),
        ("/api/channels/targets", format!(r#"{{{whole},"name":"a","name":"b"}}"#), "name"),
        ("/api/channels/targets", format!(r#"{{{whole},"name":"a\u0000","name":"b"}}"#), "body"),
        ("/api/channels/targets", format!(r#"{{{whole},"na\u0000me":"b"}}"#), "body"),
        ("/api/channels/targets", format!(r#"{{{whole},"name":["\u0000"]}}"#), "name[0]"),
        ("/api/channels/targets", format!(r#"{{{whole},"name":{{"a":1}}}}"#), "name"),
        ("/api/channels/targets", format!(r#"{{{whole}}}"#), "name"),
        ("/api/channels/targets", r#"{"name": "a"#.to_owned(), "body"),
        ("/api/channels/targets", "\u{feff}{}".to_owned(), "body"),
        ("/api/channels/targets", "null".to_owned(), "body"),
        ("/api/channels/targets", "{} {}".to_owned(), "account_id"),
        (listings, r#"{"target_id":"seven","unit_id":"a"}"#.to_owned(), "target_id"),
        (listings, r#"{"target_id":7,"unit_id":"a"}"#.to_owned(), "target_id"),
        (listings, r#"{"unit_id":"a"}"#.to_owned(), "target_id"),
        (pause.as_str(), r#"{"reason":"x"} {"reason":"y"}"#.to_owned(), "body"),
        (pause.as_str(), format!(r#"{{"reason":{}"#, "[".repeat(100_000)), "reason"),
    ] {
        let answer = api.send_text(Method::POST, path, &[json], body.clone()).await?;
        let shown: String = body.chars().take(200).collect();
        assert_eq!((answer.status.as_u16(), &answer.json()["field"]), (400, &json!(field)), "{shown}: {}", answer.text);
        assert!(!answer.text.contains(" at line 1 column 1 at line"), "{}", answer.text);
    }
    // However long a name is that a caller makes up, the answer is short.
    let name = "x".repeat(100_000);
    let answer = api.post(listings, &json!({ name.clone(): 1 })).await?.expect(400)?;
    assert!(answer.text.len() < 2_000, "{}", answer.text.len());
    let answer = api.get(&format!("/api/channels/targets?{}=1", &name[..5_000])).await?.expect(400)?;
    assert!(answer.text.len() < 2_000, "{}", answer.text.len());
    let nameless = api.get("/api/channels/targets?=1").await?.expect(400)?;
    assert_eq!(nameless.json()["field"], json!("query"));
    // A value that stands where it should not is not shown, whatever is in it.
    let secret = json!({ "target_id": uuid::Uuid::nil(), "unit_id": "a", "afresh": "my, expected secret" });
    let answer = api.post(listings, &secret).await?.expect(400)?;
    assert!(!answer.text.contains("my"), "{}", answer.text);
    // An address that no channel has.
    let mut target = json!({ "account_id": ACCOUNT, "name": "x", "channel_account": "1", "secret": "s" });
    for (base_url, fix) in [
        ("gopher://x/1", "https or http"),
        ("localhost:80", "https"),
        ("x", "https://host[:port]/path"),
        ("https://api.hostaway.com:0/v1", "port 0: give https://host[:port]/path"),
    ] {
        target["base_url"] = json!(base_url);
        let answer = api.post("/api/channels/targets", &target).await?.expect(400)?;
        assert_eq!(answer.json()["field"], json!("base_url"));
        assert!(answer.json()["detail"].as_str().is_some_and(|detail| detail.contains(fix)), "{}", answer.text);
    }
    // Of two credentials nobody can say whose request it is.
    let two = api.send(Method::GET, "/api/channels/me", &[("authorization", "Bearer x")], None).await?.expect(401)?;
    assert_eq!(two.json()["field"], json!("Authorization"));
    // Every read of what is written waits for a position, and no other does.
    let audit = "/api/channels/audit/00000000-0000-0000-0000-000000000000";
    for path in ["/api/channels/audit/export", "/api/channels/service-levels", audit] {
        let far = api.get(&format!("{path}?min_position=999999999")).await?.expect(400)?;
        assert_eq!(far.json()["field"], json!("min_position"), "{path}");
    }
    let far =
        api.send(Method::GET, "/api/channels/queue", &[("min-position", "999999999")], None).await?.expect(400)?;
    assert_eq!(far.json()["field"], json!("Min-Position"));
    api.get("/api/channels/audit/export?min_position=1").await?.expect(200)?;
    api.get("/health/ready?min_position=x").await?.expect(200)?;
    drop(service);
    world.close().await
}

/// It may be a password. One root is one text, however it is written.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_refused_is_not_repeated() -> anyhow::Result<()> {
    let world = World::new(&[8177]).await?;
    let service = world.serve("api")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let mut target = json!({ "account_id": ACCOUNT, "name": "x", "channel_account": "1", "secret": "s" });
    for (base_url, fix) in [
        ("https://user:my-pass-word@api.hostaway.com/v1", "no user and no password"),
        ("https://api.hostaway.com/v1?key=my-pass-word", "https://host[:port]/path"),
        ("https://api.hostaway.com/v1/../../my-pass-word", "no part of a path is . or .."),
        ("https://api..my-pass-word.com/", "one dot between them"),
        ("https://my-pass-word/%2e%2e/", "no %"),
        ("https://[my-pass-word/", "https://host[:port]/path"),
    ] {
        target["base_url"] = json!(base_url);
        let answer = api.post("/api/channels/targets", &target).await?.expect(400)?;
        assert_eq!(answer.json()["field"], json!("base_url"), "{}", answer.text);
        assert!(answer.json()["detail"].as_str().is_some_and(|detail| detail.contains(fix)), "{}", answer.text);
        assert!(!answer.text.contains("my-pass-word"), "{}", answer.text);
    }
    target["base_url"] = json!("HTTPS://API.hostaway.com/v1");
    let made = api.post("/api/channels/targets", &target).await?.expect(201)?.json();
    assert_eq!(made["base_url"], json!("https://api.hostaway.com/v1"));
    drop(service);
    world.close().await
}

/// One of the two would not be kept.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_twice_is_refused_on_every_route() -> anyhow::Result<()> {
    let world = World::new(&[8178]).await?;
    let service = world.serve("api")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let target = format!("/api/channels/targets/{}", uuid::Uuid::nil());
    let history = format!("{target}/history");
    for path in ["/api/channels/listings", target.as_str(), history.as_str(), "/api/channels/service-levels"] {
        let twice = api.get(&format!("{path}?min_position=1&min_position=1")).await?.expect(400)?.json();
        assert_eq!(twice["field"], json!("min_position"), "{path}: {twice}");
        assert!(twice["detail"].as_str().is_some_and(|said| said.contains("given twice")), "{path}: {twice}");
        // A client of HTTP sends what it has of one name in a line each.
        let lines = [("min-position", "1"), ("min-position", "1")];
        let twice = api.send(Method::GET, path, &lines, None).await?.expect(400)?.json();
        assert_eq!(twice["field"], json!("Min-Position"), "{path}: {twice}");
        let both = api.send(Method::GET, &format!("{path}?min_position=1"), &lines[..1], None).await?.expect(400)?;
        assert_eq!(both.json()["field"], json!("Min-Position"), "{path}: {}", both.text);
    }
    api.get("/search?q=a&q=b").await?.expect(400)?;
    drop(service);
    world.close().await
}

/// It may be a wish that would not be kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_its_route_does_not_take_is_refused_unless_it_says_nothing() -> anyhow::Result<()> {
    let world = World::new(&[8175]).await?;
    let target = world.target(8175, RateLimit::default()).await?;
    let service = world.serve("api")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let of_target = format!("/api/channels/targets/{target}");
    let (pause, resume) = (format!("{of_target}/pause"), format!("{of_target}/resume"));
    let (json, keyed) = (("content-type", "application/json"), ("idempotency-key", "of-nothing"));
    api.post(&pause, &json!({ "reason": "x" })).await?.expect(200)?;
    let events = world.count("SELECT count(*) FROM events").await?;
    for (method, path) in [(Method::POST, resume.as_str()), (Method::DELETE, "/api/channels/dead-letters/1")] {
        for body in [r#"{"dry_run":true}"#, "[]", "dry_run=true", "{"] {
            let answer = api.send_text(method.clone(), path, &[json, keyed], body.to_owned()).await?.expect(400)?;
            assert_eq!(answer.json()["field"], json!("body"), "{method} {path} {body}: {}", answer.text);
        }
    }
    assert_eq!(world.count("SELECT count(*) FROM events").await?, events);
    for body in ["", "{}", "null"] {
        api.send_text(Method::POST, &resume, &[json], body.to_owned()).await?.expect(200)?;
        api.post(&pause, &json!({ "reason": "once more" })).await?.expect(200)?;
    }
    // A repetition is the same bytes, also of those that say nothing.
    for (body, replayed) in [("{}", ""), ("{}", "true")] {
        let answer = api.send_text(Method::POST, &resume, &[keyed], body.to_owned()).await?.expect(200)?;
        assert_eq!(answer.header("idempotency-replayed"), replayed, "{body:?}");
    }
    // Nobody reads what comes with a read; its coding and its length are looked at. The last one closes its connection.
    api.send_text(Method::GET, &of_target, &[json], "{".to_owned()).await?.expect(200)?;
    api.send_text(Method::GET, &of_target, &[json, ("content-encoding", "gzip")], "{".to_owned()).await?.expect(415)?;
    api.send_text(Method::GET, &of_target, &[json], "x".repeat(300_000)).await?.expect(413)?;
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_caller_has_already_is_not_sent_again() -> anyhow::Result<()> {
    let world = World::new(&[8173]).await?;
    let target = world.target(8173, RateLimit::default()).await?;
    let listing = world.link(target, &["villa-000".to_owned()]).await?[0];
    let service = world.serve("api,projector,relay")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let (target, listing) = (format!("/api/channels/targets/{target}"), format!("/api/channels/listings/{listing}"));
    let head = world.count("SELECT max(position) FROM events").await?;
    for path in [&target, &listing] {
        let read = api.get(&format!("{path}?min_position={head}")).await?.expect(200)?;
        let tag = read.header("etag");
        let version = read.json()["version"].as_i64().unwrap_or_default();
        assert!(tag.starts_with(&format!("\"{version}.")), "{tag}");
        let lists = [format!("W/{tag}"), format!("\"1\", W/\"a,b\" ,{tag}"), "*".to_owned(), tag.clone()];
        for (method, known) in
            [Method::GET, Method::HEAD].into_iter().flat_map(|m| lists.iter().map(move |l| (m.clone(), l)))
        {
            let answer = api.send(method, path, &[("if-none-match", known)], None).await?.expect(304)?;
            assert_eq!((answer.text.as_str(), answer.header("etag")), ("", tag.clone()), "{known}");
            assert!(!answer.header("x-request-id").is_empty() && !answer.header("ratelimit-limit").is_empty());
            assert_eq!(answer.header("content-type"), "");
        }
        // One ETag is one sequence of bytes; a list, which has none, is compressed.
        let plain = api.send(Method::GET, path, &[("accept-encoding", "gzip")], None).await?.expect(200)?;
        assert_eq!((plain.header("content-encoding"), plain.header("etag")), (String::new(), tag.clone()));
        // Another one, a version alone, and what is no ETag.
        for other in ["\"0123\"".to_owned(), format!("\"{version}\""), "seven".to_owned(), String::new()] {
            let answer = api.send(Method::GET, path, &[("if-none-match", &other)], None).await?.expect(200)?;
            assert_eq!((answer.header("etag"), answer.json()), (tag.clone(), read.json()), "{other}");
        }
    }
    let list =
        api.send(Method::GET, "/api/channels/targets", &[("accept-encoding", "gzip")], None).await?.expect(200)?;
    assert_eq!((list.header("content-encoding"), list.header("etag")), ("gzip".to_owned(), String::new()));
    // A problem stays one, whatever is known.
    let nowhere = format!("/api/channels/targets/{}", uuid::Uuid::now_v7());
    api.send(Method::GET, &nowhere, &[("if-none-match", "*")], None).await?.expect(404)?;
    // The listing's own version stays where its target gets another name, and what is read is new all the same.
    let tag = api.get(&listing).await?.header("etag");
    let named = api.send(Method::PATCH, &target, &[], Some(&json!({ "name": "Another" }))).await?.expect(200)?;
    let shown = format!("{listing}?min_position={}", named.header("distribution-position"));
    let read = api.send(Method::GET, &shown, &[("if-none-match", &tag)], None).await?.expect(200)?;
    assert_eq!(read.json()["target_name"], json!("Another"));
    assert_eq!(tag.split('.').next(), read.header("etag").split('.').next());
    // A change under a condition that it cannot have is not made.
    let events = world.count("SELECT count(*) FROM events").await?;
    let body = json!({ "name": "A third" });
    let refused = api.send(Method::PATCH, &target, &[("if-none-match", "*")], Some(&body)).await?.expect(400)?;
    assert_eq!(refused.json()["field"], json!("If-None-Match"));
    // Nor is what changes no settings done under a condition on them.
    let reason = json!({ "reason": "once more" });
    for (path, body) in [
        (format!("{listing}/sync"), Some(&reason)),
        (format!("{listing}/retry"), Some(&reason)),
        (format!("{listing}/drift"), None),
        (format!("{target}/check"), None),
        ("/api/channels/listings".to_owned(), Some(&reason)),
    ] {
        for tag in ["\"999\"", "*"] {
            let refused = api.send(Method::POST, &path, &[("if-match", tag)], body).await?.expect(400)?;
            assert_eq!(refused.json()["field"], json!("If-Match"), "{path}: {}", refused.text);
        }
    }
    assert_eq!(world.count("SELECT count(*) FROM events").await?, events);
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_no_coding_of_ours_is_answered_without_one() -> anyhow::Result<()> {
    let world = World::new(&[8179]).await?;
    let target = world.target(8179, RateLimit::default()).await?;
    let service = world.serve("api")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let of_target = format!("/api/channels/targets/{target}");
    let (pause, resume) = (format!("{of_target}/pause"), format!("{of_target}/resume"));
    let reason = json!({ "reason": "x" });
    for (accepted, coding) in [
        ("identity;q=0", ""),
        ("*;q=0", ""),
        ("br, identity;q=0", ""),
        ("br;q=1, *;q=0", ""),
        ("gzip;q=0, Identity ; Q=0.000", ""),
        ("identity;q=0.1, *;q=0", ""),
        ("gzip, *;q=0", "gzip"),
        ("gzip;q=0.5, identity;q=0", "gzip"),
    ] {
        let accept = [("accept-encoding", accepted)];
        let me = api.send(Method::GET, "/api/channels/me", &accept, None).await?.expect(200)?;
        assert_eq!(me.header("content-encoding"), coding, "{accepted}");
        assert!(!coding.is_empty() || me.json()["org_id"] == json!(ORG), "{accepted}: {}", me.text);
        let paused = api.send(Method::POST, &pause, &accept, Some(&reason)).await?.expect(200)?;
        assert_eq!(paused.json()["target_id"], json!(target.to_string()), "{accepted}: {}", paused.text);
        api.send(Method::POST, &resume, &accept, None).await?.expect(200)?;
    }
    drop(service);
    world.close().await
}

/// And they are kept without the blanks around them.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_sees_in_peoples_words_is_refused_by_its_code() -> anyhow::Result<()> {
    let world = World::new(&[8174]).await?;
    let target = world.target(8174, RateLimit::default()).await?;
    let service = world.serve("api")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let of_target = format!("/api/channels/targets/{target}");
    let pause = format!("{of_target}/pause");
    for unseen in [
        '\u{202e}',
        '\u{2066}',
        '\u{200f}',
        '\u{61c}',
        '\u{200b}',
        '\u{feff}',
        '\u{ad}',
        '\u{e0041}',
        '\u{2800}',
        '\u{e000}',
        '\u{fdd0}',
        '\u{ffff}',
        '\u{10fffe}',
    ] {
        let code = format!("U+{:04X}", u32::from(unseen));
        let made = json!({ "account_id": ACCOUNT, "name": format!("Bali{unseen}1"), "secret": "s",
            "base_url": "https://api.hostaway.com/v1", "channel_account": "1" });
        let (named, reason) =
            (json!({ "name": format!("{unseen}Bali") }), json!({ "reason": format!("roof{unseen}works") }));
        for (method, path, body, field) in [
            (Method::POST, "/api/channels/targets", &made, "name"),
            (Method::PATCH, &of_target, &named, "name"),
            (Method::POST, &pause, &reason, "reason"),
            (Method::DELETE, &of_target, &reason, "reason"),
        ] {
            let answer = api.send(method, path, &[], Some(body)).await?.expect(400)?.json();
            assert_eq!(answer["field"], json!(field), "{answer}");
            assert!(answer["detail"].as_str().is_some_and(|detail| detail.contains(&code)), "{code}: {answer}");
        }
    }
    let named = json!({ "name": "  Bali, می\u{200c}خواهم " });
    let named = api.send(Method::PATCH, &of_target, &[], Some(&named)).await?.expect(200)?;
    assert_eq!(named.json()["name"], json!("Bali, می\u{200c}خواهم"));
    drop(service);
    world.close().await
}

/// Whoever meets a problem may look up what its `type` means, without a credential as well.
#[tokio::test(flavor = "multi_thread")]
async fn the_type_of_every_problem_is_the_path_of_a_page_about_it() -> anyhow::Result<()> {
    let world = World::new(&[8176]).await?;
    let service = world.serve_with("api", &["--api-rate", "1000"])?;
    let nobody = Api::of(&service).await?;
    let all = nobody.get("/problems").await?.expect(200)?.text;
    for kind in ProblemKind::ALL {
        let page = nobody.get(kind.name()).await?.expect(200)?;
        assert!(page.header("content-type").starts_with("text/html"), "{page:?}");
        let words = kind.meaning().split('`').next().unwrap_or_default();
        assert!(page.text.contains(kind.title()) && page.text.contains(words), "{}", page.text);
        assert!(all.contains(&format!("href=\"{}\"", kind.name())), "{all}");
    }
    let absent = nobody.get("/problems/nothing-of-ours").await?.expect(404)?;
    let named = absent.json()["type"].as_str().unwrap_or_default().to_owned();
    assert!(nobody.get(&named).await?.expect(200)?.text.contains("Not found"), "{named}");
    drop(service);
    world.close().await
}
