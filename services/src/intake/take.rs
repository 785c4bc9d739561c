//! Taking a batch in: keep the snapshots, find the listings, ask each for a sync, and say what became of each message.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};

use adapters::event_store::LinkedListing;
use adapters::units::UnitSnapshot;
use domain::hash::SnapshotHash;
use domain::ids::{OrgId, TargetId, UnitId};
use domain::listing::{Cause, ListingError};
use domain::metadata::{Actor, Metadata};
use domain::target::{Settings, TargetError};
use domain::unit::{Problem, UnitChanged};
use futures::{StreamExt, TryStreamExt, stream};
use uuid::Uuid;

use super::decode::Incoming;
use crate::commands::CommandError;
use crate::syncing::{Snapshot, Syncing};

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// At least one listing follows.
    Taken,
    /// The unit is kept; no listing follows it.
    Unlinked,
    /// This revision was taken before.
    Duplicate,
    /// A newer revision was taken before.
    Stale,
    /// It cannot be used.
    DeadLetter(Vec<Problem>),
}

impl Verdict {
    fn name(&self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Unlinked => "unlinked",
            Self::Duplicate => "duplicate_revision",
            Self::Stale => "older_revision",
            Self::DeadLetter(_) => "dead_letter",
        }
    }
}

/// A batch that was taken in.
#[derive(Debug)]
pub(super) struct Taken {
    /// One for each message, in order.
    pub verdicts: Vec<Verdict>,
    orgs: Vec<String>,
}

/// One usable message.
struct Change {
    index: usize,
    unit: UnitChanged,
    hash: SnapshotHash,
    correlation_id: Uuid,
    traceparent: Option<String>,
}

impl Taken {
    pub(super) async fn take(syncing: &Syncing, incoming: Vec<Incoming>, concurrent: usize) -> anyhow::Result<Self> {
        let orgs = incoming.iter().map(|m| m.org.clone().unwrap_or_else(|| "-".to_owned())).collect::<Vec<_>>();
        let known: HashSet<String> = {
            let wanted: HashSet<String> = orgs.iter().cloned().collect();
            let wanted: Vec<String> = wanted.into_iter().collect();
            syncing.commands().journal().known_orgs(&wanted).await?.into_iter().collect()
        };
        let mut verdicts = Vec::with_capacity(incoming.len());
        let mut changes: Vec<Change> = Vec::new();
        for (index, message) in incoming.into_iter().enumerate() {
            verdicts.push(match message.unit {
                Err(problems) => Verdict::DeadLetter(problems),
                Ok((unit, _)) if !known.contains(unit.org_id.as_str()) => unknown_org(&unit.org_id),
                Ok((unit, hash)) => {
                    let (correlation_id, traceparent) = (message.correlation_id, message.traceparent);
                    changes.push(Change { index, unit, hash, correlation_id, traceparent });
                    Verdict::Unlinked
                }
            });
        }
        // First the units, then the links: see `Journal::listings_of_units`.
        keep(syncing, &changes).await?;
        let followers = Followers::find(syncing, &changes).await?;
        // The changes of one unit go in order, those of different units at the same time.
        let mut by_unit: HashMap<(OrgId, UnitId), Vec<Change>> = HashMap::new();
        for change in changes {
            by_unit.entry((change.unit.org_id.clone(), change.unit.unit_id.clone())).or_default().push(change);
        }
        let judged: Vec<Vec<(usize, Verdict)>> = stream::iter(by_unit.into_values())
            .map(|changes| request_all(syncing, &followers, changes))
            .buffer_unordered(concurrent)
            .try_collect()
            .await?;
        for (index, verdict) in judged.into_iter().flatten() {
            verdicts[index] = verdict;
        }
        Ok(Self { verdicts, orgs })
    }

    /// How many messages of which tenant ended how.
    pub(super) fn counts(&self) -> BTreeMap<(String, &'static str), i64> {
        let mut counts = BTreeMap::new();
        for (org, verdict) in self.orgs.iter().zip(&self.verdicts) {
            *counts.entry((org.clone(), verdict.name())).or_default() += 1;
        }
        counts
    }
}

fn unknown_org(org: &OrgId) -> Verdict {
    let reason = format!("{org} is not known here: create its first target, then replay this message");
    Verdict::DeadLetter(vec![Problem { field: "org_id".to_owned(), reason }])
}

async fn keep(syncing: &Syncing, changes: &[Change]) -> anyhow::Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let snapshots: Vec<UnitSnapshot> = changes
        .iter()
        .map(|change| UnitSnapshot {
            hash: change.hash,
            org_id: change.unit.org_id.clone(),
            account_id: change.unit.account_id.clone(),
            unit_id: change.unit.unit_id.clone(),
            revision: change.unit.revision.get(),
            body: change.unit.raw.clone(),
        })
        .collect();
    Ok(syncing.units().keep(&snapshots).await?)
}

/// The listings that follow the units of a batch, and their targets.
struct Followers {
    listings: HashMap<(OrgId, UnitId), Vec<LinkedListing>>,
    targets: HashMap<TargetId, Settings>,
}

impl Followers {
    async fn find(syncing: &Syncing, changes: &[Change]) -> anyhow::Result<Self> {
        let units: HashSet<(OrgId, UnitId)> =
            changes.iter().map(|change| (change.unit.org_id.clone(), change.unit.unit_id.clone())).collect();
        let units: Vec<(OrgId, UnitId)> = units.into_iter().collect();
        let linked = syncing.commands().journal().listings_of_units(&units).await?;
        let mut listings: HashMap<(OrgId, UnitId), Vec<LinkedListing>> = HashMap::new();
        let mut targets = HashMap::new();
        for listing in linked {
            if let Entry::Vacant(target) = targets.entry(listing.target_id) {
                match syncing.commands().load_target(listing.target_id).await?.live() {
                    Ok(settings) => drop(target.insert(settings.clone())),
                    // What a deleted target had is nobody's any more.
                    Err(TargetError::Deleted | TargetError::NotFound) => continue,
                    Err(error) => return Err(error.into()),
                }
            }
            listings.entry((listing.org_id.clone(), listing.unit_id.clone())).or_default().push(listing);
        }
        Ok(Self { listings, targets })
    }
}

/// Takes the changes of one unit, in order.
async fn request_all(
    syncing: &Syncing,
    followers: &Followers,
    changes: Vec<Change>,
) -> anyhow::Result<Vec<(usize, Verdict)>> {
    let mut judged = Vec::with_capacity(changes.len());
    for change in changes {
        let unit = (change.unit.org_id.clone(), change.unit.unit_id.clone());
        let mut verdict = Verdict::Unlinked;
        for listing in followers.listings.get(&unit).into_iter().flatten() {
            let Some(target) = followers.targets.get(&listing.target_id) else { continue };
            match request_one(syncing, listing, target, &change).await? {
                Verdict::Unlinked => {}
                // One listing that follows is enough; the weaker verdicts only stand where none does.
                Verdict::Taken => verdict = Verdict::Taken,
                other if verdict != Verdict::Taken => verdict = other,
                _ => {}
            }
        }
        judged.push((change.index, verdict));
    }
    Ok(judged)
}

async fn request_one(
    syncing: &Syncing,
    listing: &LinkedListing,
    target: &Settings,
    change: &Change,
) -> anyhow::Result<Verdict> {
    let metadata = Metadata {
        org_id: change.unit.org_id.clone(),
        account_id: target.account_id.clone(),
        target_id: listing.target_id,
        unit_id: Some(change.unit.unit_id.clone()),
        actor: Actor::service("intake"),
        correlation_id: change.correlation_id,
        on_behalf_of: None,
        causation_id: None,
        traceparent: change.traceparent.clone(),
    };
    let snapshot = Snapshot { unit: &change.unit, hash: change.hash };
    let asked = syncing.request(listing.listing_id, target, snapshot, Cause::UnitChanged, &metadata).await;
    match asked {
        Ok(_) => Ok(Verdict::Taken),
        Err(CommandError::Refused(ListingError::DuplicateRevision(_))) => Ok(Verdict::Duplicate),
        Err(CommandError::Refused(ListingError::StaleRevision { .. })) => Ok(Verdict::Stale),
        Err(CommandError::Refused(ListingError::Unlinked | ListingError::NotFound)) => Ok(Verdict::Unlinked),
        Err(error) => Err(error.into()),
    }
}
