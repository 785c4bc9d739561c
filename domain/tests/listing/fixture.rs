//! One listing with everything that a command needs; each test changes what it is about.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use domain::call::{CallPurpose, CallRecord};
use domain::channel::{Section, SectionHashes};
use domain::hash::{PayloadHash, SnapshotHash};
use domain::ids::{ExternalId, ListingId, OrgId, SyncId, TargetId, UnitId};
use domain::listing::{
    Cause, ChannelListing, LinkListing, ListingCommand, ListingError, ListingEvent, Origin, Progress, RequestSync,
    SyncReport,
};
use domain::outcome::OutcomeClass;
use uuid::Uuid;

/// Stands in a command for the job whose ordinal that names.
pub const OF_ORDINAL: SyncId = SyncId(Uuid::nil());
/// Stands for the ordinal of the job that waits.
pub const NEWEST: u64 = u64::MAX;

/// A listing and everything that happened to it.
#[derive(Debug, Default, Clone)]
pub struct Story {
    pub listing: ChannelListing,
    pub events: Vec<ListingEvent>,
}

impl Story {
    /// A linked listing.
    pub fn linked() -> Self {
        let mut story = Self::default();
        story.must(link(None));
        story
    }

    /// A listing that the channel has in full, at revision 1 with the content `a`.
    pub fn synced() -> Self {
        let mut story = Self::linked();
        story.must(change(1, "a"));
        story.must(ListingCommand::RecordOutcome(accepted(1, "a")));
        story
    }

    /// The job of this ordinal, where it was asked for.
    fn job(&self, ordinal: u64) -> Option<SyncId> {
        self.events.iter().find_map(|event| match event {
            ListingEvent::SyncRequested { request, .. } if request.ordinal == ordinal => Some(request.sync_id),
            _ => None,
        })
    }

    /// Runs a command; gives what it did.
    pub fn run(&mut self, mut command: ListingCommand) -> Result<Vec<ListingEvent>, ListingError> {
        if let ListingCommand::StartCreation { ordinal, .. } = &mut command
            && *ordinal == NEWEST
            && let Some(pending) = self.listing.pending()
        {
            *ordinal = pending.ordinal;
        }
        match &mut command {
            ListingCommand::RecordOutcome(SyncReport { sync_id, ordinal, .. })
            | ListingCommand::StartCreation { sync_id, ordinal, .. }
                if *sync_id == OF_ORDINAL =>
            {
                *sync_id = self.job(*ordinal).unwrap_or(OF_ORDINAL);
            }
            _ => {}
        }
        let events = self.listing.decide(command)?;
        for event in &events {
            self.listing.evolve(event.clone());
            self.events.push(event.clone());
        }
        Ok(events)
    }

    /// Runs a command that gives one event.
    pub fn must(&mut self, command: ListingCommand) -> ListingEvent {
        let what = format!("{command:?}");
        let events = self.run(command).unwrap_or_else(|refusal| panic!("{what}: {refusal}"));
        let [event] = &events[..] else { panic!("{what} gave {events:?}") };
        event.clone()
    }

    /// Runs a command that is refused.
    pub fn refused(&mut self, command: ListingCommand) -> ListingError {
        let before = self.listing.clone();
        let refusal = self.run(command).expect_err("the command is refused");
        assert_eq!(self.listing, before, "a refusal changes nothing");
        refusal
    }
}

pub fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).expect("a time") + TimeDelta::seconds(second)
}

pub fn org() -> OrgId {
    OrgId::new("sunstay").expect("a name")
}

pub fn unit() -> UnitId {
    UnitId::new("villa-0042").expect("a name")
}

pub fn target() -> TargetId {
    TargetId(Uuid::from_u128(7))
}

pub fn listing_id() -> ListingId {
    ListingId::of(target(), &unit())
}

pub fn link(external_id: Option<&str>) -> ListingCommand {
    ListingCommand::Link(LinkListing {
        org_id: org(),
        account_id: "bali".parse().expect("a name"),
        unit_id: unit(),
        target_id: target(),
        unit_account_id: None,
        external_id: external_id.map(|id| ExternalId(id.to_owned())),
        afresh: false,
    })
}

pub fn unlink() -> ListingCommand {
    ListingCommand::Unlink { reason: "sold".to_owned() }
}

/// The hash of every section; the same text is the same content.
pub fn sections(content: &str) -> SectionHashes {
    let hash = |section: Section| (section, PayloadHash::of_parts(&[section.as_str(), content]));
    Section::ALL.into_iter().map(hash).collect()
}

pub fn snapshot(content: &str) -> SnapshotHash {
    SnapshotHash::of_bytes(content.as_bytes())
}

pub fn wish(cause: Cause, revision: u64, content: &str) -> RequestSync {
    RequestSync {
        cause,
        snapshot_org: org(),
        snapshot_account: "bali".parse().expect("a name"),
        snapshot_unit: unit(),
        snapshot: snapshot(content),
        revision,
        sections: sections(content),
        rejected: Vec::new(),
        origin: Origin { correlation_id: Uuid::from_u128(9), requested_by: "ops".to_owned(), traceparent: None },
    }
}

pub fn change(revision: u64, content: &str) -> ListingCommand {
    ListingCommand::RequestSync(wish(Cause::UnitChanged, revision, content))
}

/// Somebody's wish; `number` tells one from another.
pub fn manual(number: u128, revision: u64, content: &str) -> ListingCommand {
    let cause = Cause::Manual { reason: "look".to_owned(), request_id: Uuid::from_u128(number) };
    ListingCommand::RequestSync(wish(cause, revision, content))
}

/// No two attempts of a listing start at the same time.
fn next_start() -> DateTime<Utc> {
    static STARTS: AtomicI64 = AtomicI64::new(0);
    at(0) + TimeDelta::microseconds(STARTS.fetch_add(1, Ordering::Relaxed))
}

/// How an attempt at the job of this ordinal ended; it made one call.
pub fn report(ordinal: u64, class: Option<OutcomeClass>) -> SyncReport {
    let call = CallRecord {
        request_id: Uuid::from_u128(u128::from(ordinal)),
        purpose: CallPurpose::Content,
        method: "PUT".to_owned(),
        path: "/v1/listings/40001".to_owned(),
        started_at: at(0),
        duration_ms: 80,
        status: Some(200),
        // Of one that is stopped it was answered.
        class: class.filter(|class| *class != OutcomeClass::Stopped).unwrap_or(OutcomeClass::Accepted),
        detail: None,
        answer: None,
    };
    SyncReport {
        sync_id: OF_ORDINAL,
        ordinal,
        takes_over: false,
        silent: None,
        started_at: next_start(),
        finished_at: at(1),
        class,
        detail: None,
        progress: Progress::default(),
        rejected: Vec::new(),
        calls: if class.is_some() { vec![call] } else { Vec::new() },
        hopeless: false,
        retry_at: at(60),
        max_attempts: 5,
    }
}

/// A success that left the whole content at the channel.
pub fn accepted(ordinal: u64, content: &str) -> SyncReport {
    let external_id = Some(ExternalId("40001".to_owned()));
    let progress = Progress { external_id, sections: sections(content), ..Progress::default() };
    SyncReport { progress, ..report(ordinal, Some(OutcomeClass::Accepted)) }
}

pub fn failed(ordinal: u64, class: OutcomeClass) -> ListingCommand {
    ListingCommand::RecordOutcome(report(ordinal, Some(class)))
}
