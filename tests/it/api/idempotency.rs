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
    let two = [("idempotency-key", "one"), ("idempotency-key", "another")];
    api.send(Method::POST, path, &two, Some(&body)).await?.expect(400)?;
    // Somebody else's key of the same text is another one.
    let elsewhere = api.as_caller(&world, "another", None, "owner")?;
    elsewhere.send(Method::POST, path, &key, Some(&other)).await?.expect(201)?;
    drop(service);
    world.close().await
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
    // Within a minute it may still be under way.
    let busy = api.send(Method::POST, path, &key, Some(&body)).await?.expect(409)?;
    assert_eq!(busy.json()["type"], json!("/problems/idempotency-key-in-use"));
    sqlx::query("UPDATE api_answers SET recorded_at = recorded_at - interval '2 minutes'").execute(&world.pool).await?;
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
