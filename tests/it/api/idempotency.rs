//! A change that is asked for twice with one key is made once.

use std::time::Duration;

use end_to_end::api::Api;
use end_to_end::wait::wait_until;
use end_to_end::world::{ACCOUNT, ORG, World};
use reqwest::Method;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_makes_one_target_however_often_it_is_sent() -> anyhow::Result<()> {
    let world = World::new(&[8110]).await?;
    let service = world.serve("api")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let body = json!({ "account_id": ACCOUNT, "name": "once", "base_url": "https://api.hostaway.com/v1",
        "channel_account": "1", "secret": "a-secret" });
    let key = [("idempotency-key", "4f6f1c1e-one")];
    let path = "/api/channels/targets";
    let sent = (0..8).map(|_| api.send(Method::POST, path, &key, Some(&body)));
    let answers = futures::future::try_join_all(sent).await?;
    let made = answers.iter().filter(|answer| answer.status.as_u16() == 201).count();
    let busy = answers.iter().filter(|answer| answer.status.as_u16() == 409).count();
    assert!(made >= 1 && made + busy == 8, "{answers:?}");
    assert_eq!(world.count("SELECT count(*) FROM events").await?, 1);
    let again = api.send(Method::POST, path, &key, Some(&body)).await?.expect(201)?;
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.json()["name"], json!("once"));
    assert_eq!(again.header("distribution-position"), "1");
    let scoped = api.as_caller(&world, ORG, Some("another"), "owner")?;
    scoped.send(Method::POST, path, &key, Some(&body)).await?.expect(422)?;
    assert_eq!(world.count("SELECT count(*) FROM events").await?, 1);
    let mut other = body.clone();
    other["name"] = json!("twice");
    let reused = api.send(Method::POST, path, &key, Some(&other)).await?.expect(422)?;
    assert_eq!(reused.json()["type"], json!("/problems/idempotency-key-reused"));
    // A key is the text that came: in quotes, as its draft writes it, or without.
    for (text, name) in [("\"4f6f1c1e-one\"", "in quotes"), ("one of several words", "of words")] {
        let mut wanted = body.clone();
        wanted["name"] = json!(name);
        for replayed in ["", "true"] {
            let made = api.send(Method::POST, path, &[("idempotency-key", text)], Some(&wanted)).await?.expect(201)?;
            assert_eq!((made.header("idempotency-replayed").as_str(), &made.json()["name"]), (replayed, &json!(name)));
        }
    }
    assert_eq!(world.count("SELECT count(*) FROM events").await?, 3);
    let long = "x".repeat(129);
    for text in ["a\tb", "ü", "", long.as_str()] {
        let refused = api.send(Method::POST, path, &[("idempotency-key", text)], Some(&body)).await?.expect(400)?;
        assert_eq!(refused.json()["field"], json!("Idempotency-Key"), "{text:?}");
    }
    let two = [("idempotency-key", "one"), ("idempotency-key", "another")];
    api.send(Method::POST, path, &two, Some(&body)).await?.expect(400)?;
    // Somebody else's key of the same text is another one.
    let elsewhere = api.as_caller(&world, "another", None, "owner")?;
    elsewhere.send(Method::POST, path, &key, Some(&other)).await?.expect(201)?;
    drop(service);
    world.close().await
}

/// Or whoever has the table alone, from a backup say, could try out what a request said, such as a secret.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_of_a_request_tells_nothing_without_its_key_and_goes_after_a_day() -> anyhow::Result<()> {
    let world = World::new(&[8114]).await?;
    sqlx::query(
        "INSERT INTO api_answers (org_id, subject, key, request, recorded_at)
         VALUES ('x', 'y', 'of yesterday', sha256('z'), now() - interval '25 hours')",
    )
    .execute(&world.pool)
    .await?;
    let service = world.serve("api")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    wait_until("what is a day old is gone", Duration::from_secs(20), || async {
        let left = world.count("SELECT count(*) FROM api_answers").await?;
        Ok(if left == 0 { Ok(()) } else { Err("it is not".to_owned()) })
    })
    .await?;
    let body = json!({ "account_id": ACCOUNT, "name": "once", "base_url": "https://api.hostaway.com/v1",
        "channel_account": "1", "secret": "a-secret" });
    for key in ["c0ffee00-one", "c0ffee00-another"] {
        let key = [("idempotency-key", key)];
        api.send(Method::POST, "/api/channels/targets", &key, Some(&body)).await?.expect(201)?;
    }
    // The same request, by two keys.
    assert_eq!(world.count("SELECT count(DISTINCT request) FROM api_answers").await?, 2);
    let plain = "SELECT count(*) FROM api_answers AS kept WHERE kept::text LIKE '%c0ffee00%'";
    assert_eq!(world.count(plain).await?, 0);
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_a_build_of_before_kept_as_it_came_makes_nothing_twice() -> anyhow::Result<()> {
    let world = World::new(&[8115]).await?;
    let service = world.serve("api")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let body = json!({ "account_id": ACCOUNT, "name": "once", "base_url": "https://api.hostaway.com/v1",
        "channel_account": "1", "secret": "a-secret" });
    let (path, key) = ("/api/channels/targets", [("idempotency-key", "as-it-came")]);
    let made = api.send(Method::POST, path, &key, Some(&body)).await?.expect(201)?;
    // What such a build took the hash of.
    let request = format!("POST\0{path}\0All{{Owner}}\0{body}").into_bytes();
    for end in ["status = status", "status = NULL, unknown_end = true"] {
        let before = format!("UPDATE api_answers SET key = 'as-it-came', request = sha256($1), {end}");
        sqlx::query(&before).bind(&request).execute(&world.pool).await?;
        for _ in 0..2 {
            let again = api.send(Method::POST, path, &key, Some(&body)).await?.expect(201)?;
            assert_eq!(again.header("idempotency-replayed"), "true", "{end}");
            assert_eq!(again.json()["target_id"], made.json()["target_id"], "{end}");
        }
        let other = json!({ "name": "another" });
        api.send(Method::POST, path, &key, Some(&other)).await?.expect(422)?;
    }
    // While it may be under way there it stays as it is, and whoever asks is told for how long.
    let before = "UPDATE api_answers SET key = 'as-it-came', request = sha256($1), status = NULL, unknown_end = false";
    sqlx::query(before).bind(&request).execute(&world.pool).await?;
    began_ago(&world, 20).await?;
    let busy = api.send(Method::POST, path, &key, Some(&body)).await?.expect(409)?;
    let wait: u64 = busy.header("retry-after").parse()?;
    assert!((2..=40).contains(&wait), "{wait}: {}", busy.text);
    assert_eq!(world.count("SELECT count(*) FROM events").await?, 1);
    drop(service);
    world.close().await
}

/// As if the first request with the one key that there is had begun so long ago.
async fn began_ago(world: &World, seconds: u32) -> anyhow::Result<()> {
    let moved = format!("UPDATE api_answers SET recorded_at = clock_timestamp() - interval '{seconds} s'");
    sqlx::query(&moved).execute(&world.pool).await?;
    Ok(())
}

/// Makes the API hang where it keeps an answer: the change is in the journal by then.
const HANG: [&str; 2] = [
    "CREATE FUNCTION hang() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(600); RETURN NEW; END $$",
    "CREATE TRIGGER hang BEFORE UPDATE ON api_answers FOR EACH ROW EXECUTE FUNCTION hang()",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_answer_was_lost_in_a_crash_is_found_and_not_made_again() -> anyhow::Result<()> {
    let world = World::new(&[8111]).await?;
    let mut service = world.serve("api")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let body = json!({ "account_id": ACCOUNT, "name": "once", "base_url": "https://api.hostaway.com/v1",
        "channel_account": "1", "secret": "a-secret" });
    let (path, key) = ("/api/channels/targets", [("idempotency-key", "lost-in-a-crash")]);
    for statement in HANG {
        sqlx::query(statement).execute(&world.pool).await?;
    }
    let lost = {
        let (api, body) = (api.clone(), body.clone());
        tokio::spawn(async move { api.send(Method::POST, path, &key, Some(&body)).await })
    };
    wait_until("the target is in the journal", Duration::from_secs(20), || async {
        Ok(if world.count("SELECT count(*) FROM events").await? == 1 { Ok(()) } else { Err("it is not".to_owned()) })
    })
    .await?;
    service.kill();
    assert!(lost.await?.is_err(), "the answer was lost");
    sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()")
        .execute(&world.pool)
        .await?;
    sqlx::query("DROP TRIGGER hang ON api_answers").execute(&world.pool).await?;

    let service = world.serve("api,relay")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    // Nobody sees that its process is gone: for a minute it may be under way. At first its answer may come any moment.
    wait_until("it is told to ask again soon", Duration::from_secs(20), || async {
        began_ago(&world, 0).await?;
        let busy = api.send(Method::POST, path, &key, Some(&body)).await?.expect(409)?;
        let is_soon = busy.header("retry-after") == "1" && busy.json()["retry_after_s"] == json!(1);
        Ok(if is_soon { Ok(()) } else { Err(busy.text) })
    })
    .await?;
    began_ago(&world, 20).await?;
    let busy = api.send(Method::POST, path, &key, Some(&body)).await?.expect(409)?;
    let (wait, told): (u64, _) = (busy.header("retry-after").parse()?, busy.json());
    assert_eq!((&told["type"], &told["retry_after_s"]), (&json!("/problems/idempotency-key-in-use"), &json!(wait)));
    let words = format!("or was when its process ended: it can be begun anew in {wait} s at the latest");
    assert!((2..=40).contains(&wait) && busy.text.contains(&words), "{}", busy.text);
    // Whoever obeys gets through. On a busy machine the minute may be over by itself.
    began_ago(&world, 57).await?;
    let early = api.send(Method::POST, path, &key, Some(&body)).await?;
    if early.status == 409 {
        tokio::time::sleep(Duration::from_secs(early.header("retry-after").parse()?)).await;
    }
    for _ in 0..2 {
        let found = api.send(Method::POST, path, &key, Some(&body)).await?.expect(201)?;
        assert_eq!(found.header("idempotency-replayed"), "true");
        assert_eq!(found.header("distribution-position"), "1");
        assert_eq!(found.json()["name"], json!("once"));
        assert!(found.header("location").ends_with(found.json()["target_id"].as_str().unwrap_or("?")));
    }
    assert_eq!(world.count("SELECT count(*) FROM events").await?, 1);
    drop(service);
    world.close().await
}

/// Makes the API hang between a link and its first sync.
const HANG_AFTER_LINK: [&str; 2] = [
    "CREATE FUNCTION hang() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(600); RETURN NEW; END $$",
    "CREATE TRIGGER hang BEFORE INSERT ON events FOR EACH ROW WHEN (NEW.event_type = 'SyncRequested')
     EXECUTE FUNCTION hang()",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_link_whose_first_sync_was_lost_in_a_crash_gets_it_with_the_same_key() -> anyhow::Result<()> {
    let world = World::new(&[8112]).await?;
    let target = world.target(8112, domain::window::RateLimit::default()).await?;
    let mut service = world.serve("api,intake")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    world.publish(&[end_to_end::unit::unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    let body = json!({ "target_id": target.0, "unit_id": "villa-000" });
    let (path, key) = ("/api/channels/listings", [("idempotency-key", "lost-after-the-link")]);
    for statement in HANG_AFTER_LINK {
        sqlx::query(statement).execute(&world.pool).await?;
    }
    let lost = {
        let (api, body) = (api.clone(), body.clone());
        tokio::spawn(async move { api.send(Method::POST, path, &key, Some(&body)).await })
    };
    let linked = "SELECT count(*) FROM events WHERE event_type = 'ListingLinked'";
    let asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()";
    wait_until("the first sync is about to be asked for", Duration::from_secs(20), || async {
        Ok(if world.count(asleep).await? == 1 { Ok(()) } else { Err("it is not".to_owned()) })
    })
    .await?;
    assert_eq!(world.count(linked).await?, 1, "the link is in the journal");
    service.kill();
    assert!(lost.await?.is_err(), "the answer was lost");
    sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()")
        .execute(&world.pool)
        .await?;
    sqlx::query("DROP TRIGGER hang ON events").execute(&world.pool).await?;
    sqlx::query("UPDATE api_answers SET recorded_at = recorded_at - interval '2 minutes'").execute(&world.pool).await?;
    let requested = "SELECT count(*) FROM events WHERE event_type = 'SyncRequested'";
    assert_eq!(world.count(requested).await?, 0, "nobody has asked for the first sync");

    let service = world.serve("api,relay")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    for _ in 0..2 {
        let found = api.send(Method::POST, path, &key, Some(&body)).await?.expect(201)?;
        assert_eq!(found.header("idempotency-replayed"), "true");
        assert_eq!(found.json()["sync_requested"], json!(true));
    }
    assert_eq!((world.count(linked).await?, world.count(requested).await?), (1, 1));
    drop(service);
    world.close().await
}

/// Makes each event take two seconds.
const SLOW: [&str; 2] = [
    "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(2); RETURN NEW; END $$",
    "CREATE TRIGGER slow BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION slow()",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_made_to_its_end_although_its_caller_has_left() -> anyhow::Result<()> {
    let world = World::new(&[8113]).await?;
    let target = world.target(8113, domain::window::RateLimit::default()).await?;
    let service = world.serve("api,intake")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    world.publish(&[end_to_end::unit::unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    for statement in SLOW {
        sqlx::query(statement).execute(&world.pool).await?;
    }
    let body = json!({ "target_id": target.0, "unit_id": "villa-000" });
    let (path, key) = ("/api/channels/listings", [("idempotency-key", "impatient")]);
    let asked = api.send(Method::POST, path, &key, Some(&body));
    assert!(tokio::time::timeout(Duration::from_secs(1), asked).await.is_err(), "the caller leaves");
    // Well within the minute after which a key is free that nobody told the end of.
    let answer = wait_until("the change has its answer", Duration::from_secs(20), || async {
        let answer = api.send(Method::POST, path, &key, Some(&body)).await?;
        Ok(if answer.status.as_u16() == 201 { Ok(answer) } else { Err(answer.text) })
    })
    .await?;
    assert_eq!(answer.header("idempotency-replayed"), "true");
    assert_eq!(answer.json()["sync_requested"], json!(true));
    assert_eq!(world.count("SELECT count(*) FROM events WHERE event_type = 'SyncRequested'").await?, 1);
    drop(service);
    world.close().await
}
