//! Dead letters of one organisation, page by page, and who decided what about them.

use std::time::Duration;

use adapters::nats::dead_letters::DeadLetter;
use adapters::nats::topology::StreamKind;
use end_to_end::api::Api;
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
