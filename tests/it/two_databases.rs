//! Two databases on one NATS with one prefix, as a staging instance beside the live one: the second one's service is refused, and takes nothing.

use std::time::Duration;

use adapters::nats::Nats;
use adapters::nats::owner::JOURNAL;
use adapters::nats::topology::StreamKind;
use anyhow::Context;
use domain::window::RateLimit;
use end_to_end::process::Process;
use end_to_end::unit::{names, unit};
use end_to_end::wait::wait_until;
use end_to_end::world::{Beginning, World};
use serde_json::Value;
use uuid::Uuid;

/// Which journal the database is.
async fn journal(world: &World) -> anyhow::Result<String> {
    Ok(sqlx::query_scalar("SELECT id::text FROM journal_identity").fetch_one(&world.pool).await?)
}

/// Has a stream carry the id of a journal, or none.
async fn carry(world: &World, kind: StreamKind, id: Option<&str>) -> anyhow::Result<()> {
    let mut config = world.nats.stream(kind).await?.cached_info().config.clone();
    config.metadata = id.map(|id| (JOURNAL.to_owned(), id.to_owned())).into_iter().collect();
    world.nats.jetstream.update_stream(config).await?;
    Ok(())
}

/// Which journal each stream carries.
async fn carried(world: &World) -> anyhow::Result<Vec<Option<String>>> {
    let mut ids = Vec::new();
    for kind in StreamKind::ALL {
        ids.push(world.nats.stream(kind).await?.cached_info().config.metadata.get(JOURNAL).cloned());
    }
    Ok(ids)
}

/// Its log says all of these.
async fn says(process: &Process, words: &[&str]) -> anyhow::Result<()> {
    wait_until(&format!("its log says {words:?}"), Duration::from_secs(60), || async {
        let printed = process.printed();
        Ok(if words.iter().all(|word| printed.contains(word)) { Ok(()) } else { Err(printed) })
    })
    .await
}

/// How it ended, and what it said.
async fn refusal(process: &mut Process) -> anyhow::Result<(Option<i32>, String)> {
    for _ in 0..600 {
        if let Some(ended) = process.ended()? {
            return Ok((ended.code(), process.printed()));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("it goes on: {}", process.printed())
}

/// What the doctor finds of a check.
fn found<'a>(told: &'a Value, check: &str) -> Option<&'a Value> {
    told["checks"].as_array()?.iter().find(|found| found["check"] == check)
}

/// A world with its own journal on the prefix of another one.
async fn beside(world: &World, account: u64) -> anyhow::Result<World> {
    let prefix = Some(world.nats.prefix.to_string());
    let other = World::begin(Beginning { prefix, ..Beginning::default() }, &[account]).await?;
    // Databases of tests are copies of one.
    sqlx::query("UPDATE journal_identity SET id = gen_random_uuid()").execute(&other.pool).await?;
    Ok(other)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_of_a_second_database_on_the_same_prefix_is_refused_and_takes_nothing() -> anyhow::Result<()> {
    let world = World::new(&[8930]).await?;
    let target = world.target(8930, RateLimit::new(100, 1_000)?).await?;
    let mut service = world.serve("")?;
    says(&service, &[": serving"]).await?;
    let ours = journal(&world).await?;
    assert_eq!(carried(&world).await?, vec![Some(ours.clone()); 4]);

    let other = beside(&world, 8931).await?;
    let theirs = journal(&other).await?;
    let prefix = world.nats.prefix.to_string();
    let words = ["belongs to another database", prefix.as_str(), "NATS_PREFIX", &ours, &theirs];
    let starts: [(&str, &[&str]); 4] = [("", &[]), ("projector", &["--no-migrate"]), ("intake", &[]), ("api", &[])];
    for (roles, further) in starts {
        let (code, printed) = refusal(&mut other.serve_with(roles, further)?).await?;
        assert_eq!(code, Some(1), "{roles}: {printed}");
        assert!(words.iter().all(|word| printed.contains(word)), "{roles}: {printed}");
    }
    let (code, printed, error) = other.run(&["--output", "json", "doctor"])?;
    assert_eq!(code, 1, "{printed}{error}");
    let told: Value = serde_json::from_str(&printed)?;
    let streams = found(&told, "streams").context("it looks at the streams")?;
    assert_eq!(streams["status"], "fail", "{streams}");
    let detail = streams["detail"].as_str().unwrap_or_default();
    assert!(detail.contains(&ours) && detail.contains(&theirs), "{streams}");
    assert!(streams["advice"].as_str().is_some_and(|advice| advice.contains("NATS_PREFIX")), "{streams}");
    for check in ["relay", "intake", "dead letters"] {
        assert_eq!(found(&told, check), None, "what it would say is of the other database");
    }

    // The first one goes on, and has everything to itself.
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await?;
    world.link(target, &names(1)).await?;
    world.drained(Duration::from_secs(30)).await?;
    assert_eq!(world.sandbox.listings(8930).await?.len(), 1);
    assert_eq!(carried(&world).await?, vec![Some(ours.clone()); 4]);
    assert_eq!(other.count("SELECT count(*) FROM units").await?, 0);
    assert_eq!(other.count("SELECT count(*) FROM channel_listings").await?, 0);
    let (_, printed, _) = world.run(&["--output", "json", "doctor"])?;
    let told: Value = serde_json::from_str(&printed)?;
    assert_eq!(found(&told, "streams").context("it looks at the streams")?["status"], "ok", "{printed}");

    // An older build beside it writes the settings that it knows, without the id: the next start sets it again.
    assert!(service.stopped().await?, "{}", service.printed());
    for kind in StreamKind::ALL {
        carry(&world, kind, None).await?;
    }
    let again = world.serve("")?;
    says(&again, &[": serving"]).await?;
    assert_eq!(carried(&world).await?, vec![Some(ours); 4]);
    drop(again);
    other.close().await?;
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_runs_leaves_streams_alone_that_have_become_another_databases() -> anyhow::Result<()> {
    let world = World::new(&[8932]).await?;
    let service = world.serve("relay,intake")?;
    // Whoever is still about to set up a stream would write our id once more.
    wait_until("both have set up their streams", Duration::from_secs(30), || async {
        let tails = service.printed().matches("the relay is at the tail of its stream").count();
        let attended = world.nats.intake_state().await?.is_some_and(|intake| intake.attended);
        Ok(if tails >= 2 && attended { Ok(()) } else { Err(format!("{tails} tails, intake {attended}")) })
    })
    .await?;
    let another = Uuid::now_v7().to_string();
    for kind in StreamKind::ALL {
        carry(&world, kind, Some(&another)).await?;
    }
    says(&service, &["the relay starts again", "the intake lost its stream", &another]).await?;
    world.publish(&[unit("villa-000", 1)]).await?;
    world.target(8932, RateLimit::new(100, 1_000)?).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(world.count("SELECT count(*) FROM units").await?, 0, "the unit change is another one's");
    let channels = world.nats.stream(StreamKind::Channels).await?.cached_info().state.messages;
    assert_eq!(channels, 0, "nothing of ours goes there");
    assert_eq!(carried(&world).await?, vec![Some(another); 4]);
    drop(service);
    world.close().await
}

/// A publisher knows no journal, and makes the stream of unit changes where it is missing.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_and_a_publisher_that_make_a_stream_at_the_same_moment_both_have_it() -> anyhow::Result<()> {
    let world = World::new(&[]).await?;
    let service = Nats::connect(&std::env::var("NATS_URL")?, world.nats.prefix.clone(), "end-to-end").await?;
    service.of_journal(Uuid::now_v7());
    for _ in 0..20 {
        let name = world.nats.stream(StreamKind::Units).await?.cached_info().config.name.clone();
        world.nats.jetstream.delete_stream(&name).await?;
        let (made, found) =
            tokio::join!(service.ensure_stream(StreamKind::Units), world.nats.ensure_stream(StreamKind::Units));
        made?;
        found?;
    }
    world.close().await
}
