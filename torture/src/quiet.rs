//! Waiting until nothing is to be done any more, and what an operator does about what is left then.

use std::time::Duration;

use adapters::nats::Nats;
use adapters::nats::topology::StreamKind;
use anyhow::Context as _;
use domain::outcome::SyncOutcome;
use domain::recorded::Position;
use end_to_end::wait::wait_until;
use reqwest::Method;
use serde_json::json;
use services::relay::StreamEnd;
use sqlx::PgPool;

use crate::plan::ORGS;
use crate::workload::{UnitModel, publish};
use crate::world::World;

/// One number from the database.
pub async fn count(pool: &PgPool, sql: &str) -> anyhow::Result<i64> {
    sqlx::query_scalar(sql).fetch_one(pool).await.with_context(|| sql.to_owned())
}

/// Waits until every message is taken in, every sync has ended, and streams and read models have the whole journal.
pub async fn until_quiet(world: &World, nats: &Nats, limit: Duration) -> anyhow::Result<()> {
    wait_until("all is quiet", limit, || async {
        // What cannot be asked now is not quiet.
        Ok(match unrest(world, nats).await {
            Ok(None) => Ok(()),
            Ok(Some(unrest)) => Err(unrest),
            Err(error) => Err(format!("{error:#}")),
        })
    })
    .await
}

/// Listings that lack a revision which is stored.
const BEHIND: &str = "
SELECT count(*) FROM channel_listings AS c JOIN units AS u USING (org_id, unit_id)
WHERE c.state <> 'unlinked' AND (c.revision IS NULL OR c.revision < u.revision)";

/// What still goes on, in words.
async fn unrest(world: &World, nats: &Nats) -> anyhow::Result<Option<String>> {
    let intake = nats.intake_state().await?.context("no intake has come up")?;
    let head = count(&world.pool, "SELECT coalesce(max(position), 0) FROM events").await?;
    let applied = count(&world.pool, "SELECT coalesce(min(position), 0) FROM projection_checkpoints").await?;
    let queued = count(&world.pool, "SELECT count(*) FROM sync_queue").await?;
    let pending = count(&world.pool, "SELECT count(*) FROM outbound_audit WHERE outcome = 'pending'").await?;
    // The intake looks for these now and then.
    let behind = count(&world.pool, BEHIND).await?;
    let relayed = relayed(nats).await?.0;
    let acked = intake.waiting == 0 && unacked(nats).await? == 0;
    let quiet = acked && applied >= head && queued == 0 && pending == 0 && behind == 0 && relayed >= head;
    let words = format!(
        "{} messages wait, all acknowledged: {acked}, {queued} queued, {pending} pending, {behind} behind, read models at {applied} and \
         streams at {relayed} of {head}",
        intake.waiting
    );
    Ok((!quiet).then_some(words))
}

async fn unacked(nats: &Nats) -> anyhow::Result<usize> {
    let mut consumer =
        nats.stream(StreamKind::Units).await?.get_consumer("intake").await.map_err(anyhow::Error::from_boxed)?;
    let consumer: &mut async_nats::jetstream::consumer::PullConsumer = &mut consumer;
    Ok(consumer.info().await?.num_ack_pending)
}

/// Up to which position the events are out.
async fn relayed(nats: &Nats) -> anyhow::Result<Position> {
    Ok(match StreamEnd::of(nats, StreamKind::Channels).await? {
        StreamEnd::Event { position, .. } => position,
        StreamEnd::Foreign | StreamEnd::Empty { .. } => Position::default(),
    })
}

/// Publishes once more what NATS had taken and lost in a wipe, as a publisher does who is told of it. Gives how many
/// there were, and every unit whose change is lost otherwise: without a wipe, or in one before which the intake had
/// acknowledged it.
pub async fn republish(world: &World, nats: &Nats, units: &mut [UnitModel]) -> anyhow::Result<(u64, Vec<String>)> {
    let (mut republished, mut lost) = (0, Vec::new());
    for model in units.iter_mut().filter(|model| model.unit.revision > 0) {
        let taken: Option<i64> = sqlx::query_scalar("SELECT revision FROM units WHERE org_id = $1 AND unit_id = $2")
            .bind(ORGS[model.org])
            .bind(&model.unit_id)
            .fetch_optional(&world.pool)
            .await?;
        let wanted = i64::try_from(model.unit.revision)?;
        if taken == Some(wanted) {
            continue;
        }
        if world.may_have_lost(&model.published) {
            let patience = Duration::from_secs(30);
            model.published = publish(nats, model.org, &model.unit_id, &model.unit, patience).await?;
            republished += 1;
        } else {
            lost.push(format!("{} revision {wanted} was published and not taken in: {taken:?}", model.unit_id));
        }
    }
    Ok((republished, lost))
}

const ENDED_BADLY: &str = "
SELECT org_id, listing_id, last_outcome, coalesce(last_detail, '') FROM channel_listings
WHERE state = 'active' AND last_outcome = ANY ($1)";

/// Asks once more for syncs that failed five times while the channel was down, as an operator does. Gives how many there
/// were, and what failed in a way that nothing here should lead to; whether the channel was why, `checks/outcomes.rs` asks.
pub async fn retry_exhausted(world: &World) -> anyhow::Result<(u64, Vec<String>)> {
    let failed: Vec<(String, uuid::Uuid, String, String)> =
        sqlx::query_as(ENDED_BADLY).bind(SyncOutcome::failures()).fetch_all(&world.pool).await?;
    let (mut exhausted, mut wrong) = (0, Vec::new());
    for (org, listing, outcome, detail) in failed {
        exhausted += 1;
        if outcome != "exhausted" {
            wrong.push(format!("listing {listing} of {org} ended as {outcome}: {detail}"));
        }
        let caller = ORGS.iter().position(|name| *name == org).map(|org| &world.callers[org]);
        let path = format!("/api/channels/listings/{listing}/sync");
        let body = json!({ "reason": "it was exhausted" });
        let caller = caller.context("a listing belongs to an organisation of ours")?;
        caller.change(Method::POST, &path, Some(&body), Duration::from_secs(60)).await?;
    }
    Ok((exhausted, wrong))
}
