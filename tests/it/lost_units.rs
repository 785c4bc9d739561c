//! Units that a failover loses after they were stored and before the syncs are asked for: both were to be in Postgres before anything is
//! acknowledged, and each was on another server.

use std::time::Duration;

use domain::window::RateLimit;
use end_to_end::unit::{all_described, names, unit};
use end_to_end::wait::wait_until;
use end_to_end::world::World;

/// With the first sync of a second revision the units of that are gone, once, as if the sync were written on a server that had never got
/// them.
const LOSES: &str = "
CREATE TABLE loses AS SELECT true AS once;
CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM public.loses;
    IF FOUND THEN
        DELETE FROM public.units WHERE revision = 2;
        DELETE FROM public.unit_snapshots WHERE revision = 2;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER lose AFTER INSERT ON events FOR EACH ROW WHEN (NEW.event_type = 'SyncRequested') EXECUTE FUNCTION lose()";

/// The dispatcher is another process, so that it has them from Postgres alone.
#[tokio::test(flavor = "multi_thread")]
async fn units_that_a_failover_loses_come_again_and_their_syncs_go_out() -> anyhow::Result<()> {
    let world = World::new(&[8790]).await?;
    let target = world.target(8790, RateLimit::new(100, 1_000)?).await?;
    let intake = world.serve("intake,relay,projector")?;
    let _dispatcher = world.serve("dispatcher")?;
    let units = names(3);
    world.publish(&units.iter().map(|name| unit(name, 1)).collect::<Vec<_>>()).await?;
    world.taken(3, 1).await?;
    world.link(target, &units).await?;
    world.drained(Duration::from_secs(60)).await?;

    sqlx::raw_sql(LOSES).execute(&world.pool).await?;
    world.publish(&all_described(&units, 2, "Lost and found.")).await?;
    world.are_at_the_channel(8790, 3, "Lost and found.", Duration::from_secs(90)).await?;
    assert_eq!(world.count("SELECT count(*) FROM loses").await?, 0, "they were lost");
    let printed = intake.printed();
    assert!(printed.contains("of those stored a moment ago: all that came with them comes again"), "{printed}");
    world.taken(3, 2).await?;
    let counted = world.count("SELECT sum(count)::bigint FROM intake_tally").await?;
    assert_eq!(counted, 6, "what comes again is counted once");
    assert_eq!(world.count("SELECT count(*) FROM outbound_audit WHERE outcome <> 'accepted'").await?, 0);
    world.close().await
}

/// Until the intake has it again. What was asked for long ago has nothing to wait for.
#[tokio::test(flavor = "multi_thread")]
async fn a_sync_waits_some_minutes_for_a_unit_that_is_not_there() -> anyhow::Result<()> {
    let world = World::new(&[8791]).await?;
    let target = world.target(8791, RateLimit::new(100, 1_000)?).await?;
    let _service = world.serve("intake,relay,projector")?;
    let units = names(2);
    world.publish(&all_described(&units, 1, "It came.")).await?;
    world.taken(2, 1).await?;
    let listings = world.link(target, &units).await?;
    wait_until("both wait", Duration::from_secs(30), || async {
        let waiting = world.count("SELECT count(*) FROM sync_queue").await?;
        Ok(if waiting == 2 { Ok(()) } else { Err(format!("{waiting} do")) })
    })
    .await?;
    sqlx::raw_sql("CREATE TABLE aside AS TABLE unit_snapshots; DELETE FROM unit_snapshots")
        .execute(&world.pool)
        .await?;
    sqlx::query(
        "UPDATE events SET recorded_at = recorded_at - interval '10 minutes'
         WHERE aggregate_id = $1 AND event_type = 'SyncRequested'",
    )
    .bind(listings[1].to_string())
    .execute(&world.pool)
    .await?;

    let _dispatcher = world.serve("dispatcher")?;
    wait_until("the old one is given up", Duration::from_secs(60), || async {
        let rejected = world.count("SELECT count(*) FROM outbound_audit WHERE outcome = 'rejected'").await?;
        Ok(if rejected > 0 { Ok(()) } else { Err("nothing is".to_owned()) })
    })
    .await?;
    // Time for it to be taken up once more.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let waiting = "SELECT count(*) FROM outbound_audit WHERE outcome = 'pending' AND listing_id::text = ";
    assert_eq!(world.count(&format!("{waiting}'{}'", listings[0])).await?, 1, "the new one waits");
    sqlx::raw_sql("INSERT INTO unit_snapshots TABLE aside").execute(&world.pool).await?;
    world.are_at_the_channel(8791, 1, "It came.", Duration::from_secs(60)).await?;
    world.close().await
}
