//! Taking a batch in: keep the snapshots, find the listings, ask each for a sync, and say what became of each message.
//! What fails, fails for the messages that it concerns.

use std::collections::{BTreeMap, HashMap, HashSet};

use adapters::telemetry::Stage;
use domain::hash::SnapshotHash;
use domain::ids::{OrgId, UnitId};
use domain::listing::{Cause, ListingError};
use domain::metadata::{Actor, Metadata};
use domain::target::Target;
use domain::text::trace_id;
use domain::unit::Problem;
use futures::{StreamExt, stream};

use super::decode::Incoming;
use super::followers::{Change, Follower, Followers, keep};
use super::verdict::{Failed, Verdict};
use crate::commands::CommandError;
use crate::syncing::{Snapshot, Syncing};

/// What the log names of a message, as far as it says.
#[derive(Debug, Clone, Default)]
pub(super) struct Named {
    pub trace_id: Option<String>,
    pub org_id: Option<String>,
    pub unit_id: Option<String>,
    pub revision: Option<u64>,
}

impl Named {
    fn of(message: &Incoming) -> Self {
        let (org_id, unit_id) = message.named.as_ref().map(|(org, unit)| (org.to_string(), unit.to_string())).unzip();
        Self {
            trace_id: trace_id(message.stage.traceparent().as_deref()).map(str::to_owned),
            org_id,
            unit_id,
            revision: message.unit.as_ref().ok().map(|(unit, _)| unit.revision.into()),
        }
    }

    /// The tenant that it is counted for.
    fn tallied(&self) -> String {
        self.org_id.clone().unwrap_or_else(|| "-".to_owned())
    }
}

/// A batch that was taken in.
#[derive(Debug)]
pub(super) struct Taken {
    /// One for each message, in order.
    pub verdicts: Vec<Verdict>,
    /// What the log names of each.
    pub named: Vec<Named>,
    /// The snapshots that were kept.
    pub kept: Vec<SnapshotHash>,
    stages: Vec<Stage>,
}

impl Taken {
    pub(super) async fn take(syncing: &Syncing, incoming: Vec<Incoming>, concurrent: usize) -> anyhow::Result<Self> {
        let named: Vec<Named> = incoming.iter().map(Named::of).collect();
        let orgs = named.iter().map(Named::tallied).collect();
        let mut stages = Vec::with_capacity(incoming.len());
        match judge(syncing, incoming, orgs, &mut stages, concurrent).await {
            Ok((verdicts, kept)) => Ok(Self { verdicts, named, kept, stages }),
            Err(error) => {
                fail(&mut stages, &error);
                Err(error)
            }
        }
    }

    /// All of them come again.
    pub(super) fn fail_stages(&mut self, error: &anyhow::Error) {
        fail(&mut self.stages, error);
    }

    /// Ends each message's part of its trace, with what became of it.
    pub(super) fn end_stages(&mut self) {
        for (mut stage, verdict) in self.stages.drain(..).zip(&self.verdicts) {
            stage.set("distribution.intake.verdict", verdict.told());
            match verdict {
                Verdict::DeadLetter(problems) => {
                    stage.fail(problems.as_slice().first().map(ToString::to_string).unwrap_or_default());
                }
                Verdict::Failed(failed) => stage.fail(failed.reason().to_owned()),
                _ => {}
            }
        }
    }

    /// How many messages of which tenant ended how. What comes again is not counted yet.
    pub(super) fn counts(&self) -> BTreeMap<(String, &'static str), i64> {
        let mut counts = BTreeMap::new();
        for (message, verdict) in self.named.iter().zip(&self.verdicts) {
            if let Some(name) = verdict.name() {
                *counts.entry((message.tallied(), name)).or_default() += 1;
            }
        }
        counts
    }

    /// Tells the log what became of each message, where somebody looks that closely.
    pub(super) fn log_each(&self) {
        for (Named { trace_id, org_id, unit_id, revision }, verdict) in self.named.iter().zip(&self.verdicts) {
            let verdict = verdict.told();
            tracing::debug!(trace_id, org_id, unit_id, revision, verdict, "judged a unit change");
        }
    }

    /// What the log can name of all of them together: of a message that is alone everything, of more the org where it is one.
    pub(super) fn in_common(&self) -> Named {
        match self.named.as_slice() {
            [alone] => alone.clone(),
            [first, others @ ..] if others.iter().all(|other| other.org_id == first.org_id) => {
                Named { org_id: first.org_id.clone(), ..Named::default() }
            }
            _ => Named::default(),
        }
    }
}

fn fail(stages: &mut Vec<Stage>, error: &anyhow::Error) {
    for mut stage in stages.drain(..) {
        stage.fail(format!("{error:#}"));
    }
}

/// What becomes of each message, in order, and the snapshots that were kept; with `stages` of their traces, which are there whatever goes
/// wrong.
async fn judge(
    syncing: &Syncing,
    incoming: Vec<Incoming>,
    orgs: HashSet<String>,
    stages: &mut Vec<Stage>,
    concurrent: usize,
) -> anyhow::Result<(Vec<Verdict>, Vec<SnapshotHash>)> {
    let mut messages = Vec::with_capacity(incoming.len());
    for Incoming { unit, without_body, stage, correlation_id, source, .. } in incoming {
        let unit = unit.map_err(|problems| {
            if without_body {
                // Somebody has changed the consumer: once that is mended the message comes whole.
                let reason = "it came without its body: the consumer gives out headers alone";
                Verdict::Failed(Failed::new(reason, true))
            } else {
                Verdict::dead_letter(problems)
            }
        });
        messages.push((unit, correlation_id, source, stage.traceparent()));
        stages.push(stage);
    }
    let known = syncing.commands().journal().known_orgs(orgs).await?;
    let mut verdicts = Vec::with_capacity(messages.len());
    let mut changes: Vec<Change> = Vec::new();
    for (index, (unit, correlation_id, source, traceparent)) in messages.into_iter().enumerate() {
        verdicts.push(match unit {
            Err(verdict) => verdict,
            Ok((unit, _)) if !known.contains(unit.org_id.as_str()) => unknown_org(&unit.org_id),
            Ok((unit, snapshot)) => {
                changes.push(Change { index, unit, snapshot, correlation_id, source, traceparent });
                Verdict::Unlinked
            }
        });
    }
    // First the units, then the links: see `Journal::listings_of_units`.
    let not_kept = keep(syncing, &changes).await?;
    changes.retain(|change| !not_kept.contains_key(&change.index));
    // Postgres has the texts now, and nobody here asks for them again.
    changes.iter_mut().for_each(|change| change.snapshot.body = String::new());
    let followers = Followers::find(syncing, &changes, concurrent).await?;
    let mut by_unit: HashMap<(&OrgId, &UnitId), Vec<&Change>> = HashMap::new();
    for change in &changes {
        by_unit.entry((&change.unit.org_id, &change.unit.unit_id)).or_default().push(change);
    }
    // The changes of one listing go in order; all listings, also those of one unit, at the same time.
    let work = by_unit.iter().flat_map(|(unit, changes)| {
        followers.of(unit.0, unit.1).iter().map(move |follower| request_all(syncing, follower, changes))
    });
    let work: Vec<_> = work.collect();
    let judged: Vec<Vec<(usize, Verdict)>> = stream::iter(work).buffer_unordered(concurrent).collect().await;
    for (index, verdict) in judged.into_iter().flatten().chain(not_kept) {
        verdicts[index].include(verdict);
    }
    Ok((verdicts, changes.iter().map(|change| change.snapshot.hash).collect()))
}

fn unknown_org(org: &OrgId) -> Verdict {
    let reason = format!("{org} is not known here: create its first target, then replay this message");
    Verdict::dead_letter(vec![Problem { field: "org_id".to_owned(), reason }])
}

/// Asks one listing for each of its unit's changes, in order.
async fn request_all(syncing: &Syncing, follower: &Follower, changes: &[&Change]) -> Vec<(usize, Verdict)> {
    let mut judged = Vec::with_capacity(changes.len());
    for change in changes {
        let verdict = match &follower.target {
            Ok(target) => request_one(syncing, follower, target, change).await,
            Err(failed) => Verdict::Failed(failed.clone()),
        };
        judged.push((change.index, verdict));
    }
    judged
}

async fn request_one(syncing: &Syncing, follower: &Follower, target: &Target, change: &Change) -> Verdict {
    let metadata = Metadata {
        org_id: change.unit.org_id.clone(),
        account_id: target.account_id.clone(),
        target_id: follower.target_id,
        unit_id: Some(change.unit.unit_id.clone()),
        actor: Actor::service("intake"),
        correlation_id: change.correlation_id,
        on_behalf_of: None,
        source: change.source.clone(),
        causation_id: None,
        traceparent: change.traceparent.clone(),
    };
    let snapshot = Snapshot { unit: &change.unit, hash: change.snapshot.hash };
    let asked = syncing.request(follower.listing_id, target, snapshot, Cause::UnitChanged, &metadata).await;
    match asked {
        Ok(_) => Verdict::Taken,
        Err(CommandError::Refused(ListingError::DuplicateRevision(_))) => Verdict::Duplicate,
        Err(CommandError::Refused(ListingError::StaleRevision { .. })) => Verdict::Stale,
        Err(CommandError::Refused(ListingError::UnitElsewhere)) => Verdict::Elsewhere,
        Err(CommandError::Refused(ListingError::Unlinked | ListingError::NotFound)) => Verdict::Unlinked,
        Err(error) => Verdict::Failed(Failed::of(&format!("listing {}", follower.listing_id), &error)),
    }
}
