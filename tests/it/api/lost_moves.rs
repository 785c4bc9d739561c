//! Secrets without their events where there is more to it than another value at the same place: a target that refers to another one, one whose
//! secret was lost, two who end the same change, and keepers that cannot say.

use std::time::Duration;

use adapters::secrets::{SecretStore as _, Secrets};
use anyhow::Context as _;
use domain::secret::SecretRef;
use domain::window::RateLimit;
use end_to_end::api::Api;
use end_to_end::process::Process;
use end_to_end::wait::wait_until;
use end_to_end::world::{ORG, World};
use reqwest::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use uuid::Uuid;

use super::lost_secrets::{APPENDS, kept, locked, made, put_and_lost, secrets, until_appends, visits, wanted};

const OPEN: &str = "SELECT count(*) FROM pending_secrets WHERE state IN ('pending', 'void')";

/// The place that the value was put at is nobody's, and so it is in nobody's way.
#[tokio::test(flavor = "multi_thread")]
async fn a_move_whose_commit_is_lost_changes_nothing_and_is_made_by_the_next_try() -> anyhow::Result<()> {
    let world = World::new(&[8202]).await?;
    let target = world.target(8202, RateLimit::default()).await?.to_string();
    let service = world.serve("api")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let path = format!("/api/channels/targets/{target}");
    let credential = format!("{path}/credential");
    let told = put_and_lost(&world, &api, &credential, &json!({ "secret": "WRONG" })).await?;
    assert!(told["detail"].to_string().contains("nothing was changed; try again"), "{told}");
    let refers_to = "SELECT count(*) FROM events WHERE event_type = 'CredentialRotated'";
    assert_eq!((world.count(refers_to).await?, world.count(OPEN).await?), (0, 0));
    assert_eq!(visits(&api, &target).await?, [(json!("secret_left"), json!("local_token"))]);

    api.post(&credential, &json!({ "secret": "right" })).await?.expect(200)?;
    assert_eq!(kept(&world, &target).await?, ("right".to_owned(), Some("secret-8202".to_owned())));
    assert_eq!((world.count(refers_to).await?, world.count(OPEN).await?), (1, 0));
    let reason = json!({ "reason": "the account was closed" });
    api.send(Method::DELETE, &path, &[], Some(&reason)).await?.expect(200)?;
    assert!(secrets(&world).listed().await?.is_empty(), "it goes with its target");
    drop(service);
    world.close().await
}

/// What is told of it is that it is left, as nobody refers to it: neither that it was taken back, nor that nothing is there.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_lost_move_has_left_is_told_so_and_goes_with_its_target() -> anyhow::Result<()> {
    let world = World::new(&[8236, 8238]).await?;
    let service = world.serve("api")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    for (account, over_api) in [(8236, true), (8238, false)] {
        let target = world.target(account, RateLimit::default()).await?.to_string();
        let path = format!("/api/channels/targets/{target}");
        put_and_lost(&world, &api, &format!("{path}/credential"), &json!({ "secret": "WRONG" })).await?;
        assert_eq!(secrets(&world).listed().await?.len(), 1);
        if over_api {
            let reason = json!({ "reason": "the account was closed" });
            api.send(Method::DELETE, &path, &[], Some(&reason)).await?.expect(200)?;
        } else {
            let (code, _, said) = world.run(&["target", "delete", &target, "--reason", "the account was closed"])?;
            assert_eq!(code, 0, "{said}");
        }
        assert!(secrets(&world).listed().await?.is_empty(), "it goes at once");
    }
    let words = "the journal did not take the event of a secret: what is there of it is left";
    wait_until("the log tells of it", Duration::from_secs(10), || async {
        let told = service.printed();
        Ok(if told.contains(words) && !told.contains("taken back") { Ok(()) } else { Err(told) })
    })
    .await?;
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_in_the_place_of_a_lost_secret_goes_with_its_commit() -> anyhow::Result<()> {
    let world = World::new(&[8203]).await?;
    let service = world.serve("api")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let target = made(&api).await?;
    let own: SecretRef = format!("store:distribution.{target}").parse()?;
    secrets(&world).delete(&own).await?;
    let credential = format!("/api/channels/targets/{target}/credential");
    let told = put_and_lost(&world, &api, &credential, &json!({ "secret": "WRONG" })).await?;
    assert!(told["detail"].to_string().contains("nothing was changed; try again"), "{told}");
    assert!(secrets(&world).listed().await?.is_empty(), "as before");
    api.post(&credential, &json!({ "secret": "right" })).await?.expect(200)?;
    assert_eq!(kept(&world, &target).await?, ("right".to_owned(), None));
    drop(service);
    world.close().await
}

/// Somebody else was faster to end it, and another value is at the same place by now.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_end_a_change_the_later_one_takes_nothing_away() -> anyhow::Result<()> {
    let world = World::new(&[8204]).await?;
    let service = world.serve("api")?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let lock = locked(&world).await?;
    let lost = tokio::spawn({
        let api = api.clone();
        async move { api.post("/api/channels/targets", &wanted("lost")).await }
    });
    until_appends(&world, 1).await?;
    let mut other = world.pool.begin().await?;
    let end = "UPDATE pending_secrets SET state = 'taken_back' WHERE state = 'pending' RETURNING secret, put_id";
    let (secret, put): (String, Uuid) = sqlx::query_as(end).fetch_one(&mut *other).await?;
    let (store, secret) = (secrets(&world), secret.parse::<SecretRef>()?);
    assert!(store.delete_as(&secret, put).await?);
    store.create_as(&secret, SecretString::from("another"), Uuid::now_v7()).await?;
    world.count(&format!("SELECT count(pg_terminate_backend(pid)) {APPENDS}")).await?;
    wait_until("the first one is about to decide", Duration::from_secs(20), || async {
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
            AND wait_event_type = 'Lock' AND query LIKE '%FROM pending_secrets WHERE change_id%FOR UPDATE%'";
        Ok(if world.count(waits).await? == 1 { Ok(()) } else { Err("it is not".to_owned()) })
    })
    .await?;
    other.commit().await?;
    let told = lost.await??.expect(503)?.json();
    assert!(told["detail"].to_string().contains("nothing was changed; try again"), "{told}");
    lock.rollback().await?;
    assert_eq!(store.read(&secret).await?.current.expose_secret(), "another");
    let states = "SELECT count(*) FROM pending_secrets WHERE state = 'taken_back'";
    assert_eq!(world.count(states).await?, 1, "it stays as the other one has told it");
    drop(service);
    world.close().await
}

/// A row as a process has left it that is gone: for how many minutes, and of which target.
async fn left(world: &World, secret: &str, target: Uuid, put: Uuid, minutes: i32) -> anyhow::Result<Uuid> {
    let change = Uuid::now_v7();
    let row = "INSERT INTO pending_secrets (change_id, put_id, secret, target_id, org_id, account_id, at, kind, created_by, credential)
        VALUES ($1, $2, $3, $4, $5, 'villas', now() - make_interval(mins => $6), 'rotate', 'somebody', 'session')";
    let row = sqlx::query(row).bind(change).bind(put).bind(secret).bind(target).bind(ORG).bind(minutes);
    row.execute(&world.pool).await?;
    Ok(change)
}

async fn state(world: &World, change: Uuid) -> anyhow::Result<String> {
    let state = sqlx::query_scalar("SELECT state FROM pending_secrets WHERE change_id = $1").bind(change);
    state.fetch_one(&world.pool).await.context("it has a row")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_that_is_away_and_one_that_was_lost_hold_up_nobody_elses_secret() -> anyhow::Result<()> {
    let world = World::new(&[8205]).await?;
    let mut environment = world.environment()?;
    let away = [
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ];
    environment.extend(away.map(|(name, value)| (name, value.to_owned())));
    let arguments = ["serve", "--roles", "api"].map(str::to_owned);
    let service = Process::start("distribution", &arguments, &environment, &world.path("serve.log"))?;
    let api = Api::of(&service).await?.as_caller(&world, ORG, None, "owner")?;
    let target = made(&api).await?;
    let own = format!("store:distribution.{target}");
    let (elsewhere, lost, put) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    let store: Secrets = secrets(&world);
    store.rotate_as(&own.parse()?, SecretString::from("WRONG"), put).await?;
    // The oldest first.
    let elsewhere = left(&world, &format!("aws:distribution.{elsewhere}"), elsewhere, Uuid::now_v7(), 30).await?;
    let lost = left(&world, &format!("store:distribution.{lost}"), lost, Uuid::now_v7(), 20).await?;
    let own = left(&world, &own, target.parse()?, put, 10).await?;
    wait_until("it is taken back", Duration::from_secs(90), || async {
        let stands = (kept(&world, &target).await?.0, state(&world, own).await?);
        let is_back = (stands.0.as_str(), stands.1.as_str()) == ("a-secret", "taken_back");
        Ok(if is_back { Ok(()) } else { Err(format!("{stands:?}")) })
    })
    .await?;
    // The journal does not say that its target was deleted: it may be where this process does not look.
    for change in [elsewhere, lost] {
        assert_eq!(state(&world, change).await?, "void");
    }
    let told = service.printed();
    let words = "the journal has no event of it, and as far as is known it cannot be taken back now";
    assert!(told.contains(words), "{told}");
    let (_, _, listed) = world.run(&["secret", "list"])?;
    assert!(listed.contains(&format!("store:distribution.{}", target_of(&world, lost).await?)), "{listed}");
    drop(service);
    world.close().await
}

async fn target_of(world: &World, change: Uuid) -> anyhow::Result<Uuid> {
    let target = sqlx::query_scalar("SELECT target_id FROM pending_secrets WHERE change_id = $1").bind(change);
    target.fetch_one(&world.pool).await.context("it has a row")
}
