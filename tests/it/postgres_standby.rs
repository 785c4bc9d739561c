//! A primary that is lost and a standby that takes over: `DATABASE_URL` leads to it, and every process starts again, as
//! ON_CALL.md says.

use std::time::Duration;

use domain::window::RateLimit;
use end_to_end::postgres_server::PostgresServer;
use end_to_end::server_tools::Tools;
use end_to_end::under_load;
use end_to_end::unit::{all_described, names, unit};
use end_to_end::wait::wait_until;
use end_to_end::world::{Beginning, World};
use sqlx::PgPool;

/// From the promotion to the last state at the channel.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the journal says up to a position.
async fn journal(pool: &PgPool, up_to: i64) -> anyhow::Result<String> {
    let sql = "SELECT md5(string_agg(e::text, '|' ORDER BY position)) FROM events AS e WHERE position <= $1";
    Ok(sqlx::query_scalar(sql).bind(up_to).fetch_one(pool).await?)
}

/// From now on a commit of the primary waits until its standby has it on its disk.
async fn keep_in_step(primary: &PostgresServer) -> anyhow::Result<()> {
    let mut admin = primary.admin().await?;
    sqlx::query("ALTER SYSTEM SET synchronous_standby_names = '*'").execute(&mut admin).await?;
    sqlx::query("SELECT pg_reload_conf()").execute(&mut admin).await?;
    wait_until("the standby is in step", Duration::from_secs(20), || async {
        let sql = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        let count: i64 = sqlx::query_scalar(sql).fetch_one(&mut primary.admin().await?).await?;
        Ok(if count == 1 { Ok(()) } else { Err("it is not".to_owned()) })
    })
    .await
}

/// The most calls in a window, wherever it begins.
async fn fullest_window(world: &World, account: u64, window_ms: u64) -> anyhow::Result<Option<u64>> {
    let summary = world.sandbox.get(&format!("/summary?window_ms={window_ms}")).await?;
    Ok(summary["accounts"][account.to_string()]["worst_window"].as_u64())
}

/// kill -9 of the primary under load.
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_in_step_takes_over_and_nothing_is_lost() -> anyhow::Result<()> {
    let tools = Tools::find()?;
    let folder = tools.temporary_folder()?;
    let mut primary = PostgresServer::start(&tools, folder.path()).await?;
    let standby = primary.standby(folder.path()).await?;
    keep_in_step(&primary).await?;
    let beginning = Beginning { database_url: Some(primary.url()), ..Beginning::default() };
    let mut world = World::begin(beginning, &[8700]).await?;
    let target = world.target(8700, RateLimit::new(30, 2_000)?).await?;
    let mut service = world.serve("")?;
    let units = names(60);
    under_load::begin(&world, 8700, target, &units).await?;

    // Whoever saw an event before the loss has to find it afterwards.
    let seen = world.count("SELECT max(position) FROM events").await?;
    let before = journal(&world.pool, seen).await?;
    primary.kill();
    world.publish(&all_described(&units, 2, "While there was no primary.")).await?;
    standby.promote().await?;
    assert!(service.stopped().await?, "a stop without Postgres ends well: {}", service.printed());
    world.move_to(&standby.url()).await?;
    assert_eq!(journal(&world.pool, seen).await?, before, "an event that was seen is lost");
    let _service = world.serve("")?;
    world.publish(&all_described(&units, 3, "After the promotion.")).await?;
    world.taken(60, 3).await?;
    world.are_at_the_channel(8700, 60, "After the promotion.", PATIENCE).await?;
    world.read_models_are_right()?;
    let worst = fullest_window(&world, 8700, 2_000).await?;
    assert!(worst <= Some(30), "{worst:?} calls came within 2 s, where 30 may");
    world.close().await
}

const LIMIT: u32 = 12;
const WINDOW_MS: u32 = 10_000;

/// What is left when a standby has taken over that had heard nothing of a whole window of calls.
struct AfterLostTail {
    world: World,
    /// When calls arrived since the standby was in step last, in microseconds since the epoch.
    times: Vec<u64>,
    _standby: PostgresServer,
    _folder: tempfile::TempDir,
}

async fn lose_the_tail(account: u64) -> anyhow::Result<AfterLostTail> {
    let tools = Tools::find()?;
    let folder = tools.temporary_folder()?;
    let mut primary = PostgresServer::start(&tools, folder.path()).await?;
    let standby = primary.standby(folder.path()).await?;
    let beginning = Beginning { database_url: Some(primary.url()), ..Beginning::default() };
    let mut world = World::begin(beginning, &[account]).await?;
    let target = world.target(account, RateLimit::new(100, 1_000)?).await?;
    let mut service = world.serve("")?;
    let units = names(12);
    world.publish(&units.iter().map(|name| unit(name, 1)).collect::<Vec<_>>()).await?;
    world.taken(12, 1).await?;
    world.link(target, &units).await?;
    world.drained(Duration::from_secs(60)).await?;
    let (code, _, error) = world.run(&["target", "rate-limit", &target.to_string(), "12/10s"])?;
    assert_eq!(code, 0, "{error}");
    let slots = format!("SELECT count(*) FROM rate_slots WHERE scope = 'target:{target}'");
    wait_until("the new limit holds, and every slot is free", Duration::from_secs(30), || async {
        let taken = world.count(&format!("{slots} AND free_at > now()")).await?;
        let rest =
            world.count(&format!("SELECT rest_ms::bigint FROM rate_scopes WHERE scope = 'target:{target}'")).await?;
        let holds = taken == 0 && rest >= i64::from(WINDOW_MS);
        Ok(if holds { Ok(()) } else { Err(format!("{taken} taken, a rest of {rest} ms")) })
    })
    .await?;
    primary.is_followed_by(&standby).await?;
    standby.cut_off().await?;

    let known = world.sandbox.arrivals(account).await?.len();
    world.publish(&all_described(&units, 2, "In the lost tail.")).await?;
    wait_until("the window is used", Duration::from_secs(8), || async {
        let calls = world.sandbox.arrivals(account).await?.len() - known;
        Ok(if calls >= 10 { Ok(()) } else { Err(format!("{calls} calls")) })
    })
    .await?;
    let position = world.count("SELECT max(position) FROM events").await?;
    primary.kill();
    service.kill();
    standby.promote().await?;
    world.move_to(&standby.url()).await?;
    let kept = world.count("SELECT max(position) FROM events").await?;
    assert!(kept + 12 <= position, "nothing was lost: {kept} of {position}");

    let service = world.serve("")?;
    let (code, _, error) = world.run(&["unit", "reread"])?;
    assert_eq!(code, 0, "{error}");
    wait_until("what was lost is taken in again", Duration::from_secs(60), || async {
        let have = world.count("SELECT count(*) FROM channel_listings WHERE revision = 2").await?;
        Ok(if have == 12 { Ok(()) } else { Err(format!("{have} of 12")) })
    })
    .await?;
    world.publish(&all_described(&units, 3, "After the promotion.")).await?;
    world.are_at_the_channel(account, 12, "After the promotion.", PATIENCE).await?;
    world.read_models_are_right()?;
    let printed = service.printed();
    assert!(printed.contains("events that the journal lost"), "the relay says it: {printed}");
    let arrivals = world.sandbox.arrivals(account).await?;
    let times = arrivals[known..].iter().filter_map(|arrival| arrival["at_us"].as_u64()).collect();
    Ok(AfterLostTail { world, times, _standby: standby, _folder: folder })
}

/// Slots that were taken in the lost tail are free on the standby: unless every window counts as used up there, they are given
/// again within it.
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_without_the_end_of_the_journal_takes_in_again_what_is_lost_and_gives_no_slot_twice()
-> anyhow::Result<()> {
    let mut after = lose_the_tail(8710).await?;
    after.times.sort_unstable();
    let window_us = u64::from(WINDOW_MS) * 1_000;
    let within = |first: &u64| after.times.iter().filter(|at| (*first..*first + window_us).contains(at)).count();
    let worst = after.times.iter().map(within).max().unwrap_or_default();
    assert!(worst <= usize::try_from(LIMIT)?, "{worst} calls came within {WINDOW_MS} ms, where {LIMIT} may");
    after.world.close().await
}
