//! Histories: commands go to the real aggregates, and what those decide is drafted for the journal.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use domain::call::{CallPurpose, CallRecord};
use domain::channel::{ChannelKind, RejectedPart, Section, SectionHashes};
use domain::hash::{PayloadHash, SnapshotHash};
use domain::ids::{AccountId, ExternalId, ListingId, OrgId, SyncId, TargetId, UnitId};
use domain::listing::{Cause, ChannelListing, LinkListing, ListingCommand, Progress, RequestSync, SyncReport};
use domain::metadata::{Actor, Metadata};
use domain::outcome::OutcomeClass;
use domain::target::{ChannelTarget, NewTarget, TargetCommand};
use domain::window::RateLimit;
use uuid::Uuid;

use crate::journal::Draft;

/// When the first event of a story is recorded; each one after it a second later.
pub fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

/// The target number `n`.
pub fn target(n: u32) -> TargetId {
    TargetId(Uuid::from_u128(0xA000 + u128::from(n)))
}

/// The unit number `n`.
pub fn unit(n: u32) -> UnitId {
    UnitId::new(format!("unit-{n}")).unwrap()
}

/// The snapshot of a unit's revision.
pub fn snapshot(unit: &UnitId, revision: u64) -> SnapshotHash {
    SnapshotHash::of_parts(&[unit.as_str(), &revision.to_string()])
}

/// Hashes of sections; an equal `look` is equal at the channel.
pub fn sections(sections: &[Section], look: u64) -> SectionHashes {
    let hash = |section: &Section| PayloadHash::of_parts(&[section.as_str(), &look.to_string()]);
    sections.iter().map(|section| (*section, hash(section))).collect()
}

/// A story in the making.
pub struct Story {
    targets: HashMap<TargetId, (ChannelTarget, i64)>,
    listings: HashMap<ListingId, (ChannelListing, i64)>,
    drafts: Vec<Draft>,
    told: i64,
    calls: u128,
}

impl Story {
    pub fn new() -> Self {
        Self { targets: HashMap::new(), listings: HashMap::new(), drafts: Vec::new(), told: 0, calls: 0 }
    }

    /// What was decided since the last time.
    pub fn take(&mut self) -> Vec<Draft> {
        std::mem::take(&mut self.drafts)
    }

    /// When the next event is recorded.
    pub fn now(&self) -> DateTime<Utc> {
        start() + TimeDelta::seconds(self.told)
    }

    pub fn listing(&self, target: TargetId, unit: &UnitId) -> Option<&ChannelListing> {
        self.listings.get(&ListingId::of(target, unit)).map(|(listing, _)| listing)
    }

    /// Gives a command to a target; a refusal leaves nothing behind. Says how many events there were.
    pub fn command_target(&mut self, id: TargetId, command: TargetCommand) -> usize {
        let (aggregate, _) = self.targets.entry(id).or_default();
        let command = match command {
            // Seen with the credentials of now.
            TargetCommand::ReportHealth { health, reason, .. } => {
                let credential_epoch = aggregate.target().map_or(0, |target| target.credential_epoch);
                TargetCommand::ReportHealth { health, reason, credential_epoch }
            }
            other => other,
        };
        let events = aggregate.decide(command).unwrap_or_default();
        for event in &events {
            let (aggregate, sequence) = self.targets.get_mut(&id).unwrap();
            aggregate.evolve(event.clone());
            *sequence += 1;
            let (sequence, payload) = (*sequence, serde_json::to_value(event).unwrap());
            self.draft("ChannelTarget", id.0, sequence, event.type_name(), payload, metadata(id, None));
        }
        events.len()
    }

    /// Gives a command to a listing.
    pub fn command_listing(&mut self, target: TargetId, unit: &UnitId, command: ListingCommand) -> usize {
        let id = ListingId::of(target, unit);
        let (aggregate, _) = self.listings.entry(id).or_default();
        let events = aggregate.decide(command).unwrap_or_default();
        for event in &events {
            let (aggregate, sequence) = self.listings.get_mut(&id).unwrap();
            aggregate.evolve(event.clone());
            *sequence += 1;
            let (sequence, payload) = (*sequence, serde_json::to_value(event).unwrap());
            let metadata = metadata(target, Some(unit.clone()));
            self.draft("ChannelListing", id.0, sequence, event.type_name(), payload, metadata);
        }
        events.len()
    }

    fn draft(
        &mut self,
        aggregate_type: &'static str,
        aggregate_id: Uuid,
        sequence: i64,
        event_type: &'static str,
        payload: serde_json::Value,
        metadata: Metadata,
    ) {
        let recorded_at = self.now();
        self.told += 1;
        self.drafts.push(Draft { aggregate_type, aggregate_id, sequence, event_type, payload, metadata, recorded_at });
    }

    pub fn create_target(&mut self, id: TargetId) -> usize {
        let new = NewTarget {
            target_id: id,
            org_id: org(),
            account_id: account(),
            name: "Villas".to_owned(),
            channel: ChannelKind::Hostaway,
            base_url: "https://api.example.org/v1".to_owned(),
            channel_account: "10450".to_owned(),
            credential: "file:villas".parse().unwrap(),
            rate_limit: RateLimit::default(),
            account_rate_limit: None,
        };
        self.command_target(id, TargetCommand::Create(new))
    }

    pub fn link(&mut self, target: TargetId, unit: &UnitId) -> usize {
        let link = LinkListing {
            org_id: org(),
            account_id: account(),
            unit_id: unit.clone(),
            target_id: target,
            unit_account_id: None,
            external_id: None,
            afresh: false,
        };
        self.command_listing(target, unit, ListingCommand::Link(link))
    }

    /// Asks for a sync of all sections of a revision.
    pub fn request(&mut self, target: TargetId, unit: &UnitId, cause: Cause, revision: u64) -> usize {
        self.request_sections(target, unit, cause, revision, sections(&Section::ALL, revision))
    }

    pub fn request_sections(
        &mut self,
        target: TargetId,
        unit: &UnitId,
        cause: Cause,
        revision: u64,
        sections: SectionHashes,
    ) -> usize {
        let wish = RequestSync {
            cause,
            snapshot_org: org(),
            snapshot_account: account(),
            snapshot_unit: unit.clone(),
            snapshot: snapshot(unit, revision),
            revision,
            sections,
            rejected: Vec::new(),
            origin: domain::listing::Origin {
                correlation_id: uuid::Uuid::nil(),
                requested_by: "tester".to_owned(),
                traceparent: None,
            },
        };
        self.command_listing(target, unit, ListingCommand::RequestSync(wish))
    }

    /// The sync that waits.
    pub fn pending(&self, target: TargetId, unit: &UnitId) -> Option<(SyncId, u64, SectionHashes)> {
        let pending = self.listing(target, unit)?.pending()?;
        Some((pending.sync_id, pending.ordinal, pending.sections.clone()))
    }

    /// Reports the end of an attempt that made `calls` calls.
    pub fn report(
        &mut self,
        job: (SyncId, u64, SectionHashes),
        class: Option<OutcomeClass>,
        calls: u128,
    ) -> SyncReport {
        let (sync_id, ordinal, sections) = job;
        let started_at = self.now() - TimeDelta::milliseconds(700);
        let accepted = class.is_some_and(OutcomeClass::succeeded);
        let rejected = RejectedPart {
            section: Section::Content,
            part: "unit.amenities[4]".to_owned(),
            value: "moat".to_owned(),
            reason: "Hostaway has no such amenity".to_owned(),
        };
        let call = |n: u128| CallRecord {
            request_id: Uuid::from_u128(0xC000_0000 + n),
            purpose: CallPurpose::Calendar,
            method: "PUT".to_owned(),
            path: "/v1/listings/1/calendar".to_owned(),
            started_at,
            duration_ms: 250,
            status: (class != Some(OutcomeClass::Unknown)).then_some(200),
            // Of one that is stopped they were answered.
            class: class.filter(|class| *class != OutcomeClass::Stopped).unwrap_or(OutcomeClass::Accepted),
            detail: None,
            answer: None,
        };
        let records = (self.calls..self.calls + calls).map(call).collect();
        self.calls += calls;
        SyncReport {
            sync_id,
            ordinal,
            takes_over: false,
            silent: None,
            started_at,
            finished_at: started_at + TimeDelta::milliseconds(500),
            class,
            detail: (!accepted).then(|| "in words".to_owned()),
            progress: Progress {
                external_id: accepted.then(|| ExternalId("4711".to_owned())),
                sections: if accepted { sections } else { SectionHashes::new() },
                ..Progress::default()
            },
            rejected: if class == Some(OutcomeClass::AcceptedWithRejections) { vec![rejected] } else { Vec::new() },
            calls: records,
            hopeless: false,
            retry_at: self.now() + TimeDelta::seconds(30),
            max_attempts: 5,
        }
    }

    /// Ends an attempt at the waiting sync.
    pub fn end(&mut self, target: TargetId, unit: &UnitId, class: Option<OutcomeClass>) -> usize {
        let Some(job) = self.pending(target, unit) else { return 0 };
        let report = self.report(job, class, 2);
        self.command_listing(target, unit, ListingCommand::RecordOutcome(report))
    }
}

fn org() -> OrgId {
    OrgId::new("acme").unwrap()
}

fn account() -> AccountId {
    AccountId::new("main").unwrap()
}

fn metadata(target_id: TargetId, unit_id: Option<UnitId>) -> Metadata {
    Metadata {
        org_id: org(),
        account_id: account(),
        target_id,
        unit_id,
        actor: Actor::cli("ops@example.org"),
        correlation_id: Uuid::from_u128(7),
        on_behalf_of: None,
        source: None,
        causation_id: None,
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
    }
}
