//! A secret that was handed over is found nowhere afterwards: tables, streams, logs, traces, answers.

use std::fmt::Write as _;
use std::time::Duration;

use adapters::nats::topology::StreamKind;
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::otlp::Receiver;
use end_to_end::unit::unit;
use end_to_end::world::{ACCOUNT, ORG, World};
use reqwest::Method;
use serde_json::json;
use services::api::policy::ROUTES;

/// What the sandbox takes as this account's secret.
const MARKED: &str = "secret-8150";

fn hexadecimal(text: &str) -> String {
    text.bytes().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

async fn is_in_no_table(world: &World) -> anyhow::Result<()> {
    let tables: Vec<String> = sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'")
        .fetch_all(&world.pool)
        .await?;
    assert!(tables.len() > 20, "{tables:?}");
    for table in tables {
        let found = format!(
            "SELECT count(*) FROM {table} AS t WHERE t::text LIKE '%{MARKED}%' OR t::text LIKE '%{}%'",
            hexadecimal(MARKED)
        );
        assert_eq!(world.count(&found).await?, 0, "table {table}");
    }
    Ok(())
}

async fn is_in_no_stream(world: &World) -> anyhow::Result<()> {
    let mut messages = 0;
    for kind in StreamKind::ALL {
        let stream = world.nats.stream(kind).await?;
        let state = stream.cached_info().state.clone();
        for sequence in state.first_sequence..=state.last_sequence {
            let Ok(message) = stream.get_raw_message(sequence).await else { continue };
            let whole =
                format!("{} {:?} {}", message.subject, message.headers, String::from_utf8_lossy(&message.payload));
            assert!(!whole.contains(MARKED), "{whole}");
            messages += 1;
        }
    }
    assert!(messages > 5, "{messages} messages");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_was_handed_over_is_found_in_no_table_stream_log_trace_or_answer() -> anyhow::Result<()> {
    let world = World::new(&[8150]).await?;
    let receiver = Receiver::http().await?;
    let traced = ["--otlp-endpoint", &receiver.endpoint, "--otlp-protocol", "http/protobuf", "--trace-ratio", "1"];
    let mut service = world.serve_with("", &traced)?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let wanted = json!({
        "account_id": ACCOUNT, "name": "Hostaway", "base_url": format!("{}/v1", world.sandbox.url),
        "channel_account": "8150", "secret": MARKED, "rate_limit": "100/1s",
    });
    let key = [("idempotency-key", "once")];
    let made = api.send(Method::POST, "/api/channels/targets", &key, Some(&wanted)).await?.expect(201)?;
    let target = made.json()["target_id"].as_str().unwrap_or_default().to_owned();
    let mut answers = vec![made.text];
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    let link = json!({ "target_id": target, "unit_id": "villa-000" });
    let linked = api.post("/api/channels/listings", &link).await?.expect(201)?;
    let listing = linked.json()["listing_id"].as_str().unwrap_or_default().to_owned();
    world.drained(Duration::from_secs(30)).await?;
    let accepted = world.count("SELECT count(*) FROM outbound_audit WHERE outcome = 'accepted'").await?;
    assert_eq!(accepted, 1, "the secret was good");
    // Refused bodies that hold it, and a rotation.
    let path = format!("/api/channels/targets/{target}/credential");
    for body in [
        json!(MARKED),
        json!({ "secret": [MARKED] }),
        json!({ "secret": MARKED, "other": MARKED }),
        json!({ "secret": MARKED }),
    ] {
        answers.push(api.post(&path, &body).await?.text);
    }
    let sync: uuid::Uuid = sqlx::query_scalar("SELECT sync_id FROM outbound_audit").fetch_one(&world.pool).await?;
    for route in ROUTES.iter().filter(|route| route.method == "GET") {
        let path = route.path.replace("{target_id}", &target).replace("{listing_id}", &listing);
        answers.push(api.get(&path.replace("{sync_id}", &sync.to_string())).await?.text);
    }
    // One that is wrong: a check tells of it while the previous one still serves, and holds nothing.
    api.post(&path, &json!({ "secret": "mistyped" })).await?.expect(200)?;
    let checked = api.post(&format!("/api/channels/targets/{target}/check"), &json!({})).await?.expect(200)?.json();
    assert_eq!((&checked["check"]["class"], &checked["health"]), (&json!("unauthorised"), &json!("degraded")));
    let detail = checked["check"]["detail"].as_str().unwrap_or_default();
    assert!(detail.starts_with("the new secret is refused"), "{detail}");
    let again = json!({ "reason": "with the previous secret" });
    api.post(&format!("/api/channels/listings/{listing}/sync"), &again).await?.expect(202)?;
    world.drained(Duration::from_secs(30)).await?;
    let accepted = world.count("SELECT count(*) FROM outbound_audit WHERE outcome = 'accepted'").await?;
    let told: Vec<(String, Option<String>)> =
        sqlx::query_as("SELECT outcome, detail FROM outbound_audit").fetch_all(&world.pool).await?;
    assert_eq!(accepted, 2, "the previous one serves: {told:?}");
    for answer in &answers {
        assert!(!answer.contains(MARKED), "{answer}");
    }
    is_in_no_table(&world).await?;
    is_in_no_stream(&world).await?;
    // Its last words, too.
    assert!(service.stopped().await?, "it ends by itself:\n{}", service.printed());
    assert!(!service.printed().contains(MARKED), "the log");
    let traces = receiver.received.text();
    for span in ["POST /api/channels/targets/{target_id}/credential", "sync"] {
        assert!(traces.contains(&format!("name: \"{span}\"")), "no span {span}");
    }
    assert!(!traces.contains(MARKED), "the traces");
    drop(service);
    world.close().await
}

/// It would be sent as it is, and the channel would refuse it without a word of what surrounds it.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_blank_or_has_white_space_around_it_is_refused_at_every_door() -> anyhow::Result<()> {
    let world = World::new(&[8152]).await?;
    let target = world.target(8152, RateLimit::default()).await?;
    let service = world.serve("api")?;
    let owner = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let events = "SELECT count(*) FROM events";
    let before = world.count(events).await?;
    let file = world.path("pasted.txt");
    let named = file.display().to_string();
    for (secret, why) in [(" ", "is blank"), ("secret-8152 ", "white space"), ("\u{feff}secret-8152", "nobody sees")] {
        let made = json!({ "account_id": ACCOUNT, "name": "x", "base_url": format!("{}/v1", world.sandbox.url),
            "channel_account": "8152", "secret": secret });
        let paths = [
            ("/api/channels/targets".to_owned(), made),
            (format!("/api/channels/targets/{target}/credential"), json!({ "secret": secret })),
        ];
        for (path, body) in &paths {
            let refused = owner.post(path, body).await?.expect(400)?.json();
            assert_eq!(refused["field"], json!("secret"), "{path}: {refused}");
            assert!(refused["detail"].as_str().is_some_and(|said| said.contains(why)), "{path}: {refused}");
        }
        let form = format!("secret={}", secret.replace(' ', "+"));
        let headers = [("content-type", "application/x-www-form-urlencoded"), ("accept", "text/html")];
        let path = format!("/targets/{target}/credential");
        let page = owner.send_text(Method::POST, &path, &headers, form).await?.expect(400)?.text;
        assert!(page.contains("<code>secret</code>") && page.contains(why), "{page}");
        // The newline that an editor puts at the end of a file is no part of it.
        std::fs::write(&file, format!("{secret}\n"))?;
        let (code, _, said) = world.run(&["secret", "put", "pasted", "--from-file", &named])?;
        assert!(code == 2 && said.contains(why), "{said}");
    }
    assert_eq!(world.count(events).await?, before);
    std::fs::write(&file, "secret-8152\n")?;
    assert_eq!(world.run(&["secret", "put", "pasted", "--from-file", &named])?.0, 0);
    drop(service);
    world.close().await
}
