//! kill -9 of each role that a unit change passes, lost streams, a stopped database session: everything ends synced, nothing is doubled.

use std::time::Duration;

use adapters::nats::topology::StreamKind;
use domain::window::RateLimit;
use end_to_end::process::Process;
use end_to_end::unit::{names, unit};
use end_to_end::wait::wait_until;
use end_to_end::world::{ORG, World};
use serde_json::json;

use crate::why::{json_of, listed, priced};

/// Those on the way of a unit change. Of the other two, the API is killed in `api/idempotency.rs`, and the health role only plans checks;
/// torture kills all six.
const ROLES: [&str; 4] = ["intake", "relay", "projector", "dispatcher"];

/// Everything is at the channel once, and every job has its audit row.
async fn all_is_well(world: &World, account: u64, units: usize) -> anyhow::Result<()> {
    wait_until("every listing has its unit", Duration::from_secs(60), || async {
        let have = world.count("SELECT count(*) FROM channel_listings WHERE revision >= 1").await?;
        Ok(if have == i64::try_from(units)? { Ok(()) } else { Err(format!("{have} of {units}")) })
    })
    .await?;
    world.drained(Duration::from_secs(180)).await?;
    let listings = world.sandbox.listings(account).await?;
    assert_eq!(listings.len(), units, "no listing twice, none missing");
    assert_eq!(world.sandbox.account(account).await?["duplicate_references"], 0);
    let rows = world.audit_is_whole().await?;
    assert!(rows >= i64::try_from(units)?);
    let unsent = world.count("SELECT count(*) FROM outbound_audit WHERE outcome NOT LIKE 'accepted%' AND outcome <> 'superseded' AND outcome <> 'skipped_unchanged'").await?;
    assert_eq!(unsent, 0);
    let late =
        world.count("SELECT count(*) FROM channel_listings WHERE revision < 1 OR accepted_snapshot IS NULL").await?;
    assert_eq!(late, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_kill_9_of_each_role_in_a_run_of_a_thousand() -> anyhow::Result<()> {
    let world = World::new(&[7500]).await?;
    let target = world.target(7500, RateLimit::new(150, 1_000)?).await?;
    // A lease outlasts the longest call: with shorter calls the next dispatcher waits for less.
    let start = |role: &str| world.serve_with(role, &["--call-timeout-s", "5"]);
    let mut roles: Vec<Process> = ROLES.iter().map(|role| start(role)).collect::<Result<_, _>>()?;
    let units = names(1_000);
    world.link(target, &units).await?;
    let changes: Vec<_> = units.iter().map(|name| unit(name, 1)).collect();
    let publish = world.publish(&changes);
    let break_it = async {
        for round in 0..8 {
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            let victim = round % ROLES.len();
            roles[victim].kill();
            tokio::time::sleep(Duration::from_millis(300)).await;
            roles[victim] = start(ROLES[victim])?;
        }
        anyhow::Ok(())
    };
    futures::try_join!(publish, break_it)?;
    world.taken(1_000, 1).await?;
    all_is_well(&world, 7500, 1_000).await?;
    world.read_models_are_right()?;
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn losing_every_stream_in_the_middle_loses_nothing() -> anyhow::Result<()> {
    let world = World::new(&[7600]).await?;
    let target = world.target(7600, RateLimit::new(40, 1_000)?).await?;
    let _service = world.serve("")?;
    let units = names(100);
    world.link(target, &units).await?;
    world.publish(&units.iter().map(|name| unit(name, 1)).collect::<Vec<_>>()).await?;
    world.taken(100, 1).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    for kind in StreamKind::ALL {
        world.delete_stream(kind).await?;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    // The streams come back by themselves, and new changes go on.
    world.publish(&units[..10].iter().map(|name| unit(name, 2)).collect::<Vec<_>>()).await?;
    world
        .publish_raw(world.nats.prefix.unit_changed(&"tvl".parse()?, &"villa-000".parse()?), b"no JSON".into())
        .await?;
    world.taken(10, 2).await?;
    assert_eq!(world.nats.dead_letter_count().await?, 1, "so does the stream of dead letters");
    all_is_well(&world, 7600, 100).await?;
    let mut audit = world.nats.stream(StreamKind::Audit).await?;
    let events = audit.info().await?.state.messages;
    let attempts = world.count("SELECT count(*) FROM outbound_attempts").await?;
    assert!(i64::try_from(events)? >= attempts, "the audit stream is filled again: {events} for {attempts} attempts");
    world.close().await
}

/// An intake died when it had stored a unit, and NATS was lost before the message came again; somebody linked, and died
/// before the first sync.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_and_was_never_asked_for_is_asked_for() -> anyhow::Result<()> {
    let world = World::new(&[7650]).await?;
    let target = world.target(7650, RateLimit::new(60, 1_000)?).await?;
    let units = names(2);
    let mut service = world.serve("")?;
    world.publish(&[unit(&units[0], 1)]).await?;
    world.taken(1, 1).await?;
    world.link(target, &units).await?;
    world.drained(Duration::from_secs(60)).await?;
    service.kill();
    for (name, revision) in [(&units[0], 2), (&units[1], 1)] {
        let changed = domain::unit::parse(unit(name, revision).to_string().as_bytes())?;
        let snapshot = adapters::units::UnitSnapshot::of(&changed);
        world.syncing.units().keep(&[snapshot]).await?;
    }
    sqlx::query("UPDATE units SET recorded_at = recorded_at - interval '1 minute'").execute(&world.pool).await?;
    tokio::time::sleep(Duration::from_secs(15)).await;
    let _service = world.serve("")?;
    wait_until("both are asked for", Duration::from_secs(50), || async {
        let sql =
            "SELECT count(*) FROM channel_listings WHERE (unit_id, revision) IN (('villa-000', 2), ('villa-001', 1))";
        let asked = world.count(sql).await?;
        Ok(if asked == 2 { Ok(()) } else { Err(format!("{asked} of 2")) })
    })
    .await?;
    world.drained(Duration::from_secs(60)).await?;
    assert_eq!(world.sandbox.listings(7650).await?.len(), 2);
    world.close().await
}

/// An intake died when it had stored a unit, and the message comes again. What published the change stands in that alone, so whoever
/// looks for what nobody asked for leaves it some time.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_comes_again_after_a_crash_still_tells_what_published_it() -> anyhow::Result<()> {
    let world = World::new(&[7651]).await?;
    let target = world.target(7651, RateLimit::new(60, 1_000)?).await?;
    let mut service = world.serve("")?;
    let listing = listed(&world, target, "villa-000").await?.to_string();
    service.kill();
    // A listing that somebody may be at work on is left alone for so long.
    tokio::time::sleep(Duration::from_secs(16)).await;
    let message = priced("villa-000", 2, 5_500);
    let changed = domain::unit::parse(message.to_string().as_bytes())?;
    world.syncing.units().keep(&[adapters::units::UnitSnapshot::of(&changed)]).await?;
    sqlx::query("UPDATE units SET recorded_at = recorded_at - interval '20 seconds'").execute(&world.pool).await?;
    // It looks at once.
    let _service = world.serve("")?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("ce-source", "urn:sunstay:bookings");
    let subject = world.nats.prefix.unit_changed(&ORG.parse()?, &"villa-000".parse()?);
    world.publish_with(subject, headers, serde_json::to_vec(&message)?).await?;
    world.taken(1, 2).await?;
    world.drained(Duration::from_secs(60)).await?;
    let (_, told) = json_of(&world, &["explain", &listing])?;
    let sync = &told["sync"];
    assert_eq!((&sync["revision"], &sync["by"]["source"]), (&json!(2), &json!("urn:sunstay:bookings")), "{told:#}");
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_database_sessions_are_survived() -> anyhow::Result<()> {
    let world = World::new(&[7700]).await?;
    let target = world.target(7700, RateLimit::new(60, 1_000)?).await?;
    let _service = world.serve("")?;
    let units = names(60);
    world.link(target, &units).await?;
    world.publish(&units.iter().map(|name| unit(name, 1)).collect::<Vec<_>>()).await?;
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        world
            .count(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name = 'distribution' AND pid <> pg_backend_pid()",
            )
            .await?;
    }
    world.taken(60, 1).await?;
    all_is_well(&world, 7700, 60).await?;
    world.close().await
}
