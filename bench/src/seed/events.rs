//! A sample of each event, made by the domain's own types. Its ids are placeholders for those of each listing.

use chrono::Utc;
use domain::call::{CallPurpose, CallRecord};
use domain::channel::{Section, SectionHashes};
use domain::hash::{IdempotencyKey, SnapshotHash};
use domain::ids::{ExternalId, ListingId, SyncId, TargetId, UnitId};
use domain::listing::{Cause, ListingEvent, Origin, Progress, SyncAttempt, SyncRequest};
use domain::metadata::{Actor, Metadata};
use domain::outcome::OutcomeClass;
use uuid::Uuid;

use crate::units::{ACCOUNT, ORG};

pub const LISTING: ListingId = ListingId(Uuid::from_u128(0x1111_1111_1111_4111_8111_1111_1111_1111));
const TARGET: TargetId = TargetId(Uuid::from_u128(0x2222_2222_2222_4222_8222_2222_2222_2222));
const SYNC: SyncId = SyncId(Uuid::from_u128(0x3333_3333_3333_4333_8333_3333_3333_3333));
/// Stands for an id that nothing else refers to.
const ANY: Uuid = Uuid::from_u128(0x4444_4444_4444_4444_8444_4444_4444_4444);
const UNIT: &str = "unit-to-be-named";
const EXTERNAL: &str = "77777777777";

/// The metadata of an event of this listing.
pub fn metadata_of(target_id: TargetId, unit_id: UnitId) -> anyhow::Result<Metadata> {
    Ok(Metadata {
        org_id: ORG.parse()?,
        account_id: ACCOUNT.parse()?,
        target_id,
        unit_id: Some(unit_id),
        actor: Actor::service("bench"),
        on_behalf_of: None,
        source: None,
        correlation_id: Uuid::now_v7(),
        causation_id: None,
        traceparent: None,
    })
}

/// What the samples are made of.
pub struct Sample {
    snapshot: SnapshotHash,
    sections: SectionHashes,
    key: IdempotencyKey,
}

impl Sample {
    pub fn new((snapshot, sections): (SnapshotHash, SectionHashes)) -> Self {
        Self { snapshot, sections, key: IdempotencyKey::of_bytes(b"sample") }
    }

    /// In the order of the statement: listing, target, unit, sync, any id, key, id at the channel.
    pub fn placeholders(&self) -> [String; 7] {
        let (unit, external) = (UNIT.to_owned(), EXTERNAL.to_owned());
        [
            LISTING.to_string(),
            TARGET.to_string(),
            unit,
            SYNC.to_string(),
            ANY.to_string(),
            self.key.to_string(),
            external,
        ]
    }

    pub fn metadata(&self) -> anyhow::Result<Metadata> {
        Ok(Metadata { correlation_id: ANY, ..metadata_of(TARGET, UnitId::new(UNIT)?)? })
    }

    pub fn linked(&self) -> anyhow::Result<ListingEvent> {
        Ok(ListingEvent::ListingLinked {
            listing_id: LISTING,
            org_id: ORG.parse()?,
            account_id: ACCOUNT.parse()?,
            unit_id: UnitId::new(UNIT)?,
            target_id: TARGET,
            external_id: Some(ExternalId(EXTERNAL.to_owned())),
            generation: 1,
            from_account_id: None,
        })
    }

    pub fn requested(&self, ordinal: u64) -> ListingEvent {
        let origin = Origin { correlation_id: ANY, requested_by: "service:bench".to_owned(), traceparent: None };
        let request = SyncRequest {
            sync_id: SYNC,
            ordinal,
            idempotency_key: self.key,
            cause: Cause::UnitChanged,
            snapshot: self.snapshot,
            revision: ordinal,
            sections: self.sections.clone(),
            needs: vec![Section::Content],
            rejected: Vec::new(),
            origin,
        };
        ListingEvent::SyncRequested { request, supersedes: None }
    }

    pub fn accepted(&self, ordinal: u64) -> ListingEvent {
        let call = CallRecord {
            request_id: ANY,
            purpose: CallPurpose::Content,
            method: "PUT".to_owned(),
            path: format!("/v1/listings/{EXTERNAL}"),
            started_at: Utc::now(),
            duration_ms: 12,
            status: Some(200),
            class: OutcomeClass::Accepted,
            detail: None,
            answer: None,
        };
        let external_id = Some(ExternalId(EXTERNAL.to_owned()));
        let progress = Progress { external_id, sections: self.sections.clone(), ..Progress::default() };
        let attempt = SyncAttempt {
            sync_id: SYNC,
            ordinal,
            attempt: 1,
            takes_over: false,
            silent: None,
            started_at: Utc::now(),
            finished_at: Utc::now(),
            progress,
            rejected: Vec::new(),
            calls: vec![call],
            detail: None,
            stopped: false,
        };
        ListingEvent::SyncAccepted { attempt }
    }
}
