//! What can be asked of a listing.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::channel::{RejectedPart, SectionHashes};
use crate::hash::{IdempotencyKey, SnapshotHash};
use crate::ids::{AccountId, ExternalId, ListingId, OrgId, SyncId, TargetId, UnitId};
use crate::listing::SyncReport;

/// A command to a [`ChannelListing`](crate::listing::ChannelListing).
#[derive(Debug, Clone, PartialEq)]
pub enum ListingCommand {
    /// Put the unit on the target; on an unlinked listing: put it there again.
    Link(LinkListing),
    /// Bring the channel to a snapshot.
    RequestSync(RequestSync),
    /// Note that the call that creates the listing is about to be made.
    StartCreation {
        /// The sync that creates.
        sync_id: SyncId,
        /// Its place among the listing's jobs.
        ordinal: u64,
        /// When the call starts, UTC.
        at: DateTime<Utc>,
        /// When the push began, UTC: its look-up is no older.
        began_at: DateTime<Utc>,
        /// The moment of this push's earlier intent, whose call the channel refused.
        replaces: Option<DateTime<Utc>>,
    },
    /// Note how an attempt ended.
    RecordOutcome(SyncReport),
    /// Hold its syncs.
    Pause {
        /// Why.
        reason: String,
    },
    /// Send again.
    Resume,
    /// Take it off: what stands at the channel stays there, nothing more is sent.
    Unlink {
        /// Why.
        reason: String,
    },
}

impl ListingCommand {
    /// The sync that it is about, where it names one.
    pub fn sync_id(&self) -> Option<SyncId> {
        match self {
            Self::StartCreation { sync_id, .. } => Some(*sync_id),
            Self::RecordOutcome(report) => Some(report.sync_id),
            Self::Link(_) | Self::RequestSync(_) | Self::Pause { .. } | Self::Resume | Self::Unlink { .. } => None,
        }
    }
}

/// A unit to be put on a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkListing {
    /// The tenant, which is the target's.
    pub org_id: OrgId,
    /// The account inside it.
    pub account_id: AccountId,
    /// The unit.
    pub unit_id: UnitId,
    /// The target.
    pub target_id: TargetId,
    /// The account that the unit is of; `None` where it was never published, which counts as the target's.
    pub unit_account_id: Option<AccountId>,
    /// The listing at the channel, where there is one already. Without it, that of an earlier link is taken up again.
    pub external_id: Option<ExternalId>,
    /// What an earlier link had at the channel is not taken up: it was the wrong one, or is gone.
    pub afresh: bool,
}

/// What set a sync off. It goes along with the job, so that its attempts tell the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The same for everything that one outside request set off.
    pub correlation_id: Uuid,
    /// Who asked.
    pub requested_by: String,
    /// W3C trace context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// Why a sync is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Cause {
    /// The unit changed.
    UnitChanged,
    /// The unit was linked.
    Linked,
    /// Somebody asked for the latest state to be sent once more.
    Manual {
        /// Why.
        reason: String,
        /// Makes two wishes of one person two syncs.
        request_id: Uuid,
    },
    /// Somebody asked for a snapshot of the past to be sent.
    Replayed {
        /// Why.
        reason: String,
        /// Makes two wishes of one person two syncs.
        request_id: Uuid,
    },
}

impl Cause {
    /// Whether every section is sent, whatever the channel took before.
    pub fn forces(&self) -> bool {
        matches!(self, Self::Manual { .. } | Self::Replayed { .. })
    }

    /// The name used in rows.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::UnitChanged => "unit_changed",
            Self::Linked => "linked",
            Self::Manual { .. } => "manual",
            Self::Replayed { .. } => "replayed",
        }
    }
}

/// A wish for a sync.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestSync {
    /// Why.
    pub cause: Cause,
    /// The organisation whose unit the snapshot shows.
    pub snapshot_org: OrgId,
    /// The account that the unit is of in the snapshot.
    pub snapshot_account: AccountId,
    /// The unit that the snapshot shows.
    pub snapshot_unit: UnitId,
    /// The snapshot to send.
    pub snapshot: SnapshotHash,
    /// Its revision.
    pub revision: u64,
    /// The hash of each section as this channel wants it.
    pub sections: SectionHashes,
    /// Parts that the mapping had to leave out.
    pub rejected: Vec<RejectedPart>,
    /// What set it off: the same on everything that follows from it, the attempts too.
    pub origin: Origin,
}

impl RequestSync {
    /// The key that makes this sync unique within its listing; `generation` counts the links.
    pub fn key(&self, listing_id: ListingId, generation: u32) -> IdempotencyKey {
        let what = match &self.cause {
            Cause::UnitChanged => format!("unit/{}", self.revision),
            Cause::Linked => format!("link/{}", self.revision),
            Cause::Manual { request_id, .. } | Cause::Replayed { request_id, .. } => format!("request/{request_id}"),
        };
        let (listing, snapshot) = (listing_id.to_string(), self.snapshot.to_string());
        IdempotencyKey::of_parts(&[&listing, &generation.to_string(), &what, &snapshot])
    }
}
