//! Dead letters of one organisation, page by page, and who decided what about them.

use std::time::Duration;

use adapters::nats::dead_letters::DeadLetter;
use adapters::nats::topology::StreamKind;
use anyhow::Context as _;
use async_nats::HeaderMap;
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::otlp::Receiver;
use end_to_end::unit::unit;
use end_to_end::wait::wait_until;
use end_to_end::world::{ACCOUNT, ORG, World};
use reqwest::Method;
use serde_json::{Value, json};

use super::credentials::local_token;
use super::pages::told;
use crate::why::{json_of, listed};

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
    // And one as older builds kept them.
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
    // What an older build wrote down is read in the same way.
    sqlx::query(RAW_DECISION).bind(raw).bind(uuid::Uuid::now_v7()).execute(&world.pool).await?;
    let decisions = owner.get("/api/channels/dead-letters/decisions").await?.expect(200)?;
    assert_eq!(decisions.json()["items"][0]["number"], json!(99), "{}", decisions.text);
    hides("the decisions", &decisions.text, "unit.capacity.guests");
    hides("the page of them", &viewer.get("/dead-letters").await?.expect(200)?.text, "unit.capacity.guests");
    drop(service);
    world.close().await
}

/// What of its unit waits for a decision is told to those who may read it, with why the listing stands as it does.
#[tokio::test(flavor = "multi_thread")]
async fn an_explanation_tells_of_the_letters_of_its_unit_that_wait() -> anyhow::Result<()> {
    let world = World::new(&[8179]).await?;
    let target = world.target(8179, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let anybody = Api::of(&service).await?;
    let owner = anybody.as_caller(&world, ORG, None, "owner")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    let path = format!("/api/channels/listings/{listing}/explain");
    let before = owner.get(&path).await?.expect(200)?.json();
    assert_eq!(before["dead_letters"], json!({ "letters": [], "more": false }), "{before:#}");
    let wrong = |name: &str, revision: u64| {
        let mut message = unit(name, revision);
        message["unit"]["capacity"]["guests"] = json!("many");
        message
    };
    world.publish(&[wrong("villa-000", 9), wrong("villa-001", 3)]).await?;
    wait_until("both are dead letters", Duration::from_secs(20), || async {
        let letters = world.nats.dead_letter_count().await?;
        Ok(if letters == 2 { Ok(()) } else { Err(format!("{letters} letters")) })
    })
    .await?;
    let letters = world.nats.dead_letters(None, 0, 10).await?;
    let of_it = letters.iter().find(|letter| letter.subject.ends_with(".villa-000"));
    let number = of_it.context("a letter of the unit")?.number;
    let replay = format!("/api/channels/dead-letters/{number}/replay");
    for told in [json_of(&world, &["explain", &listing])?.1, owner.get(&path).await?.expect(200)?.json()] {
        let letters = told["dead_letters"]["letters"].as_array().context("letters")?;
        assert_eq!((letters.len(), &told["dead_letters"]["more"]), (1, &json!(false)), "{told:#}");
        let letter = &letters[0];
        assert_eq!((&letter["number"], &letter["revision"]), (&json!(number), &json!(9)), "{letter}");
        assert_eq!((&letter["replay"], letter["since"].is_string()), (&json!(replay), true), "{letter}");
        let words = told["words"].to_string();
        for line in [
            "Revision 9 of its unit could not be used (unit.capacity.guests: ".to_owned(),
            format!(", and waits as dead letter {number} since "),
            format!("`distribution dead-letters replay {number}`"),
        ] {
            assert!(words.contains(&line), "{line}: {words}");
        }
    }
    // So do the pages, each with a way to the other. How many letters there are is counted every other second.
    let own = format!("/listings/{listing}");
    let page = wait_until("the listing's page tells of it", Duration::from_secs(20), || async {
        let page = owner.get(&own).await?.expect(200)?.text;
        Ok(if page.contains("Dead letters of its unit") { Ok(page) } else { Err(page) })
    })
    .await?;
    let said = ["Revision 9 of its unit could not be used", &format!("#letter-{number}\"")];
    assert!(said.iter().all(|told| page.contains(told)), "{page}");
    let letters = owner.get("/dead-letters").await?.expect(200)?.text;
    assert!(letters.contains("href=\"/search?q=villa-000\""), "{letters}");
    // Who has one account does not read letters.
    let viewer = anybody.as_caller(&world, ORG, Some(ACCOUNT), "viewer")?;
    let page = viewer.get(&own).await?.expect(200)?.text;
    assert!(!page.contains("Dead letters of its unit"), "{page}");
    let told = viewer.get(&path).await?.expect(200)?;
    assert_eq!(told.json()["dead_letters"], Value::Null, "{}", told.text);
    assert!(!told.text.contains("dead letter "), "{}", told.text);
    owner.send(Method::POST, &replay, &[], None).await?.expect(204)?;
    drop(service);
    world.close().await
}

/// Puts letters of a unit onto the stream at once.
async fn put_letters(world: &World, name: &str, count: usize) -> anyhow::Result<()> {
    let mut headers = HeaderMap::new();
    let subject = world.nats.prefix.unit_changed(&ORG.parse()?, &name.parse()?);
    headers.insert("Dead-Letter-Subject", world.nats.prefix.strip(&subject));
    headers.insert("Dead-Letter-Problems", json!([{ "field": "unit", "reason": "is wrong" }]).to_string());
    let to = world.nats.prefix.dead_letter_unit(Some(&ORG.parse()?));
    for _ in 0..count {
        let put = world.nats.jetstream.publish_with_headers(to.clone(), headers.clone(), "{}".into());
        put.await?.await?;
    }
    Ok(())
}

/// A listing's page links the letters that it tells, and of an organisation that has many it tells nothing where none is of the unit.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_a_listing_tells_of_letters_of_its_own_unit_alone() -> anyhow::Result<()> {
    let world = World::new(&[8184]).await?;
    let target = world.target(8184, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let owner = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    let own = format!("/listings/{listing}");
    put_letters(&world, "villa-000", 5).await?;
    let page = wait_until("the listing's page tells of all", Duration::from_secs(20), || async {
        let page = owner.get(&own).await?.expect(200)?.text;
        Ok(if page.contains("Dead letters of its unit") { Ok(page) } else { Err(page) })
    })
    .await?;
    assert!(page.contains("Before that, 2 messages of its unit could not be used."), "{page}");
    assert_eq!(page.matches("#letter-").count(), 3, "{page}");

    for letter in world.nats.dead_letters(None, 0, 10).await? {
        let path = format!("/api/channels/dead-letters/{}", letter.number);
        owner.send(Method::DELETE, &path, &[], None).await?.expect(204)?;
    }
    put_letters(&world, "villa-001", 200).await?;
    wait_until("they are counted", Duration::from_secs(20), || async {
        let page = owner.get("/").await?.expect(200)?.text;
        Ok(if page.contains("200 dead letters") { Ok(()) } else { Err(page) })
    })
    .await?;
    let page = owner.get(&own).await?.expect(200)?.text;
    assert!(!page.contains("Dead letters of its unit"), "{page}");
    // Who asks for all that is known is told that it is not all.
    let told = owner.get(&format!("/api/channels/listings/{listing}/explain")).await?.expect(200)?.json();
    assert_eq!(told["dead_letters"], json!({ "letters": [], "more": true }), "{told:#}");
    drop(service);
    world.close().await
}

/// Publishes a message that cannot be used.
async fn publish_wrong(world: &World) -> anyhow::Result<()> {
    let subject = world.nats.prefix.unit_changed(&ORG.parse()?, &"villa-000".parse()?);
    world.publish_raw(subject, b"{ not json".to_vec()).await
}

/// The one dead letter that there is, when its number is beyond this one.
async fn letter_after(world: &World, number: u64) -> anyhow::Result<DeadLetter> {
    wait_until("there is one dead letter", Duration::from_secs(20), || async {
        let mut letters = world.nats.dead_letters(None, 0, 10).await?;
        let found = letters.pop().filter(|letter| letters.is_empty() && letter.number > number);
        Ok(found.ok_or_else(|| format!("others: {}", letters.len())))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_decide_about_one_letter_one_does_it_once() -> anyhow::Result<()> {
    let world = World::new(&[8171]).await?;
    let service = world.serve("api,intake")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    publish_wrong(&world).await?;
    let first = letter_after(&world, 0).await?.number;
    let own = format!("/api/channels/dead-letters/{first}");
    let path = format!("{own}/replay");
    let replays = (0..6).map(|_| api.send(Method::POST, &path, &[], None));
    let answers = futures::future::try_join_all(replays).await?;
    let with = |answers: &[end_to_end::api::Answer], wanted: &[u16]| {
        answers.iter().filter(|answer| wanted.contains(&answer.status.as_u16())).count()
    };
    assert_eq!((with(&answers, &[204]), with(&answers, &[404, 409])), (1, 5), "{answers:?}");
    api.send(Method::DELETE, &own, &[], None).await?.expect(404)?;
    assert_eq!(world.count("SELECT count(*) FROM dead_letter_decisions").await?, 1);
    // It is as wrong as before.
    let second = letter_after(&world, first).await?.number;
    assert_eq!(world.messages(StreamKind::Units).await?.len(), 2, "it was published once more");
    let path = format!("/api/channels/dead-letters/{second}");
    let discards = (0..6).map(|_| api.send(Method::DELETE, &path, &[], None));
    let answers = futures::future::try_join_all(discards).await?;
    assert_eq!((with(&answers, &[204]), with(&answers, &[404, 409])), (1, 5), "{answers:?}");
    assert_eq!(world.count("SELECT count(*) FROM dead_letter_decisions WHERE done").await?, 2);
    assert_eq!(world.count("SELECT count(*) FROM dead_letter_decisions").await?, 2);
    assert_eq!(world.nats.dead_letter_count().await?, 0);
    drop(service);
    world.close().await
}

/// A decision as somebody else's process has written it down.
const ANOTHERS: &str = "
INSERT INTO dead_letter_decisions (number, decision, org_id, subject, body, problems, decided_by, credential, decision_id, letter_id,
    held_until, done)
VALUES ($1, 'replayed', $2, 'somewhere', sha256('body'), '[]', 'somebody', 'cli', gen_random_uuid(), $3,
    now() + interval '1 minute', $4)";

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_is_still_there_can_be_decided_whatever_became_of_who_was_at_it() -> anyhow::Result<()> {
    let world = World::new(&[8172]).await?;
    let service = world.serve("api,intake")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let wrote = async |letter: &DeadLetter, done: Option<bool>| {
        let query = sqlx::query(ANOTHERS).bind(i64::try_from(letter.number)?).bind(ORG).bind(letter.id()).bind(done);
        query.execute(&world.pool).await?;
        anyhow::Ok(format!("/api/channels/dead-letters/{}", letter.number))
    };
    publish_wrong(&world).await?;
    let letter = letter_after(&world, 0).await?;
    let path = wrote(&letter, None).await?;
    let busy = api.send(Method::DELETE, &path, &[], None).await?.expect(409)?;
    assert!(busy.json()["detail"].as_str().is_some_and(|detail| detail.contains("at this moment")), "{busy:?}");
    let number = letter.number.to_string();
    let (code, _, said) = world.run(&["dead-letters", "discard", &number])?;
    assert_eq!(code, 1, "{said}");
    // Its process has died, with the letter as it was.
    sqlx::query("UPDATE dead_letter_decisions SET held_until = now()").execute(&world.pool).await?;
    api.send(Method::DELETE, &path, &[], None).await?.expect(204)?;
    let decided = api.get("/api/channels/dead-letters/decisions").await?.expect(200)?.json();
    for (by, done) in [("somebody".to_owned(), false), (format!("owner-of-{ORG}"), true)] {
        let mut rows = decided["items"].as_array().into_iter().flatten();
        assert!(rows.any(|row| row["decided_by"] == json!(by) && row["done"] == json!(done)), "{by}: {decided}");
    }
    let (_, listed, said) = world.run(&["dead-letters", "decisions"])?;
    assert!(listed.contains("replayed, in vain"), "{listed}{said}");
    let page = api.get("/dead-letters").await?.expect(200)?.text;
    assert!(page.contains("was to be sent again, in vain,") && page.contains("was thrown away"), "{page}");

    // A server that crashed may have forgotten that a letter was taken off.
    publish_wrong(&world).await?;
    let letter = letter_after(&world, letter.number).await?;
    let path = wrote(&letter, Some(true)).await?;
    api.send(Method::DELETE, &path, &[], None).await?.expect(204)?;
    assert_eq!(world.count("SELECT count(*) FROM dead_letter_decisions WHERE done").await?, 3);

    // Of a stream that was lost the numbers begin anew.
    world.delete_stream(StreamKind::DeadLetters).await?;
    world.nats.ensure_stream(StreamKind::DeadLetters).await?;
    publish_wrong(&world).await?;
    let anew = letter_after(&world, 0).await?;
    assert_eq!(anew.number, 1);
    api.send(Method::DELETE, "/api/channels/dead-letters/1", &[], None).await?.expect(204)?;
    assert_eq!(world.nats.dead_letter_count().await?, 0);
    drop(service);
    world.close().await
}

/// The last decision as a process leaves it that dies right after it was carried out.
const UNTOLD: &str = "
UPDATE dead_letter_decisions SET done = NULL WHERE number = (SELECT max(number) FROM dead_letter_decisions)";

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_whose_answer_was_lost_is_found_by_its_key() -> anyhow::Result<()> {
    let world = World::new(&[8173]).await?;
    let service = world.serve("api,intake")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let mut last = 0;
    // Of the later ones nobody could write down that they were done.
    for (method, end, key) in [
        (Method::DELETE, "", "discarded"),
        (Method::DELETE, UNTOLD, "discarded in a crash"),
        (Method::POST, UNTOLD, "replayed in a crash"),
    ] {
        publish_wrong(&world).await?;
        let letter = letter_after(&world, last).await?;
        last = letter.number;
        let verb = if method == Method::POST { "/replay" } else { "" };
        let path = format!("/api/channels/dead-letters/{last}{verb}");
        let key = [("idempotency-key", key)];
        let first = api.send(method.clone(), &path, &key, None).await?.expect(204)?;
        assert_eq!(first.header("idempotency-replayed"), "");
        let lost = "UPDATE api_answers SET status = NULL, unknown_end = true, content_type = NULL, body = NULL";
        for statement in [lost, end].into_iter().filter(|statement| !statement.is_empty()) {
            sqlx::query(statement).execute(&world.pool).await?;
        }
        for _ in 0..2 {
            let found = api.send(method.clone(), &path, &key, None).await?.expect(204)?;
            assert_eq!(found.header("idempotency-replayed"), "true", "{path}");
        }
        api.send(method, &path, &[("idempotency-key", "another")], None).await?.expect(404)?;
    }
    assert_eq!(world.count("SELECT count(*) FROM dead_letter_decisions WHERE done").await?, 3);
    assert_eq!(world.count("SELECT count(*) FROM dead_letter_decisions").await?, 3);
    drop(service);
    world.close().await
}

/// Its trace is what somebody has in hand who comes from a graph.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_found_by_its_trace_by_those_who_see_it() -> anyhow::Result<()> {
    let world = World::new(&[8157]).await?;
    let service = world.serve("api,intake")?;
    let anybody = Api::of(&service).await?;
    let viewer = anybody.as_caller(&world, ORG, None, "viewer")?;
    let traces = ["4bf92f3577b34da6a3ce929d0e0e4736", "5bf92f3577b34da6a3ce929d0e0e4736"];
    for (number, trace) in traces.iter().enumerate() {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"));
        let subject = world.nats.prefix.unit_changed(&ORG.parse()?, &format!("villa-{number}").parse()?);
        world.publish_with(subject, headers, b"{}".to_vec()).await?;
    }
    wait_until("both are dead letters", Duration::from_secs(20), || async {
        let letters = world.nats.dead_letter_count().await?;
        Ok(if letters == 2 { Ok(()) } else { Err(format!("{letters} letters")) })
    })
    .await?;
    let list = viewer.get("/api/channels/dead-letters").await?.expect(200)?.json();
    let letters = list["items"].as_array().context("letters")?;
    let letter = letters.iter().find(|letter| letter["trace_id"] == traces[1]).context("it has its trace")?;
    let number = &letter["number"];
    for asked in [traces[1].to_owned(), format!("00-{}-00f067aa0ba902b7-01", traces[1])] {
        let found = viewer.get(&format!("/search?q={asked}")).await?.expect(303)?;
        let place = found.header("location");
        let (path, anchor) = place.split_once('#').context("a place")?;
        assert_eq!(anchor, format!("letter-{number}"), "{place}");
        let page = viewer.get(path).await?.expect(200)?.text;
        assert!(page.contains(&format!("id=\"{anchor}\"")) && page.contains(traces[1]), "{page}");
    }
    let (_, shown, _) = world.run(&["dead-letters", "show", &number.to_string()])?;
    assert!(shown.contains(traces[1]), "{shown}");
    for (org, account) in [("elsewhere", None), (ORG, Some(ACCOUNT))] {
        let other = anybody.as_caller(&world, org, account, "viewer")?;
        let page = other.get(&format!("/search?q={}", traces[1])).await?.expect(200)?.text;
        assert!(page.contains("Nothing found"), "{page}");
    }
    drop(service);
    world.close().await
}

/// What others were shown last may be from before it: that would bring a letter back that was just decided.
#[tokio::test(flavor = "multi_thread")]
async fn a_live_page_begins_with_nothing_that_is_older_than_its_request() -> anyhow::Result<()> {
    let world = World::new(&[8159]).await?;
    let service = world.serve("api,intake")?;
    let anybody = Api::of(&service).await?;
    let owner = anybody.as_caller(&world, ORG, None, "owner")?;
    let (token, client) = (local_token(&world, "ana", ORG, 600)?, reqwest::Client::new());
    let look = async || {
        let url = format!("{}/live?topic=dead-letters", anybody.base());
        anyhow::Ok(client.get(url).bearer_auth(&token).send().await?.error_for_status()?)
    };
    for number in 1..=3 {
        let subject = world.nats.prefix.unit_changed(&ORG.parse()?, &format!("villa-{number}").parse()?);
        world.publish_raw(subject, b"{}".to_vec()).await?;
    }
    wait_until("all are dead letters", Duration::from_secs(20), || async {
        let letters = world.nats.dead_letter_count().await?;
        Ok(if letters == 3 { Ok(()) } else { Err(format!("{letters} letters")) })
    })
    .await?;
    let list = owner.get("/api/channels/dead-letters").await?.expect(200)?.json();
    let letters = list["items"].as_array().context("letters")?;
    let numbers: Vec<u64> = letters.iter().filter_map(|letter| letter["number"].as_u64()).collect();
    assert_eq!(numbers.len(), 3, "{list}");
    // Somebody looks all the time, so that there is what was made last.
    let mut first = look().await?;
    for number in numbers {
        let letter = format!("letter-{number}");
        assert!(told(&mut first, &letter).await?.contains(&letter));
        owner.send(Method::DELETE, &format!("/api/channels/dead-letters/{number}"), &[], None).await?.expect(204)?;
        let begins = told(&mut look().await?, &format!(" letter {number} ")).await?;
        assert!(!begins.contains(&letter), "{begins}");
        first = look().await?;
    }
    drop((first, service));
    world.close().await
}
