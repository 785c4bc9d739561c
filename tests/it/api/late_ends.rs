//! A request with a key that ends late, when somebody else has begun it anew, does nothing to that one's row; and what its process
//! had sent before it was killed is waited for.

use std::time::Duration;

use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::unit::unit;
use end_to_end::wait::wait_until;
use end_to_end::world::{ACCOUNT, ORG, World};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Postgres, Transaction};

const TARGETS: &str = "/api/channels/targets";
/// For what is held up on its way to `api_answers`.
const ANSWERS: i64 = 8118;
/// For what is held up on its way to the journal.
const JOURNAL: i64 = 8119;

/// Takes a lock until the transaction ends.
async fn hold(world: &World, lock: i64) -> anyhow::Result<Transaction<'static, Postgres>> {
    let mut held = world.pool.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(lock).execute(&mut *held).await?;
    Ok(held)
}

/// Has statements that look like this wait for the lock before they look at any row; `None` lets those pass that come from now on.
async fn hold_up(world: &World, statement: Option<&str>) -> anyhow::Result<()> {
    let wanted = statement.map_or_else(|| "false".to_owned(), |text| format!("current_query() LIKE '%{text}%'"));
    let function = format!(
        "CREATE OR REPLACE FUNCTION hold_up() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF {wanted} THEN PERFORM pg_advisory_xact_lock_shared({ANSWERS}); END IF;
             RETURN NULL; END $$"
    );
    sqlx::query(&function).execute(&world.pool).await?;
    let trigger = "CREATE OR REPLACE TRIGGER hold_up BEFORE UPDATE OR DELETE ON api_answers
        FOR EACH STATEMENT EXECUTE FUNCTION hold_up()";
    // With its lock on the table it would wait for what is held up.
    if statement.is_some() {
        sqlx::query(trigger).execute(&world.pool).await?;
    }
    Ok(())
}

/// Does this before an event is written.
async fn before_events(world: &World, what: &str) -> anyhow::Result<()> {
    let function = format!(
        "CREATE OR REPLACE FUNCTION before_events() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             {what}
             RETURN NEW; END $$"
    );
    sqlx::query(&function).execute(&world.pool).await?;
    let trigger = "CREATE OR REPLACE TRIGGER before_events BEFORE INSERT ON events
        FOR EACH ROW EXECUTE FUNCTION before_events()";
    sqlx::query(trigger).execute(&world.pool).await?;
    Ok(())
}

/// Waits until any advisory lock of the world is like this, or none is.
async fn locks(world: &World, like: &str, any: bool) -> anyhow::Result<()> {
    let there = format!(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND {like}
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    );
    wait_until("the locks are so", Duration::from_secs(20), || async {
        let there = world.count(&there).await?;
        Ok(if (there > 0) == any { Ok(()) } else { Err(format!("{there} are {like}")) })
    })
    .await
}

async fn is_held_up(world: &World, lock: i64) -> anyhow::Result<()> {
    locks(world, &format!("objid = {lock} AND NOT granted"), true).await
}

/// As if a request that is under way, or was when its process ended, had begun so long ago.
async fn later(world: &World, by: &str) -> anyhow::Result<()> {
    let shift = format!("UPDATE api_answers SET recorded_at = recorded_at - interval '{by}'");
    sqlx::query(&shift).execute(&world.pool).await?;
    Ok(())
}

/// A target to make.
fn target(name: &str) -> Value {
    json!({ "account_id": ACCOUNT, "name": name, "base_url": "https://api.hostaway.com/v1", "channel_account": "1",
        "secret": "a-secret" })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_ends_late_forgets_no_change_that_was_made_since() -> anyhow::Result<()> {
    let world = World::new(&[8118]).await?;
    let made_before = world.target(8118, RateLimit::default()).await?;
    let service = world.serve("api,intake")?;
    // To somebody with this account alone a unit that was never published is not there.
    let api = Api::of(&service).await?.as_caller(&world, ORG, Some(ACCOUNT), "owner")?;
    let body = json!({ "target_id": made_before.0, "unit_id": "villa-000" });
    let (path, key) = ("/api/channels/listings", [("idempotency-key", "refused-and-late")]);
    let held = hold(&world, ANSWERS).await?;
    hold_up(&world, Some("DELETE FROM api_answers WHERE org_id")).await?;
    let late = {
        let (api, body) = (api.clone(), body.clone());
        tokio::spawn(async move { api.send(Method::POST, path, &key, Some(&body)).await })
    };
    is_held_up(&world, ANSWERS).await?;

    hold_up(&world, None).await?;
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    later(&world, "2 minutes").await?;
    let made = api.send(Method::POST, path, &key, Some(&body)).await?.expect(201)?;
    held.rollback().await?;
    assert!(!late.await??.status.is_success(), "there was no such unit");
    locks(&world, &format!("objid = {ANSWERS}"), false).await?;
    let again = api.send(Method::POST, path, &key, Some(&body)).await?.expect(201)?;
    assert_eq!((again.header("idempotency-replayed").as_str(), again.json()), ("true", made.json()));
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_kept_late_takes_no_place_of_anothers() -> anyhow::Result<()> {
    let world = World::new(&[8119]).await?;
    let service = world.serve("api")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let key = [("idempotency-key", "kept-late")];
    let held = hold(&world, ANSWERS).await?;
    hold_up(&world, Some("UPDATE api_answers SET status")).await?;
    let late = {
        let api = api.clone();
        tokio::spawn(async move { api.send(Method::POST, TARGETS, &key, Some(&target("the first"))).await })
    };
    is_held_up(&world, ANSWERS).await?;

    // A key of yesterday is free for another request.
    hold_up(&world, None).await?;
    later(&world, "2 days").await?;
    let second = target("the second");
    api.send(Method::POST, TARGETS, &key, Some(&second)).await?.expect(201)?;
    held.rollback().await?;
    late.await??;
    locks(&world, &format!("objid = {ANSWERS}"), false).await?;
    let again = api.send(Method::POST, TARGETS, &key, Some(&second)).await?.expect(201)?;
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.json()["name"], json!("the second"));
    assert_eq!(world.count("SELECT count(*) FROM events").await?, 2);
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_is_told_late_gives_away_no_key_of_another_request() -> anyhow::Result<()> {
    let world = World::new(&[8116]).await?;
    let service = world.serve("api")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let (key, body) = ([("idempotency-key", "told-late")], target("once"));
    let telling = hold(&world, ANSWERS).await?;
    hold_up(&world, Some("SET unknown_end = true")).await?;
    before_events(&world, "RAISE EXCEPTION 'not now';").await?;
    let failed = api.send(Method::POST, TARGETS, &key, Some(&body)).await?;
    assert!(failed.status.is_server_error(), "{}: {}", failed.status, failed.text);
    is_held_up(&world, ANSWERS).await?;

    // A minute later it begins anew, and is under way when the end of the first one is told.
    later(&world, "2 minutes").await?;
    let writing = hold(&world, JOURNAL).await?;
    before_events(&world, &format!("PERFORM pg_advisory_xact_lock_shared({JOURNAL});")).await?;
    let next = {
        let (api, body) = (api.clone(), body.clone());
        tokio::spawn(async move { api.send(Method::POST, TARGETS, &key, Some(&body)).await })
    };
    is_held_up(&world, JOURNAL).await?;
    telling.rollback().await?;
    locks(&world, &format!("objid = {ANSWERS}"), false).await?;
    let busy = api.send(Method::POST, TARGETS, &key, Some(&body)).await?.expect(409)?;
    assert_eq!(busy.json()["type"], json!("/problems/idempotency-key-in-use"));

    writing.rollback().await?;
    next.await??;
    let made = wait_until("it is made", Duration::from_secs(20), || async {
        let answer = api.send(Method::POST, TARGETS, &key, Some(&body)).await?;
        Ok(if answer.status == 201 { Ok(answer) } else { Err(answer.text) })
    })
    .await?;
    assert_eq!(made.header("idempotency-replayed"), "true");
    assert_eq!(world.count("SELECT count(*) FROM events").await?, 1);
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_has_sent_is_waited_for_and_not_made_again() -> anyhow::Result<()> {
    let world = World::new(&[8116]).await?;
    let (mut here, there) = (world.serve("api")?, world.serve("api")?);
    let api = Api::of(&here).await?.as_caller(&world, ORG, None, "owner")?;
    let other = Api::of(&there).await?.as_caller(&world, ORG, None, "owner")?;
    let (key, body) = ([("idempotency-key", "killed-on-the-way")], target("once"));
    let writing = hold(&world, JOURNAL).await?;
    before_events(&world, &format!("PERFORM pg_advisory_xact_lock_shared({JOURNAL});")).await?;
    let lost = {
        let body = body.clone();
        tokio::spawn(async move { api.send(Method::POST, TARGETS, &key, Some(&body)).await })
    };
    is_held_up(&world, JOURNAL).await?;
    here.kill();
    assert!(lost.await?.is_err(), "the answer was lost");

    later(&world, "2 minutes").await?;
    let next = tokio::spawn(async move { other.send(Method::POST, TARGETS, &key, Some(&body)).await });
    // The fence: an append holds it shared.
    locks(&world, "mode = 'ExclusiveLock' AND NOT granted", true).await?;
    writing.rollback().await?;
    let found = next.await??.expect(201)?;
    assert_eq!(found.header("idempotency-replayed"), "true");
    assert_eq!(found.json()["name"], json!("once"));
    assert_eq!(world.count("SELECT count(*) FROM events").await?, 1);
    drop(there);
    world.close().await
}
