//! The largest units that the contract allows, many at the same time: intake and dispatcher stay within the memory that their pods have.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use domain::target::TargetCommand;
use domain::unit::LARGEST_BODY;
use domain::window::RateLimit;
use end_to_end::process::Process;
use end_to_end::unit::{names, unit};
use end_to_end::world::World;
use futures::{StreamExt, TryStreamExt};
use serde_json::{Value, json};

/// Some 730 KB of text.
const PHOTOS: usize = 5_800;

fn with_photos(name: &str, revision: u64, photos: usize) -> Value {
    let mut message = unit(name, revision);
    let photo = |number: usize| {
        json!({
            "url": format!("https://photos.example.com/units/{name}/{number:05}-large.jpg?width=2048"),
            "captions": { "en": format!("The view from terrace {number:05}") },
        })
    };
    message["unit"]["photos"] = (0..photos).map(photo).collect();
    message
}

/// What a pod of this role may have, in kilobytes.
fn limit_kb(role: &str) -> anyhow::Result<u64> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../deploy/kubernetes/{role}.yaml"));
    let text = std::fs::read_to_string(path)?;
    let limit = text.split("limits: { memory: ").nth(1).and_then(|rest| rest.split("Mi }").next());
    let megabytes: u64 = limit.context("the Deployment has a limit in Mi")?.parse()?;
    Ok(1024 * megabytes)
}

fn stays_within(process: &Process, role: &str) -> anyhow::Result<()> {
    let (peak, limit) = (process.peak_memory_kb().context("the process runs")?, limit_kb(role)?);
    assert!(peak < limit, "the {role} had {peak} KB, and its pod may have {limit} KB\n{}", process.printed());
    eprintln!("the {role} had {peak} KB of {limit} KB");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_an_intake_of_the_largest_units_stays_within_the_memory_of_its_pod() -> anyhow::Result<()> {
    let world = World::new(&[8230]).await?;
    let (large, small) = (names(16), names(12));
    let target = world.target(8230, RateLimit::default()).await?;
    world.link(target, &large).await?;
    let messages: Vec<Value> = large.iter().map(|name| with_photos(name, 1, PHOTOS)).collect();
    let bytes = serde_json::to_vec(&messages[0])?.len();
    assert!((LARGEST_BODY / 4 * 3..LARGEST_BODY).contains(&bytes), "{bytes}");
    world.publish(&messages).await?;
    // And many that have a twentieth of that: a batch is full by its bytes there, too.
    for revision in 2..=11 {
        let messages: Vec<Value> = small.iter().map(|name| with_photos(name, revision, PHOTOS / 20)).collect();
        world.publish(&messages).await?;
    }
    let service = world.serve("intake")?;
    world.taken(16, 1).await.with_context(|| service.printed())?;
    let asked = world.count("SELECT count(*) FROM events WHERE event_type = 'SyncRequested'").await?;
    assert_eq!(asked, 16 + 12 * 10);
    stays_within(&service, "intake")?;
    drop(service);
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_a_dispatcher_of_the_largest_units_stays_within_the_memory_of_its_pod() -> anyhow::Result<()> {
    const LISTINGS: usize = 48;
    let world = World::new(&[8231]).await?;
    let mut targets = Vec::new();
    for _ in 0..LISTINGS {
        let target = world.target(8231, RateLimit::new(100, 1_000)?).await?;
        let pause = TargetCommand::Pause { reason: "until all of them wait".to_owned() };
        world.commands().target(target, pause, &world.metadata(target)?).await?;
        targets.push(target);
    }
    let others = world.serve("intake,relay,projector")?;
    world.publish(&[with_photos("villa-000", 1, PHOTOS)]).await?;
    world.taken(1, 1).await.with_context(|| others.printed())?;
    let unit = names(1);
    let linked = futures::stream::iter(&targets).map(|target| world.link(*target, &unit));
    linked.buffer_unordered(8).try_collect::<Vec<_>>().await?;
    // What is under way stays so for a while.
    world.sandbox.fault(json!({ "kind": "latency", "min_ms": 1_000, "max_ms": 1_000 })).await?;
    let service = world.serve("dispatcher")?;
    for target in targets {
        world.commands().target(target, TargetCommand::Resume, &world.metadata(target)?).await?;
    }
    world.drained(Duration::from_secs(240)).await.with_context(|| service.printed())?;
    let listings = world.sandbox.listings(8231).await?;
    assert_eq!(listings.len(), LISTINGS, "{}", service.printed());
    let lost = "SELECT count(*) FROM outbound_audit WHERE outcome NOT IN ('accepted', 'accepted_with_rejections')";
    assert_eq!(world.count(lost).await?, 0);
    let taken_over = "SELECT count(*) FROM events WHERE payload::text LIKE '%\"takes_over\":true%'";
    assert_eq!(world.count(taken_over).await?, 0, "who waited for room has sent nothing yet");
    stays_within(&service, "dispatcher")?;
    drop((service, others));
    world.close().await
}
