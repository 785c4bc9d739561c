//! Somebody changes the intake's consumer, or a stream, while the service runs: the log and the doctor say what, it is brought back where
//! that may be, and nothing is lost of what NATS still has.

use std::time::Duration;

use adapters::nats::topology::StreamKind;
use async_nats::jetstream::consumer::{Config, Info};
use async_nats::jetstream::stream::DiscardPolicy;
use domain::window::RateLimit;
use end_to_end::process::Process;
use end_to_end::unit::{names, unit};
use end_to_end::wait::wait_until;
use end_to_end::world::{ORG, World};

/// An intake that has taken one change of `villa-000` in.
async fn begun(account: u64) -> anyhow::Result<(World, Process)> {
    let world = World::new(&[account]).await?;
    // A target makes the organisation known.
    world.target(account, RateLimit::default()).await?;
    let service = world.serve("intake")?;
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    Ok((world, service))
}

async fn consumer(world: &World) -> anyhow::Result<Info> {
    Ok(world.nats.stream(StreamKind::Units).await?.consumer_info("intake").await?)
}

async fn change_consumer(world: &World, change: impl FnOnce(&mut Config)) -> anyhow::Result<()> {
    let mut config = consumer(world).await?.config;
    change(&mut config);
    world.nats.stream(StreamKind::Units).await?.update_consumer(config).await?;
    Ok(())
}

async fn says(process: &Process, words: &str) -> anyhow::Result<()> {
    wait_until(&format!("its log says {words}"), Duration::from_secs(30), || async {
        let printed = process.printed();
        Ok(if printed.contains(words) { Ok(()) } else { Err(printed) })
    })
    .await
}

/// Status, detail and advice of a check of the doctor.
fn found(world: &World, check: &str) -> anyhow::Result<[String; 3]> {
    let (_, printed, _) = world.run(&["doctor", "--output", "json"])?;
    let report: serde_json::Value = serde_json::from_str(&printed)?;
    let found = report["checks"].as_array().expect("checks").iter().find(|found| found["check"] == check);
    let found = found.unwrap_or_else(|| panic!("{check} is looked at: {report}"));
    Ok(["status", "detail", "advice"].map(|field| found[field].as_str().unwrap_or_default().to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_filter_passed_over_comes_back_with_a_reread_and_log_and_doctor_say_so() -> anyhow::Result<()> {
    let (world, service) = begun(8640).await?;
    assert_eq!(found(&world, "consumer")?[1], "as defined");
    let only = world.nats.prefix.unit_changed(&ORG.parse()?, &"villa-000".parse()?);
    change_consumer(&world, |config| config.filter_subject.clone_from(&only)).await?;
    world.publish(&names(4).iter().map(|name| unit(name, 2)).collect::<Vec<_>>()).await?;
    says(&service, "`distribution unit reread` brings back what was passed over").await?;
    says(&service, &format!("filter_subject is {only}, and is to be unset")).await?;
    assert_eq!(consumer(&world).await?.config.filter_subject, "", "it is brought back");
    // Also by whoever looks later.
    let [status, detail, advice] = found(&world, "consumer")?;
    assert!(status == "warn" && detail.contains("it had a filter"), "{status} {detail}");
    assert!(advice.contains("`distribution unit reread`"), "{advice}");

    let (code, printed, said) = world.run(&["unit", "reread"])?;
    assert_eq!(code, 0, "{printed}{said}");
    world.taken(4, 2).await?;
    wait_until("nothing is left to be said", Duration::from_secs(30), || async {
        let [status, detail, _] = found(&world, "consumer")?;
        Ok(if status == "ok" { Ok(()) } else { Err(detail) })
    })
    .await?;
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_without_its_body_is_no_dead_letter_and_limits_are_brought_back() -> anyhow::Result<()> {
    let (world, service) = begun(8641).await?;
    let mut letters = world.nats.stream_config(StreamKind::DeadLetters)?;
    (letters.max_messages, letters.discard) = (5, DiscardPolicy::Old);
    world.nats.jetstream.update_stream(letters).await?;
    change_consumer(&world, |config| config.headers_only = true).await?;
    world.publish(&names(6).iter().map(|name| unit(name, 2)).collect::<Vec<_>>()).await?;
    world.taken(6, 2).await?;
    assert_eq!(world.nats.dead_letter_count().await?, 0, "{}", service.printed());
    says(&service, "headers_only is true, and is to be false").await?;
    says(&service, "discard is old, and is to be new; max_msgs is 5, and is to be -1").await?;
    wait_until("all is as defined", Duration::from_secs(30), || async {
        let deviations = world.nats.deviations().await?;
        Ok(if deviations.is_empty() { Ok(()) } else { Err(format!("{deviations:?}")) })
    })
    .await?;
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_consumer_is_told_and_stays_paused() -> anyhow::Result<()> {
    let (world, mut service) = begun(8642).await?;
    let units = world.nats.stream(StreamKind::Units).await?;
    let until = consumer(&world).await?.created + Duration::from_secs(3_600);
    units.pause_consumer("intake", until).await?;
    world.publish(&names(2).iter().map(|name| unit(name, 2)).collect::<Vec<_>>()).await?;
    says(&service, "the intake's consumer is paused").await?;
    let [status, detail, advice] = found(&world, "intake")?;
    assert!(status == "fail" && detail.starts_with("its consumer is paused until "), "{status} {detail}");
    assert!(detail.ends_with(": 2 unit changes to be taken in"), "{detail}");
    assert!(advice.contains("nats consumer resume"), "{advice}");
    assert!(service.stop()?, "{}", service.printed());

    let again = world.serve("intake")?;
    says(&again, "the intake's consumer is paused").await?;
    assert!(consumer(&world).await?.paused, "a start does not lift it");
    units.resume_consumer("intake").await?;
    world.taken(2, 2).await?;
    says(&again, "the intake's consumer is paused no more").await?;
    drop(again);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_are_dropped_while_an_intake_is_at_work_are_told_by_it() -> anyhow::Result<()> {
    let (world, service) = begun(8643).await?;
    let mut held = world.pool.begin().await?;
    sqlx::query("LOCK TABLE unit_snapshots IN ACCESS EXCLUSIVE MODE").execute(&mut *held).await?;
    world.publish(&[unit("villa-000", 2)]).await?;
    wait_until("the intake has it in hand", Duration::from_secs(20), || async {
        let in_hand = consumer(&world).await?.num_ack_pending;
        Ok(if in_hand == 1 { Ok(()) } else { Err(format!("{in_hand}")) })
    })
    .await?;
    for revision in 3..=12 {
        world.publish(&[unit("villa-000", revision)]).await?;
    }
    // What is in hand goes, too, and seven that nobody was given.
    world.nats.stream(StreamKind::Units).await?.purge().sequence(10).await?;
    held.rollback().await?;
    wait_until("the newest is taken in", Duration::from_secs(30), || async {
        let newest = world.count("SELECT max(revision)::bigint FROM units").await?;
        Ok(if newest == 12 { Ok(()) } else { Err(format!("{newest}\n{}", service.printed())) })
    })
    .await?;
    says(&service, "were dropped by NATS before they were taken in").await?;
    assert!(service.printed().contains("at_least=7"), "{}", service.printed());
    drop(service);
    world.close().await
}
