//! Somebody changes the intake's consumer, or a stream, or another build does: the log and the doctor say what, the consumer is brought back at
//! once and a stream at a start, where that may be, and nothing is lost of what NATS still has.

use std::time::Duration;

use adapters::nats::topology::StreamKind;
use async_nats::jetstream::consumer::{Config, Info, pull};
use async_nats::jetstream::stream::{self, DiscardPolicy};
use domain::window::RateLimit;
use end_to_end::process::Process;
use end_to_end::unit::{names, unit};
use end_to_end::wait::wait_until;
use end_to_end::world::{ORG, World};
use sqlx::{Postgres, Transaction};

/// Where a stream and the consumer carry the number of their definition.
const NUMBER: &str = "distribution.definition";
/// What is said where a start, or an intake that begins, has brought the consumer back.
const WAS_NOT_AS_DEFINED: &str = "the intake's consumer was not as it is defined";
const DROPPED: &str = "were dropped by NATS before they were taken in";
const DAY: Duration = Duration::from_secs(86_400);

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

/// What the intake of an older build does when it begins: of numbers, marks and pauses it knows nothing.
async fn older_build_begins(world: &World, max_ack_pending: i64) -> anyhow::Result<()> {
    let config = pull::Config { durable_name: Some("intake".to_owned()), max_ack_pending, ..pull::Config::default() };
    world.nats.stream(StreamKind::Units).await?.create_consumer(config).await?;
    Ok(())
}

async fn config(world: &World, kind: StreamKind) -> anyhow::Result<stream::Config> {
    Ok(world.nats.stream(kind).await?.cached_info().config.clone())
}

async fn change_stream(
    world: &World,
    kind: StreamKind,
    change: impl FnOnce(&mut stream::Config),
) -> anyhow::Result<()> {
    let mut config = config(world, kind).await?;
    config.metadata.retain(|name, _| !name.starts_with("_nats."));
    change(&mut config);
    world.nats.jetstream.update_stream(config).await?;
    Ok(())
}

/// Has the intake take revision 2 in hand, and wait with it until this transaction ends.
async fn in_hand(world: &World) -> anyhow::Result<Transaction<'static, Postgres>> {
    let mut held = world.pool.begin().await?;
    sqlx::query("LOCK TABLE unit_snapshots IN ACCESS EXCLUSIVE MODE").execute(&mut *held).await?;
    world.publish(&[unit("villa-000", 2)]).await?;
    wait_until("the intake has it in hand", Duration::from_secs(20), || async {
        let in_hand = consumer(world).await?.num_ack_pending;
        Ok(if in_hand == 1 { Ok(()) } else { Err(format!("{in_hand}")) })
    })
    .await?;
    Ok(held)
}

/// Revisions of `villa-000`, one after the other.
async fn publish_all(world: &World, revisions: std::ops::RangeInclusive<u64>) -> anyhow::Result<()> {
    for revision in revisions {
        world.publish(&[unit("villa-000", revision)]).await?;
    }
    Ok(())
}

/// Waits until this revision is taken in, whatever became of those before it.
async fn is_newest(world: &World, revision: i64, service: &Process) -> anyhow::Result<()> {
    wait_until("the newest is taken in", Duration::from_secs(30), || async {
        let newest = world.count("SELECT max(revision)::bigint FROM units").await?;
        Ok(if newest == revision { Ok(()) } else { Err(format!("{newest}\n{}", service.printed())) })
    })
    .await
}

async fn is_published(world: &World, service: &Process) -> anyhow::Result<()> {
    wait_until("all is published", Duration::from_secs(60), || async {
        let [_, detail, _] = found(world, "relay")?;
        Ok(if detail == "at the journal's end" { Ok(()) } else { Err(format!("{detail}\n{}", service.printed())) })
    })
    .await
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
    let printed = service.printed();
    assert!(!printed.contains(WAS_NOT_AS_DEFINED), "what a running intake brings back it says once: {printed}");
    // Also by whoever looks later, and whichever build's intake begins meanwhile.
    older_build_begins(&world, 10_000).await?;
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
async fn what_comes_without_its_body_is_no_dead_letter_and_a_start_brings_streams_back() -> anyhow::Result<()> {
    let (world, mut service) = begun(8641).await?;
    change_stream(&world, StreamKind::DeadLetters, |config| {
        (config.max_messages, config.discard) = (5, DiscardPolicy::Old);
    })
    .await?;
    change_consumer(&world, |config| config.headers_only = true).await?;
    world.publish(&names(6).iter().map(|name| unit(name, 2)).collect::<Vec<_>>()).await?;
    world.taken(6, 2).await?;
    assert_eq!(world.nats.dead_letter_count().await?, 0, "{}", service.printed());
    says(&service, "headers_only is true, and is to be false").await?;
    says(&service, "discard is old, and is to be new; max_msgs is 5, and is to be -1").await?;
    wait_until("the consumer is as defined", Duration::from_secs(30), || async {
        let state = world.nats.intake_state().await?;
        let is_back = state.as_ref().is_some_and(|state| state.differences.is_empty());
        Ok(if is_back { Ok(()) } else { Err(format!("{state:?}")) })
    })
    .await?;
    assert_eq!(config(&world, StreamKind::DeadLetters).await?.max_messages, 5, "who runs changes no stream");
    assert!(service.stop()?, "{}", service.printed());

    let again = world.serve("intake")?;
    says(&again, "a stream was not as it is defined, and has been brought to it").await?;
    let deviations = world.nats.deviations().await?;
    assert!(deviations.is_empty(), "{deviations:?}");
    drop(again);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_somebody_raised_stays_over_a_start_and_the_doctor_says_so() -> anyhow::Result<()> {
    let (world, mut service) = begun(8644).await?;
    change_stream(&world, StreamKind::Units, |config| config.max_age = 30 * DAY).await?;
    change_stream(&world, StreamKind::DeadLetters, |config| config.max_age = DAY).await?;
    says(&service, "max_age is 86400 s, and is to be 0 s").await?;
    assert!(service.stop()?, "{}", service.printed());
    assert!(!service.printed().contains("2592000"), "nothing is lost by it: {}", service.printed());

    let again = world.serve("intake")?;
    says(&again, "a stream keeps more than is defined, and goes on so").await?;
    world.publish(&[unit("villa-000", 2)]).await?;
    world.taken(1, 2).await?;
    assert_eq!(config(&world, StreamKind::Units).await?.max_age, 30 * DAY);
    assert_eq!(config(&world, StreamKind::DeadLetters).await?.max_age, Duration::ZERO, "which kept less");
    let [status, detail, advice] = found(&world, "streams")?;
    let told = "max_age is 2592000 s, which keeps more than the defined 604800 s";
    assert!(status == "warn" && detail.ends_with(told), "{status} {detail}");
    assert!(advice.contains("ON_CALL.md"), "{advice}");
    drop(again);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_builds_the_newer_one_defines_the_consumer_and_the_streams() -> anyhow::Result<()> {
    let (world, mut service) = begun(8645).await?;
    let own = consumer(&world).await?.config.metadata.get(NUMBER).cloned();
    assert!(own.is_some(), "it carries its number");
    older_build_begins(&world, 2_000).await?;
    says(&service, "max_ack_pending is 2000, and is to be 10000").await?;
    wait_until("it is as this build defines it", Duration::from_secs(30), || async {
        let there = consumer(&world).await?.config;
        let is_back = there.max_ack_pending == 10_000 && there.metadata.get(NUMBER) == own.as_ref();
        Ok(if is_back { Ok(()) } else { Err(format!("{there:?}")) })
    })
    .await?;

    let newer = || (NUMBER.to_owned(), "99".to_owned());
    change_consumer(&world, |config| {
        config.max_ack_pending = 500;
        config.metadata.extend([newer()]);
    })
    .await?;
    change_stream(&world, StreamKind::Units, |config| {
        config.max_age = 3 * DAY;
        config.metadata.extend([newer()]);
    })
    .await?;
    world.publish(&[unit("villa-000", 2)]).await?;
    world.taken(1, 2).await?;
    assert!(service.stop()?, "{}", service.printed());
    let again = world.serve("intake")?;
    // It has looked before it takes the first one.
    world.publish(&[unit("villa-000", 3)]).await?;
    world.taken(1, 3).await?;
    let there = consumer(&world).await?.config;
    assert_eq!((there.max_ack_pending, there.metadata.get(NUMBER)), (500, Some(&newer().1)));
    assert_eq!(config(&world, StreamKind::Units).await?.max_age, 3 * DAY);
    for process in [&service, &again] {
        let printed = process.printed();
        assert!(!printed.contains("max_ack_pending is 500") && !printed.contains("259200 s"), "{printed}");
    }
    for (check, name) in [("consumer", "intake:"), ("streams", "UNITS is")] {
        let [status, detail, _] = found(&world, check)?;
        let told = format!("{name} as a newer build defines it (number 99)");
        assert!(status == "warn" && detail.ends_with(&told), "{check}: {status} {detail}");
    }
    drop(again);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_was_made_by_hand_is_brought_back_but_for_what_nats_never_changes() -> anyhow::Result<()> {
    let (world, mut service) = begun(8646).await?;
    assert!(service.stop()?, "{}", service.printed());
    let units = world.nats.stream(StreamKind::Units).await?;
    units.delete_consumer("intake").await?;
    let by_hand = pull::Config {
        durable_name: Some("intake".to_owned()),
        max_waiting: 64,
        // The intake asks for more at once.
        max_batch: 3,
        max_ack_pending: 77,
        ..pull::Config::default()
    };
    units.create_consumer(by_hand).await?;
    let again = world.serve("intake")?;
    world.publish(&names(6).iter().map(|name| unit(name, 2)).collect::<Vec<_>>()).await?;
    world.taken(6, 2).await?;
    says(&again, WAS_NOT_AS_DEFINED).await?;
    let there = consumer(&world).await?.config;
    assert_eq!((there.max_waiting, there.max_ack_pending), (64, 10_000));
    drop(again);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nats_does_not_let_anybody_change_back_keeps_nobody_from_work() -> anyhow::Result<()> {
    let world = World::new(&[8647]).await?;
    let target = world.target(8647, RateLimit::new(100, 1_000)?).await?;
    let mut service = world.serve("")?;
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    world.link(target, &names(1)).await?;
    world.drained(Duration::from_secs(60)).await?;
    for kind in StreamKind::ALL {
        change_stream(&world, kind, |config| config.deny_purge = true).await?;
    }
    // By this every role begins again.
    world.nats.stream(StreamKind::Units).await?.delete_consumer("intake").await?;
    world.cut_off().await?;
    world.publish(&[unit("villa-000", 2)]).await?;
    world.taken(1, 2).await?;
    world.drained(Duration::from_secs(60)).await?;
    says(&service, "a stream was changed, and stays so").await?;
    says(&service, "deny_purge is true, and is to be false").await?;
    is_published(&world, &service).await?;
    assert!(service.stop()?, "{}", service.printed());

    let again = world.serve("")?;
    says(&again, "NATS does not let a stream be brought to its definition: it is used as it is").await?;
    world.publish(&[unit("villa-000", 3)]).await?;
    world.taken(1, 3).await?;
    world.drained(Duration::from_secs(60)).await?;
    is_published(&world, &again).await?;
    let [status, detail, advice] = found(&world, "streams")?;
    assert!(status == "fail" && detail.contains("deny_purge is true, and is to be false"), "{status} {detail}");
    assert!(advice.contains("it has to be made anew"), "{advice}");
    drop(again);
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
    let held = in_hand(&world).await?;
    publish_all(&world, 3..=12).await?;
    // What is in hand goes, too, and seven that nobody was given.
    world.nats.stream(StreamKind::Units).await?.purge().sequence(10).await?;
    held.rollback().await?;
    is_newest(&world, 12, &service).await?;
    says(&service, DROPPED).await?;
    assert!(service.printed().contains("at_least=7"), "{}", service.printed());
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_newer_change_of_the_same_unit_stands_for_is_not_told_as_dropped() -> anyhow::Result<()> {
    let (world, mut service) = begun(8648).await?;
    change_stream(&world, StreamKind::Units, |config| config.max_messages_per_subject = 1).await?;
    let held = in_hand(&world).await?;
    publish_all(&world, 3..=12).await?;
    held.rollback().await?;
    is_newest(&world, 12, &service).await?;
    // It has looked before it takes this one.
    publish_all(&world, 13..=13).await?;
    is_newest(&world, 13, &service).await?;
    let [status, detail, _] = found(&world, "intake")?;
    assert_eq!((status.as_str(), detail.as_str()), ("ok", "takes unit changes in"));
    assert!(service.stop()?, "{}", service.printed());
    assert!(!service.printed().contains(DROPPED), "{}", service.printed());

    // Nor by whoever begins when the stream is as defined again.
    publish_all(&world, 14..=20).await?;
    let mut again = world.serve("intake")?;
    is_newest(&world, 20, &again).await?;
    says(&again, "max_msgs_per_subject is 1, and is to be -1").await?;
    publish_all(&world, 21..=21).await?;
    is_newest(&world, 21, &again).await?;
    assert!(again.stop()?, "{}", again.printed());
    assert!(!again.printed().contains(DROPPED), "{}", again.printed());

    // But what is dropped from then on is.
    publish_all(&world, 22..=24).await?;
    change_stream(&world, StreamKind::Units, |config| config.max_messages = 1).await?;
    let [status, detail, _] = found(&world, "intake")?;
    assert!(status == "fail" && detail.contains("at least 2 unit changes were dropped by NATS"), "{status} {detail}");
    world.close().await
}
