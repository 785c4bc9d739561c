//! The intake: what fails, fails alone; many listings of a unit go together; a stop leaves nothing half done.

use std::time::Duration;

use adapters::nats::topology::StreamKind;
use async_nats::jetstream::AckKind;
use async_nats::jetstream::consumer::{Info, pull};
use domain::window::RateLimit;
use end_to_end::unit::{names, unit};
use end_to_end::wait::wait_until;
use end_to_end::world::World;
use futures::{StreamExt, TryStreamExt};
use serde_json::json;
use services::intake::Intake;
use tokio_util::sync::CancellationToken;

async fn consumer(world: &World) -> anyhow::Result<Info> {
    Ok(world.nats.ensure_intake().await?.info().await?.clone())
}

async fn tally(world: &World, outcome: &str) -> anyhow::Result<i64> {
    let counted = sqlx::query_scalar("SELECT coalesce(sum(count), 0)::bigint FROM intake_tally WHERE outcome = $1");
    Ok(counted.bind(outcome).fetch_one(&world.pool).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_cannot_be_read_fails_no_other_and_ends_as_a_dead_letter() -> anyhow::Result<()> {
    let world = World::new(&[8200]).await?;
    let target = world.target(8200, RateLimit::default()).await?;
    let listings = world.link(target, &names(3)).await?;
    world.make_unreadable(listings[1]).await?;
    let quoting = "UPDATE events SET payload = '{\"OfAnotherBuild anna@example.com\": {}}'
        WHERE event_type = 'OfAnotherBuild'";
    sqlx::query(quoting).execute(&world.pool).await?;
    world.publish(&names(3).iter().map(|name| unit(name, 1)).collect::<Vec<_>>()).await?;
    let service = world.serve("intake")?;
    wait_until("the good ones are taken", Duration::from_secs(20), || async {
        let taken = tally(&world, "taken").await?;
        Ok(if taken == 2 { Ok(()) } else { Err(format!("{taken}")) })
    })
    .await?;
    wait_until("the bad one is a dead letter", Duration::from_secs(40), || async {
        let dead = tally(&world, "dead_letter").await?;
        Ok(if dead == 1 { Ok(()) } else { Err(format!("{dead}")) })
    })
    .await?;
    let letters = world.nats.dead_letters(None, 0, 10).await?;
    assert_eq!(letters.len(), 1);
    assert!(letters[0].subject.ends_with("villa-001"), "{}", letters[0].subject);
    let reason = &letters[0].problems[0].reason;
    assert!(reason.contains(&listings[1].to_string()) && reason.contains("OfAnotherBuild •••"), "{reason}");
    // Nor do the lines of the tries before.
    let printed = service.printed();
    assert!(printed.contains("a unit change comes again later") && !printed.contains("anna"), "{printed}");
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_being_taken_ends_before_the_stop_and_its_listings_go_together() -> anyhow::Result<()> {
    let world = World::new(&[8210]).await?;
    let targets: Vec<_> = futures::stream::iter(0..60)
        .map(|_| world.target(8210, RateLimit::default()))
        .buffer_unordered(60)
        .try_collect()
        .await?;
    futures::stream::iter(targets)
        .map(|target| {
            let world = &world;
            async move { world.link(target, &names(1)).await }
        })
        .buffer_unordered(60)
        .try_collect::<Vec<_>>()
        .await?;
    world.publish(&[unit("villa-000", 1)]).await?;

    // Every append waits behind the reader's side of the fence.
    let mut fence = world.pool.acquire().await?;
    let key = i64::from_be_bytes(*b"channels");
    sqlx::query("SELECT pg_advisory_lock($1)").bind(key).execute(&mut *fence).await?;
    let stop = CancellationToken::new();
    let intake = tokio::spawn(Intake::new(world.nats.clone(), world.syncing.clone()).run(stop.clone()));
    wait_until("an append waits", Duration::from_secs(20), || async {
        let waiting = world
            .count(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            )
            .await?;
        Ok(if waiting > 0 { Ok(()) } else { Err("none does".to_owned()) })
    })
    .await?;
    stop.cancel();
    // What comes after the stop is nobody's until the next intake.
    world.publish(&[unit("villa-000", 2)]).await?;
    sqlx::query("SELECT pg_advisory_unlock($1)").bind(key).execute(&mut *fence).await?;
    drop(fence);
    intake.await?;

    assert_eq!(tally(&world, "taken").await?, 1);
    let info = consumer(&world).await?;
    assert_eq!((info.num_ack_pending, info.num_pending), (0, 1), "the batch is acknowledged, the rest untouched");
    let asked = world.count("SELECT count(*) FROM events WHERE event_type = 'SyncRequested'").await?;
    assert_eq!(asked, 60);
    let statements = "SELECT count(DISTINCT xmin::text) FROM events WHERE event_type = 'SyncRequested'";
    let statements = world.count(statements).await?;
    assert!(statements < 30, "the journal wrote 60 requests in {statements} statements");
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn units_that_are_larger_together_than_a_batch_are_all_taken() -> anyhow::Result<()> {
    let world = World::new(&[8220]).await?;
    world.target(8220, RateLimit::default()).await?;
    let large = |name: &String| {
        let mut message = unit(name, 1);
        message["padding"] = json!("x".repeat(800_000));
        message
    };
    world.publish(&names(24).iter().map(large).collect::<Vec<_>>()).await?;
    let stop = CancellationToken::new();
    let intake = tokio::spawn(Intake::new(world.nats.clone(), world.syncing.clone()).run(stop.clone()));
    world.taken(24, 1).await?;
    stop.cancel();
    intake.await?;
    assert_eq!(tally(&world, "unlinked").await?, 24);
    let info = consumer(&world).await?;
    assert_eq!((info.num_ack_pending, info.num_redelivered), (0, 0));
    world.close().await
}

/// The status and the words of the doctor's check of the intake.
fn doctors_word(world: &World) -> anyhow::Result<(String, String)> {
    let (_, printed, _) = world.run(&["doctor", "--output", "json"])?;
    let report: serde_json::Value = serde_json::from_str(&printed)?;
    let checks = report["checks"].as_array().or(report.as_array()).expect("checks");
    let check = checks.iter().find(|check| check["check"] == "intake").expect("the intake is checked");
    let text = |field: &str| check[field].as_str().unwrap_or_default().to_owned();
    Ok((text("status"), text("detail")))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_intake_had_in_hand_is_not_taken_for_an_intake_at_work() -> anyhow::Result<()> {
    const SILENCE: Duration = Duration::from_secs(6);
    let world = World::new(&[8221]).await?;
    // The intake's own, but for how long a silence means that it is gone.
    let config = pull::Config { durable_name: Some("intake".to_owned()), ack_wait: SILENCE, ..pull::Config::default() };
    let consumer = world.nats.stream(StreamKind::Units).await?.create_consumer(config).await?;
    world.publish(&names(3).iter().map(|name| unit(name, 1)).collect::<Vec<_>>()).await?;
    let given = consumer.fetch().max_messages(2).messages().await?;
    let given: Vec<_> = given.try_collect().await.map_err(anyhow::Error::from_boxed)?;
    assert_eq!(given.len(), 2);
    assert_eq!(doctors_word(&world)?.0, "ok", "whoever has just been given some is at work");
    tokio::time::sleep(SILENCE).await;
    let (status, detail) = doctors_word(&world)?;
    let told = "3 unit changes to be taken in, and nobody asks for them (2 of them were given to one that is silent)";
    assert_eq!((status.as_str(), detail.as_str()), ("fail", told));
    // One whose work takes its time says so now and then.
    given[0].ack_with(AckKind::Progress).await.map_err(anyhow::Error::from_boxed)?;
    world.nats.client.flush().await?;
    wait_until("it is at work again", Duration::from_secs(4), || async {
        let (status, detail) = doctors_word(&world)?;
        Ok(if status == "ok" { Ok(()) } else { Err(detail) })
    })
    .await?;
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_says_that_nobody_takes_changes_in_or_keeps_the_read_models() -> anyhow::Result<()> {
    let world = World::new(&[8220]).await?;
    let target = world.target(8220, RateLimit::default()).await?;
    world.link(target, &names(1)).await?;
    world.publish(&[unit("villa-000", 1)]).await?;
    let intake = || doctors_word(&world);
    world.nats.ensure_intake().await?;
    let (status, detail) = intake()?;
    assert_eq!((status.as_str(), detail.contains("1 unit change")), ("fail", true), "{detail}");
    let mut service = world.serve("intake,relay")?;
    world.taken(1, 1).await?;
    assert_eq!(intake()?.0, "ok");
    assert!(service.stop()?, "SIGTERM ends it well");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (code, _, said) = world.run(&["queue"])?;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("behind the journal"), "{said}");
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_nats_drops_before_they_are_taken_in_are_told() -> anyhow::Result<()> {
    let world = World::new(&[8610]).await?;
    // A target makes the organisation known.
    world.target(8610, RateLimit::default()).await?;
    let mut service = world.serve("")?;
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    assert!(service.stop()?);
    // As full as four gigabytes would be.
    let mut full = world.nats.stream_config(StreamKind::Units)?;
    full.max_messages = 4;
    world.nats.jetstream.update_stream(full).await?;
    for revision in 2..=11 {
        world.publish(&[unit("villa-000", revision)]).await?;
    }
    let (code, printed, said) = world.run(&["doctor"])?;
    assert_eq!(code, 1, "{printed}{said}");
    assert!(printed.contains("at least 6 unit changes were dropped by NATS"), "{printed}{said}");
    assert!(printed.contains("max_msgs is 4, and is to be -1"), "{printed}{said}");
    let service = world.serve("")?;
    wait_until("the newest is taken in", Duration::from_secs(30), || async {
        let newest = world.count("SELECT max(revision)::bigint FROM units").await?;
        Ok(if newest == 11 { Ok(()) } else { Err(format!("{newest}\n{}", service.printed())) })
    })
    .await?;
    assert!(service.printed().contains("were dropped by NATS"), "{}", service.printed());
    drop(service);
    world.close().await
}
