//! A backup that was taken under load, restored: beside an empty NATS, and beside streams that know more than it does.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use adapters::nats::topology::StreamKind;
use domain::window::RateLimit;
use end_to_end::process::Process;
use end_to_end::under_load;
use end_to_end::unit::{described, names, unit};
use end_to_end::wait::wait_until;
use end_to_end::world::World;
use services::relay::{POSITION, event_id, position_header};
use sqlx::PgPool;
use uuid::Uuid;

/// What the journal says up to a position.
async fn journal(pool: &PgPool, up_to: i64) -> anyhow::Result<String> {
    let sql = "SELECT md5(string_agg(e::text, '|' ORDER BY position)) FROM events AS e WHERE position <= $1";
    Ok(sqlx::query_scalar(sql).bind(up_to).fetch_one(pool).await?)
}

/// Every snapshot of a unit.
async fn snapshots(pool: &PgPool) -> anyhow::Result<BTreeSet<String>> {
    let rows: Vec<String> = sqlx::query_scalar("SELECT md5(s::text) FROM unit_snapshots AS s").fetch_all(pool).await?;
    Ok(rows.into_iter().collect())
}

/// At the channel once each, and never more calls in a window than there may be.
async fn nothing_is_doubled(world: &World, account: u64, listings: usize, limit: u64) -> anyhow::Result<()> {
    assert_eq!(world.sandbox.listings(account).await?.len(), listings, "no listing twice, none missing");
    let summary = world.sandbox.get("/summary?window_ms=1000").await?["accounts"][account.to_string()].clone();
    assert_eq!(summary["duplicate_references"], 0);
    assert!(summary["worst_window"].as_u64() <= Some(limit), "{summary}");
    Ok(())
}

/// Starts the service on a database that was just restored, and has it take in what NATS still has.
async fn take_in_again(world: &World) -> anyhow::Result<Process> {
    let service = world.serve("")?;
    let (code, printed, error) = world.run(&["unit", "reread"])?;
    assert_eq!((code, printed.as_str()), (0, "60 unit changes to be taken in again\n"), "{error}");
    wait_until("what was lost is taken in again", Duration::from_secs(60), || async {
        let have = world.count("SELECT count(*) FROM channel_listings WHERE revision = 2").await?;
        Ok(if have == 25 { Ok(()) } else { Err(format!("{have} of 25")) })
    })
    .await?;
    Ok(service)
}

/// Ids of the events beyond a position.
async fn events_after(pool: &PgPool, position: i64) -> anyhow::Result<BTreeSet<Uuid>> {
    let sql = "SELECT event_id FROM events WHERE position > $1";
    Ok(sqlx::query_scalar(sql).bind(position).fetch_all(pool).await?.into_iter().collect())
}

/// As the API writes it down before it puts a value in the place of a secret.
async fn a_secret_is_under_way(world: &World) -> anyhow::Result<()> {
    let row = "INSERT INTO pending_secrets (change_id, put_id, secret, target_id, org_id, account_id, kind, created_by, credential)
        SELECT id, id, 'store:distribution.' || id, id, 'tvl', 'villas', 'rotate', 'somebody', 'session' FROM gen_random_uuid() AS id";
    sqlx::query(row).execute(&world.pool).await?;
    Ok(())
}

/// The unit's description is at the channel.
async fn is_at_the_channel(world: &World, account: u64, description: &str) -> anyhow::Result<()> {
    wait_until("the change is at the channel", Duration::from_secs(30), || async {
        let listings = world.sandbox.listings(account).await?;
        let there = listings.iter().any(|listing| listing["description"] == description);
        Ok(if there { Ok(()) } else { Err(format!("none of {} has {description}", listings.len())) })
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_taken_under_load_goes_on_beside_an_empty_nats() -> anyhow::Result<()> {
    let mut world = World::new(&[8600]).await?;
    let target = world.target(8600, RateLimit::new(40, 1_000)?).await?;
    let mut service = world.serve("")?;
    let units = names(60);
    under_load::begin(&world, 8600, target, &units).await?;
    // A read model as an older build may have left it: the journal says something else.
    let other = "UPDATE outbound_audit SET detail = 'of an older build' WHERE sync_id IN
        (SELECT sync_id FROM outbound_audit WHERE outcome <> 'pending' LIMIT 1)";
    assert_eq!(sqlx::query(other).execute(&world.pool).await?.rows_affected(), 1);
    let file = world.path("under-load.dump").display().to_string();
    a_secret_is_under_way(&world).await?;
    let report = world.script("backup", &[&file])?;
    assert!(report.contains("DISTRIBUTION_SECRETS_KEY"), "it says what else is to be kept: {report}");
    let refused = world.script("backup", &[&file]).expect_err("a backup is never overwritten");
    assert!(refused.to_string().contains("is there already"), "{refused}");

    // What comes after the backup is lost with the database, but for what the channel and the publishers have.
    world.drained(Duration::from_secs(60)).await?;
    let changed: Vec<_> = units[..20].iter().map(|name| described(name, 2, "After the backup.")).collect();
    world.publish(&changed).await?;
    world.taken(20, 2).await?;
    world.drained(Duration::from_secs(60)).await?;
    let program = end_to_end::process::binary("distribution")?.display().to_string();
    let refused = world.script("restore", &[&program, &file]).expect_err("the database is not empty");
    assert!(refused.to_string().contains("is not empty"), "{refused}");
    let refused = world.script("restore", &[&program, &file, "--replace"]).expect_err("it is in use");
    assert!(refused.to_string().contains("stop every process of the service first"), "{refused}");
    let refused = refused.to_string();
    assert!(refused.contains(", from ") && !refused.contains("only its role sees"), "and where they are: {refused}");
    assert!(service.stop()?);
    for kind in StreamKind::ALL {
        world.delete_stream(kind).await?;
    }
    // As where the backup is older than these ids, or another instance's.
    let identity = "UPDATE journal_identity SET id = gen_random_uuid() RETURNING id";
    let identity: Uuid = sqlx::query_scalar(identity).fetch_one(&world.pool).await?;

    let before = world.restore(&file).await?;
    let kept: Uuid = sqlx::query_scalar("SELECT id FROM journal_identity").fetch_one(&world.pool).await?;
    assert_eq!(kept, identity, "what takes a database's place is the journal that was there");
    let left = "SELECT count(*) FROM pending_secrets WHERE state = 'left'";
    assert_eq!(world.count(left).await?, 1, "its event may have come after the backup");
    let up_to = world.count("SELECT max(position) FROM events").await?;
    let original = world.pool_of(&before).await?;
    let lost: i64 =
        sqlx::query_scalar("SELECT count(*) FROM events WHERE position > $1").bind(up_to).fetch_one(&original).await?;
    assert!(lost >= 40, "the backup is older than what it replaces: {lost} events");
    assert_eq!(journal(&world.pool, up_to).await?, journal(&original, up_to).await?, "row for row");
    assert!(snapshots(&world.pool).await?.is_subset(&snapshots(&original).await?), "and the units that it refers to");
    original.close().await;
    world.read_models_are_right()?;

    let _service = world.serve("")?;
    world.nats.ensure_streams().await?;
    world.publish(&changed).await?;
    world.taken(20, 2).await?;
    world.drained(Duration::from_secs(120)).await?;
    world.publish(&[described("villa-007", 3, "After the restore.")]).await?;
    is_at_the_channel(&world, 8600, "After the restore.").await?;
    world.drained(Duration::from_secs(30)).await?;
    nothing_is_doubled(&world, 8600, 60, 40).await?;
    world.audit_is_whole().await?;
    world.read_models_are_right()?;
    let (code, printed, _) = world.run(&["doctor", "--allow-private-channels"])?;
    assert_eq!(code, 0, "{printed}");
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_database_goes_on_beside_newer_streams_and_takes_in_again_what_it_lost() -> anyhow::Result<()> {
    let mut world = World::new(&[8610]).await?;
    let target = world.target(8610, RateLimit::new(100, 1_000)?).await?;
    let mut service = world.serve("")?;
    let units = names(30);
    world.publish(&units.iter().map(|name| unit(name, 1)).collect::<Vec<_>>()).await?;
    world.taken(30, 1).await?;
    world.link(target, &units[..25]).await?;
    world.drained(Duration::from_secs(60)).await?;
    let file = world.path("older.dump").display().to_string();
    // What a backup that was killed has left goes with the next one, and what another one writes stays.
    let [left, in_use] = ["left", "in-use"].map(|name| world.path(&format!("{name}.dump.backup-partial")));
    std::fs::write(&left, "")?;
    let writes = std::fs::File::create(&in_use)?;
    writes.lock()?;
    world.script("backup", &[&file])?;
    assert!(!left.exists() && in_use.exists(), "of a killed one and of one that is under way");
    drop(writes);

    let changed: Vec<_> = units.iter().map(|name| described(name, 2, &format!("{name}, changed."))).collect();
    world.publish(&changed).await?;
    world.taken(30, 2).await?;
    world.link(target, &units[25..]).await?;
    world.drained(Duration::from_secs(60)).await?;
    let known = world.count("SELECT max(position) FROM events").await?;
    assert!(service.stop()?);

    // Twice: what is written after the first restore is lost as well, and readers of the streams have seen it.
    world.restore(&file).await?;
    assert!(world.count("SELECT max(position) FROM events").await? < known);
    let mut service = take_in_again(&world).await?;
    let told = world.count("SELECT max(position) FROM events").await?;
    wait_until("the streams have the journal of the first restore", Duration::from_secs(30), || async {
        let last = world.messages(StreamKind::Channels).await?.pop();
        let at = last.and_then(|last| position_header(Some(&last.headers), POSITION)).unwrap_or_default();
        Ok(if at.0 >= told { Ok(()) } else { Err(format!("at {} of {told}", at.0)) })
    })
    .await?;
    let lost = events_after(&world.pool, known).await?;
    assert!(lost.len() >= 25, "changes were taken in again: {lost:?}");
    assert!(service.stop()?);
    world.restore(&file).await?;
    assert!(world.count("SELECT max(position) FROM events").await? < known);
    let _service = take_in_again(&world).await?;
    let first_again: i64 = sqlx::query_scalar("SELECT min(position) FROM events WHERE position > $1")
        .bind(known)
        .fetch_one(&world.pool)
        .await?;
    assert!(first_again > told, "{first_again} was given before: the first restore came to {told}");
    // The links of that time are lost, and made again: what stands at the channel is found and taken up.
    world.link(target, &units[25..]).await?;
    world.drained(Duration::from_secs(120)).await?;
    nothing_is_doubled(&world, 8610, 30, 100).await?;
    world.audit_is_whole().await?;
    world.read_models_are_right()?;
    world.publish(&[described("villa-027", 3, "After the restore.")]).await?;
    is_at_the_channel(&world, 8610, "After the restore.").await?;
    world.drained(Duration::from_secs(30)).await?;

    // Whoever reads the streams sees all that the journal has, and never a position that is not beyond the one before.
    let (code, printed, _) = world.run(&["doctor", "--allow-private-channels"])?;
    assert!(code == 0 && printed.contains("at the journal's end"), "{printed}");
    let ids: Vec<Uuid> = sqlx::query_scalar("SELECT event_id FROM events").fetch_all(&world.pool).await?;
    let channels = world.messages(StreamKind::Channels).await?;
    let published: BTreeSet<_> = channels.iter().filter_map(|message| event_id(&message.headers)).collect();
    assert!(ids.iter().all(|id| published.contains(id)), "events are missing on CHANNELS");
    assert!(lost.iter().all(|id| published.contains(id)), "what the second restore lost had been told");
    let positions: Vec<_> =
        channels.iter().filter_map(|message| position_header(Some(&message.headers), POSITION)).collect();
    assert!(positions.is_sorted_by(|one, next| one < next), "a position comes twice");
    let told = "SELECT event_id FROM events WHERE event_type IN ('SyncAccepted', 'SyncSkipped')";
    let told: Vec<Uuid> = sqlx::query_scalar(told).fetch_all(&world.pool).await?;
    let audit = world.messages(StreamKind::Audit).await?;
    let audited: BTreeSet<_> = audit.iter().filter_map(|message| event_id(&message.headers)).collect();
    assert!(told.len() > 30 && told.iter().all(|id| audited.contains(id)), "ends of syncs are missing on AUDIT");
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_knows_no_locks_has_its_backup_all_the_same() -> anyhow::Result<()> {
    let world = World::new(&[]).await?;
    let [file, other] = ["now", "other"].map(|name| world.path(&format!("{name}.dump")).display().to_string());
    let partial = world.path("now.dump.backup-partial");
    let writes = std::fs::File::create(&partial)?;
    writes.lock()?;
    let refused = world.script("backup", &[&file]).expect_err("another one writes it");
    assert!(refused.to_string().contains("another backup writes"), "{refused}");
    drop(writes);

    // As on a share without locks: what flock fails by is not that somebody else has it.
    let tools = world.path("tools");
    std::fs::create_dir(&tools)?;
    let flock = tools.join("flock");
    std::fs::write(&flock, "#!/bin/sh\necho 'flock: 8: No locks available' >&2\nexit 71\n")?;
    std::fs::set_permissions(&flock, std::fs::Permissions::from_mode(0o755))?;
    let path = format!("{}:{}", tools.display(), std::env::var("PATH")?);
    world.script_with(&[("PATH", path.as_str())], "backup", &[&other])?;
    assert!(std::path::Path::new(&other).is_file(), "it is there");
    assert!(partial.exists(), "where nothing can be held nothing is cleared away");
    world.script("backup", &[&file])?;
    assert!(!partial.exists(), "nobody writes it any more");
    world.close().await
}
