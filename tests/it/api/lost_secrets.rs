//! A secret is in its place before the journal has the event: where that is lost the secret goes, and what held before holds.

use std::time::Duration;

use adapters::secrets::{SecretStore as _, Secrets};
use anyhow::Context as _;
use end_to_end::api::Api;
use end_to_end::wait::wait_until;
use end_to_end::world::{ACCOUNT, ORG, World};
use reqwest::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use sqlx::{Postgres, Transaction};

const TARGETS: &str = "/api/channels/targets";

/// Backends that are about to append to the journal, and wait.
pub(super) const APPENDS: &str = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
    AND query LIKE '%fence AS MATERIALIZED%'";

pub(super) fn wanted(name: &str) -> Value {
    json!({ "account_id": ACCOUNT, "name": name, "base_url": "https://api.hostaway.com/v1", "channel_account": "1",
        "secret": "a-secret" })
}

/// A target with a secret that the API keeps.
pub(super) async fn made(api: &Api) -> anyhow::Result<String> {
    let made = api.post(TARGETS, &wanted("Hostaway")).await?.expect(201)?.json();
    Ok(made["target_id"].as_str().context("it has an id")?.to_owned())
}

pub(super) fn secrets(world: &World) -> Secrets {
    Secrets::new(&world.path("secrets"), None)
}

/// What is kept for a target, and what held before that.
pub(super) async fn kept(world: &World, target: &str) -> anyhow::Result<(String, Option<String>)> {
    let kept = secrets(world).read(&format!("store:distribution.{target}").parse()?).await?;
    let shown = |value: SecretString| value.expose_secret().to_owned();
    Ok((shown(kept.current), kept.previous.map(shown)))
}

/// Nobody appends to the journal until it is over.
pub(super) async fn locked(world: &World) -> anyhow::Result<Transaction<'static, Postgres>> {
    let mut lock = world.pool.begin().await?;
    sqlx::query("LOCK TABLE events IN SHARE ROW EXCLUSIVE MODE").execute(&mut *lock).await?;
    Ok(lock)
}

pub(super) async fn until_appends(world: &World, wanted: i64) -> anyhow::Result<()> {
    wait_until("an append waits, or none", Duration::from_secs(20), || async {
        let waiting = world.count(&format!("SELECT count(*) {APPENDS}")).await?;
        Ok(if waiting == wanted { Ok(()) } else { Err(format!("{waiting} do")) })
    })
    .await
}

/// The visits of a target's secret: what, and by whom.
pub(super) async fn visits(api: &Api, target: &str) -> anyhow::Result<Vec<(Value, Value)>> {
    let visits = api.get(&format!("/api/channels/targets/{target}/visits")).await?.expect(200)?.json();
    let items = visits["items"].as_array().context("a list")?.clone();
    Ok(items.into_iter().map(|visit| (visit["kind"].clone(), visit["credential"].clone())).collect())
}

const ROTATED: &str = "SELECT count(*) FROM events WHERE event_type = 'CredentialRotated'";

/// A secret is put where its event is to be, and the commit is lost: as seen from the service Postgres is gone for a moment. The answer.
pub(super) async fn put_and_lost(world: &World, api: &Api, path: &str, body: &Value) -> anyhow::Result<Value> {
    let lock = locked(world).await?;
    let lost = tokio::spawn({
        let (api, path, body) = (api.clone(), path.to_owned(), body.clone());
        async move { api.post(&path, &body).await }
    });
    until_appends(world, 1).await?;
    world.count(&format!("SELECT count(pg_terminate_backend(pid)) {APPENDS}")).await?;
    let told = lost.await??.expect(503)?.json();
    lock.rollback().await?;
    Ok(told)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_whose_commit_is_lost_is_taken_back_and_told_with_who_began_it() -> anyhow::Result<()> {
    let world = World::new(&[8198]).await?;
    let service = world.serve("api")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let target = made(&api).await?;
    let credential = format!("/api/channels/targets/{target}/credential");
    let lock = locked(&world).await?;
    for (path, body) in [(credential.as_str(), json!({ "secret": "WRONG" })), (TARGETS, wanted("lost"))] {
        let lost = tokio::spawn({
            let (api, path) = (api.clone(), path.to_owned());
            async move { api.post(&path, &body).await }
        });
        until_appends(&world, 1).await?;
        // As seen from the service Postgres is gone for a moment.
        world.count(&format!("SELECT count(pg_terminate_backend(pid)) {APPENDS}")).await?;
        let told = lost.await??.expect(503)?.json();
        assert!(told["detail"].to_string().contains("nothing was changed; try again"), "{told}");
    }
    lock.rollback().await?;
    assert_eq!(kept(&world, &target).await?, ("a-secret".to_owned(), Some("WRONG".to_owned())), "it is taken back");
    assert_eq!(secrets(&world).listed().await?.len(), 1, "and what was kept for nobody is gone");
    assert_eq!(world.count(ROTATED).await?, 0);
    assert_eq!(visits(&api, &target).await?, [(json!("secret_taken_back"), json!("local_token"))]);
    let (_, printed, _) = world.run(&["target", "health", &target])?;
    assert!(printed.contains("secret taken back") && printed.contains("owner-of-"), "{printed}");

    // With one key, too, whose first request has come to nothing.
    let headers = [("idempotency-key", "again")];
    let right = json!({ "secret": "right" });
    api.send(Method::POST, &credential, &headers, Some(&right)).await?.expect(200)?;
    assert_eq!(kept(&world, &target).await?, ("right".to_owned(), Some("a-secret".to_owned())));
    assert_eq!(world.count("SELECT count(*) FROM pending_secrets WHERE state IN ('pending', 'void')").await?, 0);
    drop(service);
    world.close().await
}

/// Its backends still wait in Postgres when another process decides about what it has left.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_put_in_the_store_goes_and_its_commit_cannot_come_after_all() -> anyhow::Result<()> {
    let world = World::new(&[8199]).await?;
    let mut service = world.serve("api")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let (rotated, kept_for) = (made(&api).await?, made(&api).await?);
    let lock = locked(&world).await?;
    let credential = format!("/api/channels/targets/{rotated}/credential");
    // The two go in one statement or in two; the second would wait in the process for the first.
    for (path, body) in [(credential.as_str(), json!({ "secret": "WRONG" })), (TARGETS, wanted("lost"))] {
        let (api, path) = (api.clone(), path.to_owned());
        tokio::spawn(async move { api.post(&path, &body).await });
    }
    wait_until("both are in the store", Duration::from_secs(20), || async {
        let (listed, now) = (secrets(&world).listed().await?.len(), kept(&world, &rotated).await?.0);
        Ok(if (listed, now.as_str()) == (3, "WRONG") { Ok(()) } else { Err(format!("{listed}, {now}")) })
    })
    .await?;
    until_appends(&world, 1).await?;
    service.kill();
    assert_eq!(world.count("SELECT count(*) FROM pending_secrets WHERE state = 'pending'").await?, 2);
    // Nobody waits for a minute in a test.
    sqlx::query("UPDATE pending_secrets SET at = at - interval '5 minutes'").execute(&world.pool).await?;

    let service = world.serve("api")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    wait_until("what it has left is gone", Duration::from_secs(60), || async {
        let (listed, now) = (secrets(&world).listed().await?.len(), kept(&world, &rotated).await?.0);
        Ok(if (listed, now.as_str()) == (2, "a-secret") { Ok(()) } else { Err(format!("{listed}, {now}")) })
    })
    .await?;
    lock.rollback().await?;
    until_appends(&world, 0).await?;
    // A change of somebody else is taken meanwhile.
    let other = format!("{TARGETS}/{kept_for}/credential");
    api.post(&other, &json!({ "secret": "another" })).await?.expect(200)?;
    let events = "SELECT count(*) FROM events WHERE event_type IN ('TargetCreated', 'CredentialRotated')";
    assert_eq!(world.count(events).await?, 3, "two targets and the one rotation");
    assert_eq!(visits(&api, &rotated).await?, [(json!("secret_taken_back"), json!("local_token"))]);
    assert_eq!(kept(&world, &kept_for).await?.0, "another");
    let told = service.printed();
    assert!(told.contains("the journal has no event of that: it was taken back"), "{told}");
    drop(service);
    world.close().await
}

/// The event is there, and that could not be noted: as where the process dies before.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_is_in_the_journal_stays_whatever_came_after() -> anyhow::Result<()> {
    let world = World::new(&[8200]).await?;
    let service = world.serve("api")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let target = made(&api).await?;
    let credential = format!("/api/channels/targets/{target}/credential");
    for statement in [
        "CREATE FUNCTION not_now() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not now'; END $$",
        "CREATE TRIGGER not_now BEFORE DELETE ON pending_secrets FOR EACH ROW EXECUTE FUNCTION not_now()",
    ] {
        sqlx::query(statement).execute(&world.pool).await?;
    }
    api.post(&credential, &json!({ "secret": "second" })).await?.expect(200)?;
    // Whoever is on call is not to read that a good secret is about to be taken away.
    wait_until("the log says how far it has come", Duration::from_secs(20), || async {
        let told = service.printed();
        let words = "the journal has its event, and no value is taken away";
        Ok(if told.contains(words) && !told.contains("taken back") { Ok(()) } else { Err(told) })
    })
    .await?;
    sqlx::query("DROP TRIGGER not_now ON pending_secrets").execute(&world.pool).await?;
    let left = "UPDATE pending_secrets SET at = at - interval '5 minutes' WHERE state = 'pending'";
    assert_eq!(sqlx::query(left).execute(&world.pool).await?.rows_affected(), 1);
    wait_until("the row is gone", Duration::from_secs(60), || async {
        let rows = world.count("SELECT count(*) FROM pending_secrets").await?;
        Ok(if rows == 0 { Ok(()) } else { Err(format!("{rows} rows")) })
    })
    .await?;
    assert_eq!(kept(&world, &target).await?, ("second".to_owned(), Some("a-secret".to_owned())));
    assert!(visits(&api, &target).await?.is_empty());
    drop(service);
    world.close().await
}

/// There is no earlier secret of a target that is to be made, and nobody is to look for one.
#[tokio::test(flavor = "multi_thread")]
async fn a_creation_that_finds_no_database_is_told_so_and_of_no_earlier_secret() -> anyhow::Result<()> {
    let world = World::new(&[8237]).await?;
    let service = world.serve("api")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let mut lock = world.pool.begin().await?;
    sqlx::query("LOCK TABLE pending_secrets IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await?;
    let lost = tokio::spawn({
        let api = api.clone();
        async move { api.post(TARGETS, &wanted("lost")).await }
    });
    let looks = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
        AND query LIKE '%FROM pending_secrets WHERE target_id = $1 AND state%'";
    wait_until("it looks for an earlier one", Duration::from_secs(20), || async {
        let waiting = world.count(&format!("SELECT count(*) {looks}")).await?;
        Ok(if waiting == 1 { Ok(()) } else { Err(format!("{waiting} do")) })
    })
    .await?;
    world.count(&format!("SELECT count(pg_terminate_backend(pid)) {looks}")).await?;
    let told = lost.await??.expect(503)?.json();
    assert_eq!(told["detail"], json!("the database cannot be reached; nothing was changed, try again"));
    lock.rollback().await?;
    assert!(secrets(&world).listed().await?.is_empty());
    api.post(TARGETS, &wanted("lost")).await?.expect(201)?;
    drop(service);
    world.close().await
}

/// Whichever comes first, the store is well, and nothing is left in it.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_meets_the_deletion_of_its_target_is_told_so() -> anyhow::Result<()> {
    let world = World::new(&[8201]).await?;
    let services = [world.serve("api")?, world.serve("api")?];
    let one = Api::of(&services[0]).await?.as_caller(&world, ORG, None, "owner")?;
    let other = Api::of(&services[1]).await?.as_caller(&world, ORG, None, "owner")?;
    for round in 0..10 {
        let target = made(&one).await?;
        let path = format!("/api/channels/targets/{target}");
        let credential = format!("{path}/credential");
        let (first, second) = (json!({ "secret": "first" }), json!({ "secret": "second" }));
        let reason = json!({ "reason": "the account was closed" });
        let (first, second, deleted) = tokio::join!(
            one.post(&credential, &first),
            other.post(&credential, &second),
            other.send(Method::DELETE, &path, &[], Some(&reason))
        );
        deleted?.expect(200)?;
        for answer in [first?, second?] {
            assert!([200, 409].contains(&answer.status.as_u16()), "round {round}: {}", answer.text);
        }
    }
    wait_until("nothing is left", Duration::from_secs(20), || async {
        let left = secrets(&world).listed().await?;
        Ok(if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) })
    })
    .await?;
    for service in &services {
        let told = service.printed();
        assert!(!told.contains("ERROR"), "{told}");
    }
    drop(services);
    world.close().await
}
