//! On the first day tables are empty, and plans are made of that: they must not read whole tables once these have grown.

use std::time::Duration;

use domain::window::RateLimit;
use end_to_end::unit::{described, names, unit};
use end_to_end::wait::wait_until;
use end_to_end::world::World;

/// How often the journal was read from end to end, and how often by an index.
async fn scans(world: &World) -> anyhow::Result<(i64, i64)> {
    Ok((
        world.count("SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'events'").await?,
        world.count("SELECT idx_scan FROM pg_stat_user_tables WHERE relname = 'events'").await?,
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_reads_the_whole_journal_for_a_sync_by_a_plan_of_before_it_had_events() -> anyhow::Result<()> {
    const UNITS: usize = 20;
    const CHANGES: u64 = 20;
    let world = World::new(&[8790]).await?;
    // Nobody analyses it: Postgres would after a minute, and plans are made anew then.
    sqlx::raw_sql("ALTER TABLE events SET (autovacuum_enabled = off)").execute(&world.pool).await?;
    let target = world.target(8790, RateLimit::new(1_000, 1_000)?).await?;
    let units = names(UNITS);
    world.link(target, &units).await?;
    let _service = world.serve("")?;
    let first: Vec<_> = units.iter().map(|name| unit(name, 1)).collect();
    world.publish(&first).await?;
    world.taken(20, 1).await?;
    world.drained(Duration::from_secs(60)).await?;
    for revision in 2..=CHANGES {
        let changed: Vec<_> =
            units.iter().map(|name| described(name, revision, &format!("It is {revision}."))).collect();
        world.publish(&changed).await?;
        world.taken(20, i64::try_from(revision)?).await?;
        world.drained(Duration::from_secs(60)).await?;
    }
    wait_until("Postgres tells of its scans", Duration::from_secs(30), || async {
        let (whole, by_index) = scans(&world).await?;
        Ok(if by_index > 500 { Ok(()) } else { Err(format!("{whole} whole, {by_index} by an index")) })
    })
    .await?;
    let (whole, by_index) = scans(&world).await?;
    assert!(whole < by_index / 20, "{whole} scans of the whole journal beside {by_index} by an index");
    world.close().await
}
