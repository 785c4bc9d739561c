//! The changes of a batch, their snapshots in the store, and the listings that follow their units.

use std::collections::{HashMap, HashSet};

use adapters::units::UnitSnapshot;
use domain::ids::{ListingId, OrgId, TargetId, UnitId};
use domain::target::{Target, TargetError};
use domain::unit::UnitChanged;
use futures::{StreamExt, stream};
use uuid::Uuid;

use super::verdict::{Failed, Verdict};
use crate::syncing::Syncing;

/// One usable message.
pub(super) struct Change {
    pub index: usize,
    pub unit: UnitChanged,
    /// Its text is there until it is kept.
    pub snapshot: UnitSnapshot,
    pub correlation_id: Uuid,
    pub source: Option<String>,
    pub traceparent: Option<String>,
}

/// Keeps the snapshots. Those that the database refuses are given back, by the index of their message.
pub(super) async fn keep(syncing: &Syncing, changes: &[Change]) -> Result<HashMap<usize, Verdict>, sqlx::Error> {
    let mut refused = HashMap::new();
    if changes.is_empty() {
        return Ok(refused);
    }
    let snapshots: Vec<&UnitSnapshot> = changes.iter().map(|change| &change.snapshot).collect();
    match syncing.units().keep(&snapshots).await {
        Err(error) if is_of_the_data(&error) => {}
        other => return other.map(|()| refused),
    }
    for change in changes {
        match syncing.units().keep(std::slice::from_ref(&change.snapshot)).await {
            Err(error) if is_of_the_data(&error) => {
                let failed = Failed::new(&format!("the unit cannot be stored: {error}"), true);
                refused.insert(change.index, Verdict::Failed(failed));
            }
            other => other?,
        }
    }
    Ok(refused)
}

/// The database refuses this unit, and always will: bad data, a constraint, a limit (SQLSTATE classes 22, 23 and 54).
/// Everything else is its own trouble, a full disk or a failover, and passes.
fn is_of_the_data(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| ["22", "23", "54"].iter().any(|class| code.starts_with(class)))
}

/// A listing that follows a unit.
pub(super) struct Follower {
    pub listing_id: ListingId,
    pub target_id: TargetId,
    /// Its target, or why it cannot be had.
    pub target: Result<Target, Failed>,
}

/// The listings that follow the units of a batch.
pub(super) struct Followers(HashMap<(OrgId, UnitId), Vec<Follower>>);

impl Followers {
    pub(super) async fn find(syncing: &Syncing, changes: &[Change], concurrent: usize) -> Result<Self, sqlx::Error> {
        let units: HashSet<(OrgId, UnitId)> =
            changes.iter().map(|change| (change.unit.org_id.clone(), change.unit.unit_id.clone())).collect();
        let units: Vec<(OrgId, UnitId)> = units.into_iter().collect();
        let linked = syncing.commands().journal().listings_of_units(&units).await?;
        let targets: HashSet<TargetId> = linked.iter().map(|listing| listing.target_id).collect();
        let targets: HashMap<TargetId, Option<Result<Target, Failed>>> = stream::iter(targets)
            .map(|target| async move { (target, live(syncing, target).await) })
            .buffer_unordered(concurrent)
            .collect()
            .await;
        let mut followers: HashMap<(OrgId, UnitId), Vec<Follower>> = HashMap::new();
        for listing in linked {
            let Some(Some(target)) = targets.get(&listing.target_id) else { continue };
            let (listing_id, target_id, target) = (listing.listing_id, listing.target_id, target.clone());
            let follower = Follower { listing_id, target_id, target };
            followers.entry((listing.org_id, listing.unit_id)).or_default().push(follower);
        }
        Ok(Self(followers))
    }

    pub(super) fn of(&self, org: &OrgId, unit: &UnitId) -> &[Follower] {
        self.0.get(&(org.clone(), unit.clone())).map_or(&[], Vec::as_slice)
    }
}

/// A target that is there. What a deleted one had is nobody's any more.
async fn live(syncing: &Syncing, target: TargetId) -> Option<Result<Target, Failed>> {
    match syncing.commands().load_target(target).await {
        Err(error) => Some(Err(Failed::of(&format!("target {target}"), &error))),
        Ok(loaded) => match loaded.live() {
            Ok(live) => Some(Ok(live.clone())),
            Err(TargetError::Deleted | TargetError::NotFound) => None,
            Err(error) => Some(Err(Failed::new(&format!("target {target}: {error}"), true))),
        },
    }
}
