//! A queue that lags shows what is over, or waits for a later time: a dispatcher asks the journal, makes no call, and leaves the row alone.

use std::time::Duration;

use domain::ids::TargetId;
use domain::window::RateLimit;
use end_to_end::process::Process;
use end_to_end::unit::{described, names, unit};
use end_to_end::wait::wait_until;
use end_to_end::world::World;
use serde_json::json;

/// Any dispatcher may look at the queue's row, as after the mark of an older build. Waits until one has, and leaves it alone for so long.
async fn is_looked_at_and_left_alone(world: &World, target: TargetId, row: &str, at_least: &str) -> anyhow::Result<()> {
    let shown = format!(
        "UPDATE rate_scopes SET paused_until = now();
         {row};
         UPDATE dispatch_leases SET lease_until = '-infinity';
         INSERT INTO dispatch_wakes VALUES ('{target}', now())"
    );
    // One transaction.
    sqlx::raw_sql(&shown).execute(&world.pool).await?;
    let left_alone =
        format!("SELECT count(*) FROM dispatch_leases WHERE done AND lease_until > now() + interval '{at_least}'");
    wait_until("the row is left alone", Duration::from_secs(40), || async {
        let left_alone = world.count(&left_alone).await?;
        Ok(if left_alone == 1 { Ok(()) } else { Err("it is not".to_owned()) })
    })
    .await
}

/// A listing whose first state is at the channel, beside a service of all roles.
async fn synced(account: u64) -> anyhow::Result<(World, TargetId, Process, String)> {
    let world = World::new(&[account]).await?;
    let target = world.target(account, RateLimit::new(100, 1_000)?).await?;
    let service = world.serve("")?;
    let units = names(1);
    world.link(target, &units).await?;
    world.publish(&[unit(&units[0], 1)]).await?;
    world.taken(1, 1).await?;
    world.drained(Duration::from_secs(30)).await?;
    Ok((world, target, service, units[0].clone()))
}

async fn accepted(world: &World) -> anyhow::Result<i64> {
    world.count("SELECT count(*) FROM events WHERE event_type = 'SyncAccepted'").await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_attempt_is_made_before_its_time_whatever_the_queue_shows() -> anyhow::Result<()> {
    let (world, target, _service, name) = synced(8752).await?;
    let refused_once = json!({"kind": "rate_limited", "retry_after_s": 600, "method": "PUT", "count": 1});
    world.sandbox.fault(refused_once).await?;
    world.publish(&[described(&name, 2, "Not yet.")]).await?;
    wait_until("the next attempt is due later", Duration::from_secs(30), || async {
        let deferred = "SELECT count(*) FROM sync_queue q JOIN dispatch_leases d USING (listing_id)
             WHERE q.ordinal = 2 AND q.tries = 1 AND q.due_at > now() + interval '5 minutes' AND d.done
                 AND d.lease_until > q.due_at";
        Ok(if world.count(deferred).await? == 1 { Ok(()) } else { Err("it is not".to_owned()) })
    })
    .await?;

    let before_the_attempt = "UPDATE sync_queue SET tries = 0, due_at = now()";
    is_looked_at_and_left_alone(&world, target, before_the_attempt, "5 minutes").await?;
    assert_eq!(accepted(&world).await?, 1, "no call was made");
    assert_ne!(world.sandbox.listings(8752).await?[0]["description"], "Not yet.");
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_what_is_over_is_left_alone_for_minutes_and_a_newer_one_passes() -> anyhow::Result<()> {
    let (world, target, _service, name) = synced(8753).await?;
    wait_until("its lease is done", Duration::from_secs(30), || async {
        let done = world.count("SELECT count(*) FROM dispatch_leases WHERE done").await?;
        Ok(if done == 1 { Ok(()) } else { Err("it is not".to_owned()) })
    })
    .await?;

    let stale = "INSERT INTO sync_queue (listing_id, org_id, account_id, target_id, sync_id, ordinal, tries, snapshot,
             revision, needs, rank, due_at, requested_at, position)
         SELECT listing_id, org_id, account_id, target_id, sync_id, 1, 0, snapshot, 1, '{rates}', now(), now(), now(), 1
         FROM outbound_audit";
    is_looked_at_and_left_alone(&world, target, stale, "4 minutes").await?;
    assert_eq!(accepted(&world).await?, 1, "no call was made");
    world.publish(&[described(&name, 2, "Newer.")]).await?;
    world.are_at_the_channel(8753, 1, "Newer.", Duration::from_secs(30)).await?;
    world.close().await
}
