//! One round of the gate: open the due lanes, share their free slots out, write the claims, hand the slots over.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use adapters::dispatch::{Claims, Lane, Lease, RoundRequest};
use domain::ids::TargetId;
use domain::port::Stopped;
use domain::window::Scope;
use futures::future::join_all;
use tokio::time::Instant;

use super::gate::{Gate, PAUSE, POLL};
use super::message::Message;
use super::work::work;
use crate::slots::allocation::{Allocation, Grantee, STRANGERS_REST, allocate};
use crate::slots::boot_instant::BootInstant;
use crate::slots::granted::Granted;
use crate::slots::hold;
use crate::slots::permit::SlotEnd;
use crate::slots::waiting::Wishes;

/// Lanes that one round looks at.
const LANES: i64 = 500;
/// Due listings that one lane shows in one round.
const PER_LANE: usize = 64;
/// A target that could not be read is tried again after so long.
const UNREADABLE: Duration = Duration::from_secs(5);
/// A lane that is in another dispatcher's round is free again after some milliseconds.
const TAKEN: Duration = Duration::from_millis(10);

impl Gate {
    /// One round over the due lanes. Says whether it gave anything, in which case there may be more.
    pub(super) async fn round(&mut self) -> Result<bool, sqlx::Error> {
        self.waiting.drop_gone();
        let asked = self.waiting.due(Instant::now());
        let capacity = self.shared.options.concurrency.saturating_sub(self.active.len());
        if capacity == 0 && asked.is_empty() {
            return Ok(false);
        }
        let whole = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let request = RoundRequest {
            waiting: asked.clone(),
            due: capacity > 0,
            lanes: LANES,
            per_lane: whole(PER_LANE.min(capacity)),
            capacity: whole(capacity),
        };
        let shared = self.shared.clone();
        let mut round = shared.store.open_round(&request).await?;
        let closed: HashMap<TargetId, Stopped> = round.closed.iter().copied().collect();
        self.waiting.stop(|want| closed.get(&want.target_id).copied());
        for target in asked.iter().filter(|target| !round.lanes.iter().any(|lane| lane.target_id == **target)) {
            self.waiting.rest(*target, TAKEN);
        }
        if round.lanes.is_empty() {
            return Ok(false);
        }
        let mut lanes = std::mem::take(&mut round.lanes);
        for lane in &mut lanes {
            lane.candidates.retain(|candidate| !self.active.contains_key(&candidate.lease.listing_id));
            if self.is_stale(lane) {
                // Its limits are not in the tables yet: nothing starts there before they are.
                lane.free.clear();
            }
        }
        let egress = Scope::Egress(self.shared.options.egress.clone()).to_string();
        let mut shared = round.shared_scopes(&scopes(&lanes, &egress)).await?;
        // Before the grants are written: what this clock says is over is over in the table too.
        let at = BootInstant::now();
        let waiting = if self.shared.options.is_held(at.since(self.held_since)) {
            self.waiting_in(&lanes)
        } else {
            // They wait until their leases are extended, or are lost.
            BTreeMap::new()
        };
        let mut allocation = allocate(&lanes, &waiting, &mut shared, &egress, &self.under_way(), capacity);
        let unreadable = lanes.iter().filter(|lane| self.unreadable.contains(&lane.target_id));
        allocation.rests.extend(unreadable.map(|lane| (lane.target_id, UNREADABLE)));
        let hold = hold(self.shared.options.call_timeout);
        let leased = round.write(&claims(&lanes, &allocation), hold, self.shared.options.lease()).await?;
        let gave = !allocation.grants.is_empty();
        for grant in allocation.grants {
            let granted = Granted { hold: grant.hold, at };
            match grant.grantee {
                Grantee::Waiting(wish) => {
                    if let Some(granted) = self.waiting.hand_over(wish, granted) {
                        let _ = self.outbox.send(Message::Slot(SlotEnd::Unused(granted.hold)));
                    }
                }
                Grantee::New(candidate) if leased.contains(&candidate.lease.listing_id) => {
                    self.start(candidate.lease, granted);
                }
                Grantee::New(_) => {
                    let _ = self.outbox.send(Message::Slot(SlotEnd::Unused(granted.hold)));
                }
            }
        }
        self.rest_waiting(&lanes, &allocation.rests);
        Ok(self.ensure_limits(&lanes).await? || gave)
    }

    fn is_stale(&self, lane: &Lane) -> bool {
        self.ensured.get(&lane.target_id) != Some(&lane.version)
    }

    fn waiting_in(&self, lanes: &[Lane]) -> BTreeMap<TargetId, Wishes> {
        lanes.iter().map(|lane| (lane.target_id, self.waiting.wishes(lane.target_id))).collect()
    }

    fn under_way(&self) -> HashMap<TargetId, usize> {
        let mut count = HashMap::new();
        for lease in self.active.values() {
            *count.entry(lease.target_id).or_default() += 1;
        }
        count
    }

    fn start(&mut self, lease: Lease, granted: Granted) {
        self.active.insert(lease.listing_id, lease);
        self.workers.spawn(work(self.shared.clone(), lease, granted, self.outbox.clone(), self.stopping.clone()));
    }

    /// Calls still wait in some of these lanes: when is it worth to look again?
    fn rest_waiting(&mut self, lanes: &[Lane], rests: &[(TargetId, Duration)]) {
        for lane in lanes {
            if self.is_stale(lane) {
                continue;
            }
            let shared = rests.iter().find(|(target, _)| *target == lane.target_id).map(|(_, rest)| *rest);
            let own = lane.next_free_s.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default());
            let rest = match shared {
                Some(rest) if lane.strangers_scopes.is_some() => rest.clamp(PAUSE, STRANGERS_REST),
                rest => rest.or(own).unwrap_or(POLL).clamp(PAUSE, POLL),
            };
            self.waiting.rest(lane.target_id, rest);
        }
    }

    /// Brings the limits of accounts up to date that a target changed whose own lane is not looked at: a paused one,
    /// a deleted one, or one without work.
    pub(super) async fn ensure_account_limits(&self) -> Result<(), sqlx::Error> {
        let changed = self.shared.store.changed_account_limits().await?;
        if changed.is_empty() { Ok(()) } else { self.shared.store.ensure_scopes(&changed).await }
    }

    /// Brings the limits of targets that were seen for the first time, or changed, into the tables.
    async fn ensure_limits(&mut self, lanes: &[Lane]) -> Result<bool, sqlx::Error> {
        let stale: Vec<&Lane> = lanes.iter().filter(|lane| self.is_stale(lane)).collect();
        if stale.is_empty() {
            return Ok(false);
        }
        let (mut readable, mut known) = (Vec::new(), Vec::new());
        // Together, as one statement loads many.
        let loaded = join_all(stale.iter().map(|lane| self.shared.commands.load_target_at(lane.target_id))).await;
        for (lane, loaded) in stale.into_iter().zip(&loaded) {
            let (target, version) = match loaded {
                Ok((target, version)) => (target, *version),
                Err(error) => {
                    tracing::warn!(target_id = %lane.target_id, error = %error, "a target could not be read");
                    self.unreadable.insert(lane.target_id);
                    continue;
                }
            };
            readable.extend(target.target().map(|target| (target, version)));
            self.unreadable.remove(&lane.target_id);
            known.push((lane.target_id, lane.version));
        }
        self.shared.store.ensure_limits_of(&readable).await?;
        let any = !known.is_empty();
        self.ensured.extend(known);
        Ok(any)
    }
}

/// The scopes that these lanes fall under with others.
fn scopes(lanes: &[Lane], egress: &str) -> Vec<String> {
    let mut scopes: Vec<String> = lanes.iter().flat_map(Lane::shared_scopes).map(str::to_owned).collect();
    scopes.push(egress.to_owned());
    scopes.sort();
    scopes.dedup();
    scopes
}

fn claims(lanes: &[Lane], allocation: &Allocation) -> Claims {
    let leases = allocation.grants.iter().filter_map(|grant| match &grant.grantee {
        Grantee::New(candidate) => Some(candidate.lease),
        Grantee::Waiting(_) => None,
    });
    let leases: Vec<Lease> = leases.collect();
    let mut begun: HashMap<TargetId, usize> = HashMap::new();
    for lease in &leases {
        *begun.entry(lease.target_id).or_default() += 1;
    }
    let left = |lane: &&Lane| lane.candidates.len() > begun.get(&lane.target_id).copied().unwrap_or(0);
    Claims {
        more: lanes.iter().filter(left).map(|lane| lane.target_id).collect(),
        leases,
        holds: allocation.grants.iter().map(|grant| grant.hold.clone()).collect(),
        rests: allocation.rests.clone(),
    }
}
