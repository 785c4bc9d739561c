//! The work: each unit's steps in their order, each target's in theirs. What they leave is the model.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use adapters::nats::Nats;
use anyhow::{Context as _, ensure};
use domain::ids::{ListingId, OrgId, TargetId, UnitId};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

use crate::clock::now_us;
use crate::plan::{ORGS, PLACES, Plan, TargetPlan, TargetStep, UnitPlan, UnitStep};
use crate::published::Published;
use crate::unit::Unit;
use crate::world::{World, prefix};

/// From one look whether NATS has lost what was published to the next. Each asks with a key of its own: a sync may come
/// twice.
const BETWEEN_LOOKS: Duration = Duration::from_secs(10);

/// What everybody here says who is asked for a reason.
pub const REASON: &str = "torture";
/// How a sync may have ended that nobody got what they wanted of.
const IN_VAIN: [&str; 4] = ["exhausted", "unauthorised", "rejected", "cancelled"];
/// Syncs of a listing that one to retry is chosen of.
const LATELY: usize = 20;

/// A sync that was retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retried {
    /// That one.
    pub of: Uuid,
    /// The sync that it became.
    pub by: Uuid,
}

/// How a unit should stand.
#[derive(Debug, Clone)]
pub struct UnitModel {
    /// Which of `ORGS` it belongs to.
    pub org: usize,
    /// Its name.
    pub unit_id: String,
    /// Its newest revision.
    pub unit: Unit,
    /// When NATS took that revision.
    pub published: Published,
    /// The targets that it is linked to.
    pub linked: BTreeSet<usize>,
    /// The targets that it was ever linked to.
    pub ever: BTreeSet<usize>,
    /// Syncs of it that were retried.
    pub retries: Vec<Retried>,
}

/// What the work came to.
#[derive(Debug, Default)]
pub struct Done {
    /// Every unit.
    pub units: Vec<UnitModel>,
    /// Every retry.
    pub retries: Vec<Retried>,
    /// Steps that were refused or came to no end: none should be.
    pub failures: Vec<String>,
}

/// The listing of a unit on one of `PLACES`.
pub fn listing_id(world: &World, unit_id: &str, place: usize) -> anyhow::Result<ListingId> {
    Ok(ListingId::of(TargetId(world.targets[place]), &UnitId::new(unit_id)?))
}

/// Does all of it. A step gets so long for its answer.
pub async fn run(world: &Arc<World>, plan: &Plan, began: Instant, patience: Duration) -> anyhow::Result<Done> {
    let nats = world.connect_nats().await?;
    let mut units = JoinSet::new();
    for plan in &plan.units {
        let (world, nats, plan) = (world.clone(), nats.clone(), plan.clone());
        units.spawn(async move { Worker { world: &world, nats: &nats, patience }.unit(&plan, began).await });
    }
    let mut targets = JoinSet::new();
    for (place, plan) in plan.targets.iter().cloned().enumerate() {
        let world = world.clone();
        targets.spawn(async move { target(&world, place, &plan, began, patience).await });
    }
    let mut done = Done::default();
    while let Some(ended) = units.join_next().await {
        let (mut model, failure) = ended?;
        done.retries.append(&mut model.retries);
        done.failures.extend(failure.map(|error| format!("{}: {error:#}", model.unit_id)));
        done.units.push(model);
    }
    while let Some(ended) = targets.join_next().await {
        done.failures.extend(ended?.err().map(|error| format!("a target: {error:#}")));
    }
    done.units.sort_by(|one, other| one.unit_id.cmp(&other.unit_id));
    Ok(done)
}

async fn at(began: Instant, at_ms: u64) {
    tokio::time::sleep_until(began + Duration::from_millis(at_ms)).await;
}

async fn target(
    world: &World,
    place: usize,
    plan: &TargetPlan,
    began: Instant,
    patience: Duration,
) -> anyhow::Result<()> {
    let path = format!("/api/channels/targets/{}", world.targets[place]);
    let caller = &world.callers[PLACES[place].org];
    for (at_ms, step) in &plan.steps {
        at(began, *at_ms).await;
        let (verb, body) = match step {
            TargetStep::Pause => ("pause", Some(json!({ "reason": REASON }))),
            TargetStep::Resume => ("resume", None),
        };
        caller.change(Method::POST, &format!("{path}/{verb}"), body.as_ref(), patience).await?;
    }
    Ok(())
}

/// Publishes a unit until NATS has taken it; gives when that was.
pub async fn publish(
    nats: &Nats,
    org: usize,
    unit_id: &str,
    unit: &Unit,
    patience: Duration,
) -> anyhow::Result<Published> {
    let subject = prefix()?.unit_changed(&OrgId::new(ORGS[org])?, &UnitId::new(unit_id)?);
    let body = serde_json::to_vec(&unit.body())?;
    let deadline = Instant::now() + patience;
    loop {
        let began_us = now_us();
        let sent = nats.jetstream.publish(subject.clone(), body.clone().into()).await;
        let error = match sent {
            Ok(ack) => match ack.await {
                Ok(ack) => return Ok(Published { began_us, acked_us: now_us(), sequence: ack.sequence }),
                Err(error) => error,
            },
            Err(error) => error,
        };
        if Instant::now() > deadline {
            return Err(error).context("NATS took no message");
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// The sync of a page of the audit that is retried: of those in vain, or else of all that have ended, the one so far back.
fn retried(page: &Value, back: usize) -> Option<&Value> {
    let syncs = || page["items"].as_array().into_iter().flatten().filter(|sync| sync["outcome"] != "pending");
    let is_in_vain = |sync: &&Value| sync["outcome"].as_str().is_some_and(|outcome| IN_VAIN.contains(&outcome));
    let in_vain: Vec<&Value> = syncs().filter(is_in_vain).collect();
    let of: Vec<&Value> = if in_vain.is_empty() { syncs().collect() } else { in_vain };
    of.get(back.min(of.len().saturating_sub(1))).copied()
}

fn id_of(sync: &Value) -> anyhow::Result<Uuid> {
    let id = sync["sync_id"].as_str().with_context(|| format!("{sync} has an id"))?;
    Ok(id.parse()?)
}

struct Worker<'a> {
    world: &'a World,
    nats: &'a Nats,
    patience: Duration,
}

impl Worker<'_> {
    async fn unit(&self, plan: &UnitPlan, began: Instant) -> (UnitModel, Option<anyhow::Error>) {
        let unit_id = plan.unit_id();
        let mut model = UnitModel {
            org: plan.org,
            unit: Unit::new(ORGS[plan.org], unit_id.clone()),
            unit_id,
            published: Published::default(),
            linked: BTreeSet::new(),
            ever: BTreeSet::new(),
            retries: Vec::new(),
        };
        for (at_ms, step) in &plan.steps {
            at(began, *at_ms).await;
            if let Err(error) = self.step(&mut model, *step).await {
                return (model, Some(error.context(format!("{step:?}"))));
            }
        }
        (model, None)
    }

    async fn step(&self, model: &mut UnitModel, step: UnitStep) -> anyhow::Result<()> {
        let reason = json!({ "reason": REASON });
        match step {
            UnitStep::Publish(change) => {
                model.unit.change(change);
                model.published = publish(self.nats, model.org, &model.unit_id, &model.unit, self.patience).await?;
            }
            UnitStep::Link(place) => {
                let body = json!({ "target_id": self.world.targets[place], "unit_id": model.unit_id });
                self.change(model, Method::POST, "/api/channels/listings", Some(&body)).await?;
                model.linked.insert(place);
                model.ever.insert(place);
            }
            UnitStep::Unlink(place) => {
                let path = format!("/api/channels/listings/{}", listing_id(self.world, &model.unit_id, place)?);
                self.change(model, Method::DELETE, &path, Some(&reason)).await?;
                model.linked.remove(&place);
            }
            UnitStep::Sync(place) => self.sync(model, place, &reason).await?,
            UnitStep::Retry(place, back) => self.retry(model, place, back).await?,
            UnitStep::Pause(place) => self.on_listing(model, place, "pause", Some(&reason)).await?,
            UnitStep::Resume(place) => self.on_listing(model, place, "resume", None).await?,
        }
        Ok(())
    }

    /// What NATS had taken and lost in a wipe before anybody took it in is published once more, or there would be
    /// nothing to sync.
    async fn sync(&self, model: &mut UnitModel, place: usize, reason: &Value) -> anyhow::Result<()> {
        let path = format!("/api/channels/listings/{}/sync", listing_id(self.world, &model.unit_id, place)?);
        let began = Instant::now();
        loop {
            let asked = self.world.callers[model.org].change(Method::POST, &path, Some(reason), BETWEEN_LOOKS).await;
            let Err(error) = asked else { return Ok(()) };
            if began.elapsed() > self.patience || error.to_string().starts_with("refused") {
                return Err(error);
            }
            if self.world.may_have_lost(&model.published) {
                model.published = publish(self.nats, model.org, &model.unit_id, &model.unit, self.patience).await?;
            }
        }
    }

    /// Sends the state of an ended sync once more, one in vain where there is any. Before the first has ended there is none.
    async fn retry(&self, model: &mut UnitModel, place: usize, back: usize) -> anyhow::Result<()> {
        let listing = listing_id(self.world, &model.unit_id, place)?;
        let caller = &self.world.callers[model.org];
        let lately = format!("/api/channels/audit?listing_id={listing}&limit={LATELY}");
        let syncs = caller.read(&lately, self.patience).await?;
        let Some(sync) = retried(&syncs, back) else { return Ok(()) };
        let path = format!("/api/channels/listings/{listing}/retry");
        let body = json!({ "reason": REASON, "sync_id": sync["sync_id"] });
        let asked = caller.change(Method::POST, &path, Some(&body), self.patience).await?;
        ensure!(asked["snapshot"] == sync["snapshot"], "a retry of {sync} was answered with {asked}");
        model.retries.push(Retried { of: id_of(sync)?, by: id_of(&asked)? });
        Ok(())
    }

    async fn on_listing(
        &self,
        model: &UnitModel,
        place: usize,
        verb: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<()> {
        let path = format!("/api/channels/listings/{}/{verb}", listing_id(self.world, &model.unit_id, place)?);
        self.change(model, Method::POST, &path, body).await
    }

    async fn change(&self, model: &UnitModel, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<()> {
        self.world.callers[model.org].change(method, path, body, self.patience).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_in_vain_is_retried_first_and_one_under_way_never() {
        let page = |outcomes: &[&str]| {
            let sync = |(number, outcome)| json!({ "sync_id": number, "outcome": outcome });
            json!({ "items": (0..).zip(outcomes).map(sync).collect::<Vec<Value>>() })
        };
        let number = |page: &Value, back| retried(page, back).and_then(|sync| sync["sync_id"].as_u64());
        let mixed = page(&["pending", "accepted", "cancelled", "superseded", "exhausted"]);
        assert_eq!([0, 1, 2].map(|back| number(&mixed, back)), [Some(2), Some(4), Some(4)]);
        let fine = page(&["pending", "accepted", "superseded"]);
        assert_eq!([0, 1, 3].map(|back| number(&fine, back)), [Some(1), Some(2), Some(2)]);
        assert_eq!(number(&page(&["pending"]), 0), None);
    }
}
