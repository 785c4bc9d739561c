//! A database and a NATS store that an older build has left in the middle of its work, and this build on top of them, while
//! changes come. `tests/upgrade/README.md` says which build that was, and how they were made.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use adapters::nats::Nats;
use anyhow::{Context as _, ensure};
use domain::window::RateLimit;
use end_to_end::nats_server;
use end_to_end::process::Process;
use end_to_end::unit::{all_described, described, names, unit};
use end_to_end::wait::wait_until;
use end_to_end::world::{Beginning, ORG, World};
use serde_json::Value;

const ACCOUNT: u64 = 8500;

fn left_behind(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("upgrade").join(name)
}

fn unpacked(name: &str) -> anyhow::Result<Vec<u8>> {
    let output = Command::new("gzip").arg("-dc").arg(left_behind(name)).output()?;
    ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

/// Changes these units in turn, some twenty times a second, until it is told that the upgrade is over. Gives the last revision,
/// which each of them has then. It is of no build: subjects and bodies are as they were.
async fn change_steadily(nats: Nats, units: Vec<String>, first: u64, over: Arc<AtomicBool>) -> anyhow::Result<u64> {
    let mut revision = first;
    loop {
        let is_last = over.load(Ordering::Relaxed);
        for message in all_described(&units, revision, &format!("revision {revision}")) {
            let unit = message["unit_id"].as_str().context("a message names its unit")?.parse()?;
            let (subject, body) = (nats.prefix.unit_changed(&ORG.parse()?, &unit), serde_json::to_vec(&message)?);
            nats.jetstream.publish(subject, body.into()).await?.await?;
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
        if is_last {
            return Ok(revision);
        }
        revision += 1;
    }
}

/// Waits until so many listings at the channel have this description.
async fn described_so(world: &World, count: usize, description: &str, service: &Process) -> anyhow::Result<()> {
    wait_until(&format!("{count} listings say {description:?}"), Duration::from_secs(90), || async {
        let listings = world.sandbox.listings(ACCOUNT).await?;
        let there = listings.iter().filter(|listing| listing["description"] == description).count();
        Ok(if there == count { Ok(()) } else { Err(format!("{there} of {}\n{}", listings.len(), service.printed())) })
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_older_build_left_in_the_middle_is_finished_by_this_one() -> anyhow::Result<()> {
    let facts: Value = serde_json::from_slice(&std::fs::read(left_behind("facts.json"))?)?;
    let target = facts["target_id"].as_str().context("facts.json names the target")?.to_owned();
    let folder = tempfile::tempdir()?;
    let store = folder.path().join("older");
    std::fs::create_dir(&store)?;
    let mut tar = Command::new("tar").args(["-xf", "-", "-C"]).arg(&store).stdin(Stdio::piped()).spawn()?;
    tar.stdin.take().context("tar reads")?.write_all(&unpacked("nats.tar.gz")?)?;
    ensure!(tar.wait()?.success(), "the store could not be unpacked");
    let channel = folder.path().join("channel.json");
    std::fs::write(&channel, unpacked("channel.json.gz")?)?;
    let [port] = nats_server::free_ports()?;
    let _nats = nats_server::start(&nats_server::program()?, folder.path(), "older", port, "")?;
    let nats_url = format!("nats://127.0.0.1:{port}");
    nats_server::ready(&nats_url).await?;
    let beginning = Beginning {
        nats_url: Some(nats_url),
        prefix: Some("upgrade".to_owned()),
        tables: Some(String::from_utf8(unpacked("database.sql.gz")?)?),
        channel: Some(channel),
        ..Beginning::default()
    };
    let world = World::begin(beginning, &[ACCOUNT]).await?;
    let before: Vec<(i64, String)> =
        sqlx::query_as("SELECT position, md5(payload::text) FROM events ORDER BY 1").fetch_all(&world.pool).await?;
    assert_eq!(before.len() as u64, facts["events"].as_u64().unwrap_or_default());
    let waiting = world.count("SELECT count(*) FROM outbound_audit WHERE outcome = 'pending'").await?;
    assert!(waiting > 0, "it was killed in the middle of its work");

    // Nobody takes changes in until this build does: they wait in the older one's stream, and more of them come all the time.
    let names: Vec<String> = (0..12).map(|index| format!("villa-{index:03}")).collect();
    let (left, changing) = names.split_at(6);
    world.publish(&all_described(left, 3, "left waiting")).await?;
    let stream = world.nats.intake_state().await?.context("the older build's consumer is there")?;
    assert!(stream.waiting >= 6, "{stream:?}");
    let over = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn(change_steadily(world.nats.clone(), changing.to_vec(), 3, over.clone()));

    // The channel of then was at another address.
    let (code, _, said) = world.run(&["migrate"])?;
    assert_eq!(code, 0, "{said}");
    let address = format!("{}/v1", world.sandbox.url);
    let (code, _, said) = world.run(&["target", "configure", &target, "--base-url", &address])?;
    assert_eq!(code, 0, "{said}");
    let service = world.serve("")?;
    described_so(&world, 6, "left waiting", &service).await?;
    over.store(true, Ordering::Relaxed);
    let last = load.await??;
    assert!(last >= 10, "changes came all the time, six of each revision: {last}");
    described_so(&world, 6, &format!("revision {last}"), &service).await?;
    world.drained(Duration::from_secs(60)).await?;
    assert_eq!(world.sandbox.listings(ACCOUNT).await?.len(), 12, "no listing twice");
    assert_eq!(world.sandbox.account(ACCOUNT).await?["duplicate_references"], 0);
    world.audit_is_whole().await?;
    let lost = "SELECT count(*) FROM outbound_audit WHERE outcome NOT IN ('accepted', 'superseded')";
    assert_eq!(world.count(lost).await?, 0);
    let after: Vec<(i64, String)> =
        sqlx::query_as("SELECT position, md5(payload::text) FROM events WHERE position <= $1 ORDER BY 1")
            .bind(before.last().map(|last| last.0))
            .fetch_all(&world.pool)
            .await?;
    assert_eq!(before, after, "what was written stays as it was");
    // As the changelog says: it fills in what older builds did not add up.
    let (code, _, said) = world.run(&["projections", "rebuild", "outbound_audit"])?;
    assert_eq!(code, 0, "{said}");
    world.read_models_are_right()?;
    let (code, printed, error) = world.run(&["doctor"])?;
    assert_eq!(code, 0, "{printed} {error}");
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_starts_again_on_the_schema_of_a_newer_one() -> anyhow::Result<()> {
    let world = World::new(&[8510]).await?;
    sqlx::raw_sql(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (9999, 'of a newer build', true, '\\x00', 0);
         ALTER TABLE units ADD COLUMN of_a_newer_build text;",
    )
    .execute(&world.pool)
    .await?;
    let service = world.serve("")?;
    let target = world.target(8510, RateLimit::new(100, 1_000)?).await?;
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await.with_context(|| service.printed())?;
    world.link(target, &names(1)).await?;
    world.drained(Duration::from_secs(30)).await?;
    assert_eq!(world.sandbox.listings(8510).await?.len(), 1);
    let (code, said, _) = world.run(&["migrate", "--check"])?;
    assert_eq!(code, 0, "{said}");
    world.close().await
}

/// Only where `OLDER_DISTRIBUTION` is the program of an older build: tests/upgrade/README.md says how to have one.
#[tokio::test(flavor = "multi_thread")]
async fn heavy_an_older_build_and_this_one_work_side_by_side() -> anyhow::Result<()> {
    let Some(older) = std::env::var_os("OLDER_DISTRIBUTION") else {
        eprintln!("skipped, as OLDER_DISTRIBUTION names no program of an older build: see tests/upgrade/README.md");
        return Ok(());
    };
    // The schema goes first.
    let world = World::new(&[8520]).await?;
    let start_older = |log: &str| {
        let mut command = Command::new(&older);
        command.args(["serve", "--no-migrate"]).envs(world.environment()?);
        Process::spawn(command, &world.path(log))
    };
    let mut before = start_older("older-1.log")?;
    let target = world.target(8520, RateLimit::new(40, 1_000)?).await?;
    let units = names(60);
    world.publish(&units.iter().map(|name| unit(name, 1)).collect::<Vec<_>>()).await?;
    world.taken(60, 1).await.with_context(|| before.printed())?;
    world.link(target, &units).await?;
    let mut revision = 1;
    let mut work = async |seconds: u32| {
        for _ in 0..2 * seconds {
            revision += 1;
            let text = format!("revision {revision}");
            world.publish(&units.iter().map(|name| described(name, revision, &text)).collect::<Vec<_>>()).await?;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        anyhow::Ok(revision)
    };
    work(3).await?;
    let mut this = world.serve("")?;
    work(8).await?;
    ensure!(before.stopped().await?, "{}", before.printed());
    work(3).await?;
    // And back: what this build has written, the older one goes on with, and then this one again.
    let mut again = start_older("older-2.log")?;
    work(3).await?;
    ensure!(this.stopped().await?, "{}", this.printed());
    work(5).await?;
    let _this = world.serve("")?;
    ensure!(again.stopped().await?, "{}", again.printed());
    let last = work(1).await?;
    let text = format!("revision {last}");
    wait_until("each unit's last state is at the channel", Duration::from_secs(90), || async {
        let listings = world.sandbox.listings(8520).await?;
        let there = listings.iter().filter(|listing| listing["description"] == text.as_str()).count();
        Ok(if there == 60 { Ok(()) } else { Err(format!("{there} of {}", listings.len())) })
    })
    .await?;
    world.drained(Duration::from_secs(60)).await?;
    assert_eq!(world.sandbox.listings(8520).await?.len(), 60, "no listing twice");
    assert_eq!(world.sandbox.account(8520).await?["duplicate_references"], 0);
    let summary = world.sandbox.get("/summary?window_ms=1000").await?;
    assert!(summary["accounts"]["8520"]["worst_window"].as_u64() <= Some(40), "{summary}");
    world.audit_is_whole().await?;
    let lost =
        "SELECT count(*) FROM outbound_audit WHERE outcome NOT IN ('accepted', 'superseded', 'skipped_unchanged')";
    assert_eq!(world.count(lost).await?, 0);
    // As the changelog says: what older builds did not add up.
    let (code, _, said) = world.run(&["projections", "rebuild", "outbound_audit"])?;
    assert_eq!(code, 0, "{said}");
    world.read_models_are_right()?;
    world.close().await
}
