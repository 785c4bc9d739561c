//! A database and a NATS store that an older build has left in the middle of its work, and this build on top of them, while
//! changes come. `tests/upgrade/README.md` says which build that was, and how they were made.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use end_to_end::nats_server;
use end_to_end::unit::described;
use end_to_end::wait::wait_until;
use end_to_end::world::{Beginning, World};
use serde_json::Value;

const ACCOUNT: u64 = 8500;
const READ_MODELS: [&str; 5] = ["channel_targets", "channel_listings", "outbound_audit", "target_health", "sync_queue"];

fn left_behind(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("upgrade").join(name)
}

fn unpacked(name: &str) -> anyhow::Result<Vec<u8>> {
    let output = Command::new("gzip").arg("-dc").arg(left_behind(name)).output()?;
    ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
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

    // The channel of then was at another address.
    let (code, _, said) = world.run(&["migrate"])?;
    assert_eq!(code, 0, "{said}");
    let address = format!("{}/v1", world.sandbox.url);
    let (code, _, said) = world.run(&["target", "configure", &target, "--base-url", &address])?;
    assert_eq!(code, 0, "{said}");
    let service = world.serve("")?;
    let names: Vec<String> = (0..12).map(|index| format!("villa-{index:03}")).collect();
    let last: Vec<Value> = names.iter().map(|name| described(name, 3, "of this build")).collect();
    world.publish(&last).await?;
    wait_until("each unit's last state is at the channel", Duration::from_secs(90), || async {
        let listings = world.sandbox.listings(ACCOUNT).await?;
        let there = listings.iter().filter(|listing| listing["description"] == "of this build").count();
        Ok(if there == 12 { Ok(()) } else { Err(format!("{there} of {}\n{}", listings.len(), service.printed())) })
    })
    .await?;
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
    for name in READ_MODELS {
        let (code, printed, error) = world.run(&["projections", "verify", name])?;
        assert_eq!(code, 0, "{name} differs from its rebuild: {printed} {error}");
    }
    let (code, printed, error) = world.run(&["doctor"])?;
    assert_eq!(code, 0, "{printed} {error}");
    world.close().await
}
