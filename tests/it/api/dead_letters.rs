//! Dead letters of one organisation, page by page, and who decided what about them.

use std::time::Duration;

use anyhow::Context as _;
use async_nats::HeaderMap;
use end_to_end::api::Api;
use end_to_end::otlp::Receiver;
use end_to_end::unit::unit;
use end_to_end::wait::wait_until;
use end_to_end::world::{ORG, World};
use reqwest::Method;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn each_organisation_pages_through_its_own_and_every_decision_has_its_actor() -> anyhow::Result<()> {
    let world = World::new(&[8170]).await?;
    let service = world.serve("api,intake")?;
    let anybody = Api::of(&service).await?;
    let api = anybody.as_caller(&world, ORG, None, "owner")?;
    let sent =
        r#"{ "guestName": "Jane Doe", "guest": { "email": "jane.doe@example.com" }, "phone": "+62 812 3456 7890" }"#;
    for number in 0..6 {
        let org = if number % 2 == 0 { ORG } else { "elsewhere" };
        let subject = world.nats.prefix.unit_changed(&org.parse()?, &format!("villa-{number}").parse()?);
        world.publish_raw(subject, sent.into()).await?;
    }
    wait_until("all are dead letters", Duration::from_secs(20), || async {
        let letters = world.nats.dead_letter_count().await?;
        Ok(if letters == 6 { Ok(()) } else { Err(format!("{letters} letters")) })
    })
    .await?;
    let subjects = |page: &serde_json::Value| -> Vec<String> {
        let items = page["items"].as_array().cloned().unwrap_or_default();
        items.iter().map(|item| item["subject"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let first = api.get("/api/channels/dead-letters?limit=2").await?.expect(200)?.json();
    assert_eq!(subjects(&first).len(), 2);
    let cursor = first["next_cursor"].as_str().unwrap_or_default();
    let second = api.get(&format!("/api/channels/dead-letters?limit=2&cursor={cursor}")).await?.expect(200)?.json();
    assert_eq!((subjects(&second).len(), &second["next_cursor"]), (1, &json!(null)));
    assert!(subjects(&first).iter().chain(&subjects(&second)).all(|subject| subject.contains(ORG)));

    let told = [first.to_string(), second.to_string()].concat();
    assert!(["Jane", "jane.doe", "812 3456"].iter().all(|guest| !told.contains(guest)), "{told}");
    assert!(first["items"][0]["body"].as_str().is_some_and(|body| body.contains("guestName")), "{first}");

    let number = first["items"][0]["number"].as_u64().unwrap_or_default();
    // What is sent again is what came.
    assert_eq!(world.nats.dead_letter(number).await?.payload(), sent.as_bytes());
    let path = format!("/api/channels/dead-letters/{number}");
    let foreign = anybody.as_caller(&world, "elsewhere", None, "owner")?;
    foreign.send(Method::DELETE, &path, &[], None).await?.expect(404)?;
    api.send(Method::DELETE, &path, &[], None).await?.expect(204)?;
    api.send(Method::DELETE, &path, &[], None).await?.expect(404)?;
    let decided = api.get("/api/channels/dead-letters/decisions").await?.expect(200)?.json();
    let row = &decided["items"][0];
    assert_eq!((&row["number"], &row["decision"]), (&json!(number), &json!("discarded")));
    assert_eq!(row["decided_by"], json!(format!("owner-of-{ORG}")));
    assert!(row["credential"].as_str().is_some_and(|credential| credential.starts_with("local_token ")), "{row}");
    let elsewhere = foreign.get("/api/channels/dead-letters/decisions").await?.expect(200)?.json();
    assert_eq!(elsewhere["items"], json!([]));
    drop(service);
    world.close().await
}

const RAW_DECISION: &str = "
INSERT INTO dead_letter_decisions (number, decision, org_id, subject, body, problems, decided_by, credential, decision_id)
SELECT 99, decision, org_id, subject, body, $1, decided_by, credential, $2 FROM dead_letter_decisions LIMIT 1";

/// Of a secret, an address and a guest nothing is told by a door, whoever looks.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_letter_is_told_without_what_is_private_at_every_door() -> anyhow::Result<()> {
    let (world, receiver) = (World::new(&[8171]).await?, Receiver::grpc().await?);
    let further = ["--log-format", "json", "--otlp-endpoint", receiver.endpoint.as_str(), "--trace-ratio", "1"];
    let service = world.serve_with("api,intake", &further)?;
    let anybody = Api::of(&service).await?;
    let (owner, viewer) =
        (anybody.as_caller(&world, ORG, None, "owner")?, anybody.as_caller(&world, ORG, None, "viewer")?);
    // Where the shape breaks, where a word is not known, and in what is no part of a unit.
    let mut shape = unit("villa-000", 1);
    shape["unit"]["capacity"]["guests"] = json!("guest Annabel anna@example.com");
    shape["unit"]["room_type"] = json!("Bearer abcdef0123456789abcdef");
    let mut word = unit("villa-001", 1);
    word["unit"]["room_type"] = json!("Bearer abcdef0123456789abcdef");
    word["unit"]["time_zone"] = json!("anna@example.com");
    word["unit"]["name"]["anna@example.com"] = json!("Villa");
    world.publish(&[shape, word]).await?;
    let mut headers = HeaderMap::new();
    headers.insert("ce-type", "Bearer abcdef0123456789abcdef");
    let subject = world.nats.prefix.unit_changed(&ORG.parse()?, &"villa-002".parse()?);
    world.publish_with(subject.clone(), headers, serde_json::to_vec(&unit("villa-002", 1))?).await?;
    // And one as builds of before kept them.
    let letters = |count: u64| {
        let nats = world.nats.clone();
        wait_until("all are dead letters", Duration::from_secs(20), move || {
            let nats = nats.clone();
            async move {
                let letters = nats.dead_letter_count().await?;
                Ok(if letters == count { Ok(()) } else { Err(format!("{letters} letters")) })
            }
        })
    };
    letters(3).await?;
    let raw = json!([{ "field": "unit.capacity.guests", "reason": "\"Annabel\" is not of type \"integer\"" },
        { "field": "unit.room_type", "reason": "\"Bearer abcdef0123456789abcdef\" is not known" }]);
    let mut headers = HeaderMap::new();
    headers.insert("Dead-Letter-Subject", world.nats.prefix.strip(&subject));
    headers.insert("Dead-Letter-Problems", raw.to_string());
    let to = world.nats.prefix.dead_letter_unit(Some(&ORG.parse()?));
    world.nats.jetstream.publish_with_headers(to, headers, "{}".into()).await?.await?;
    letters(4).await?;

    let private = ["Annabel", "anna@", "abcdef0123"];
    let hides = |door: &str, told: &str, word: &str| {
        assert!(told.contains(word), "{door}: {told}");
        assert!(private.iter().all(|secret| !told.contains(secret)), "{door}: {told}");
    };
    let list = owner.get("/api/channels/dead-letters").await?.expect(200)?;
    hides("the API", &list.text, "unit.capacity.guests");
    hides("the page", &viewer.get("/dead-letters").await?.expect(200)?.text, "unit.capacity.guests");
    for arguments in [&["dead-letters", "list"][..], &["--output", "json", "dead-letters", "list"][..]] {
        let (_, printed, said) = world.run(arguments)?;
        hides("the command line", &format!("{printed}{said}"), "unit.capacity.guests");
    }
    hides("the log", &service.printed(), "a unit change cannot be used");
    wait_until("the spans are told", Duration::from_secs(30), || async {
        let told = receiver.received.text();
        Ok(if told.matches("take a unit change in").count() >= 3 { Ok(()) } else { Err(told) })
    })
    .await?;
    hides("the traces", &receiver.received.text(), "unit.capacity.guests");
    for item in list.json()["items"].as_array().context("a list")? {
        let path = format!("/api/channels/dead-letters/{}", item["number"]);
        owner.send(Method::DELETE, &path, &[], None).await?.expect(204)?;
    }
    let kept = sqlx::query_scalar("SELECT problems::text FROM dead_letter_decisions");
    let kept: Vec<String> = kept.fetch_all(&world.pool).await?;
    assert_eq!(kept.len(), 4);
    hides("the journal of decisions", &kept.concat(), "unit.capacity.guests");
    // What a build of before wrote down is read in the same way.
    sqlx::query(RAW_DECISION).bind(raw).bind(uuid::Uuid::now_v7()).execute(&world.pool).await?;
    let decisions = owner.get("/api/channels/dead-letters/decisions").await?.expect(200)?;
    assert_eq!(decisions.json()["items"][0]["number"], json!(99), "{}", decisions.text);
    hides("the decisions", &decisions.text, "unit.capacity.guests");
    hides("the page of them", &viewer.get("/dead-letters").await?.expect(200)?.text, "unit.capacity.guests");
    drop(service);
    world.close().await
}
