//! Asking a listing for a sync: from a unit at hand, from the latest state, or from a snapshot of the past.

use std::sync::Arc;

use adapters::event_store::Journal;
use adapters::postgres::passes;
use adapters::units::{UnitSnapshot, UnitStore};
use domain::channel::{ChannelKind, ListingPayload, Section};
use domain::hash::SnapshotHash;
use domain::ids::{ExternalId, ListingId, TargetId, UnitId};
use domain::listing::{Cause, ChannelListing, Link, LinkState, ListingCommand, ListingError, Origin, RequestSync};
use domain::metadata::Metadata;
use domain::recorded::Position;
use domain::target::Target;
use domain::unit::UnitChanged;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::commands::{AskedBy, CommandError, Commands};
use crate::payloads::Payloads;

/// A unit with the address of its snapshot.
#[derive(Debug, Clone, Copy)]
pub struct Snapshot<'a> {
    /// The unit.
    pub unit: &'a UnitChanged,
    /// Where it is stored.
    pub hash: SnapshotHash,
}

/// A state of a unit as the channel of one of its listings wants it.
#[derive(Debug)]
pub struct Mapped {
    /// The unit.
    pub unit: UnitChanged,
    /// Where it is stored.
    pub hash: SnapshotHash,
    /// Its revision.
    pub revision: u64,
    /// What the channel wants of it.
    pub payload: Arc<ListingPayload>,
}

impl Mapped {
    /// The sections of it that a listing would send now without being forced, most urgent first.
    pub fn to_send(&self, listing: &ChannelListing) -> Vec<Section> {
        listing.to_send(&self.payload.hashes())
    }
}

/// Why no sync was asked for.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The listing refused.
    #[error("{0}")]
    Refused(#[from] ListingError),
    /// There is nothing to send.
    #[error("unit {0} was never published, so there is nothing to send")]
    UnitUnknown(String),
    /// No such snapshot.
    #[error("there is no unit snapshot {0}")]
    SnapshotUnknown(SnapshotHash),
    /// A unit that is not there for whoever asks: it is of an account that they do not have, or was never published.
    #[error("there is no such unit in your accounts")]
    NotInAccounts,
    /// A snapshot of the past that this build refuses.
    #[error("the snapshot cannot be used: {0}")]
    SnapshotUnusable(String),
    /// Another listing writes there.
    #[error(
        "{external_id} at the channel is the listing of unit {unit_id} ({listing_id}): unlink that one, or give another id"
    )]
    ExternalIdTaken {
        /// The listing at the channel.
        external_id: ExternalId,
        /// Ours that holds it.
        listing_id: ListingId,
        /// The unit of that one.
        unit_id: UnitId,
    },
    /// The same of one of another target of the account, where nobody has named it: it was to be taken up again.
    #[error("{}", taken_elsewhere(.external_id, .holder.as_ref()))]
    ExternalIdTakenElsewhere {
        /// The listing at the channel.
        external_id: ExternalId,
        /// Whose it is, for whoever may know.
        holder: Option<(UnitId, ListingId, TargetId)>,
    },
    /// There is no target to send to any more.
    #[error("its target is deleted: link the unit to another one")]
    TargetDeleted,
    /// The target does not allow it.
    #[error("{0}")]
    Target(#[from] domain::target::TargetError),
    /// The command on the listing came to no end, or others were faster, or its history cannot be read.
    #[error("failed to ask for a sync: {0}")]
    Listing(Box<CommandError<ListingError>>),
    /// The same of its target.
    #[error("failed to ask for a sync: {0}")]
    TargetState(Box<CommandError<domain::target::TargetError>>),
    /// Postgres failed.
    #[error("failed to ask for a sync: {0}")]
    Database(#[from] sqlx::Error),
}

fn taken_elsewhere(external_id: &ExternalId, holder: Option<&(UnitId, ListingId, TargetId)>) -> String {
    let other = "give another id, or link this one afresh once that one was sent, and its own is looked for and made";
    match holder {
        Some((unit_id, listing_id, target_id)) => format!(
            "{external_id} at the channel is the listing of unit {unit_id} ({listing_id}) at target {target_id} by now: unlink that one, {other}"
        ),
        None => format!(
            "{external_id}, which it had at the channel, is held by another listing at this channel account by now: {other}; whoever runs \
             the service can say whose it is"
        ),
    }
}

impl SyncError {
    /// Whether Postgres could not do it now.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Database(error) => passes(error),
            Self::Listing(error) => matches!(**error, CommandError::Unavailable(_)),
            Self::TargetState(error) => matches!(**error, CommandError::Unavailable(_)),
            _ => false,
        }
    }
}

impl From<CommandError<ListingError>> for SyncError {
    fn from(error: CommandError<ListingError>) -> Self {
        match error {
            CommandError::Refused(refusal) => Self::Refused(refusal),
            other => Self::Listing(Box::new(other)),
        }
    }
}

impl From<CommandError<domain::target::TargetError>> for SyncError {
    fn from(error: CommandError<domain::target::TargetError>) -> Self {
        match error {
            CommandError::Refused(refusal) => Self::Target(refusal),
            other => Self::TargetState(Box::new(other)),
        }
    }
}

/// Who asks, by what stands beside the events.
fn origin(metadata: &Metadata) -> Origin {
    Origin {
        correlation_id: metadata.correlation_id,
        requested_by: metadata.actor.name.clone(),
        traceparent: metadata.traceparent.clone(),
    }
}

fn wish(payload: &ListingPayload, snapshot: Snapshot<'_>, cause: Cause, origin: Origin) -> RequestSync {
    RequestSync {
        cause,
        snapshot_org: snapshot.unit.org_id.clone(),
        snapshot_account: snapshot.unit.account_id.clone(),
        snapshot_unit: snapshot.unit.unit_id.clone(),
        snapshot: snapshot.hash,
        revision: snapshot.unit.revision.get(),
        sections: payload.hashes(),
        rejected: payload.rejected.clone(),
        origin,
    }
}

/// Asks for syncs.
#[derive(Debug, Clone)]
pub struct Syncing {
    commands: Arc<Commands>,
    units: UnitStore,
    payloads: Arc<Payloads>,
    linking: Arc<Mutex<()>>,
}

impl Syncing {
    /// Over a journal, with the units of its database.
    pub fn over(journal: Journal) -> Self {
        let units = UnitStore::new(journal.pool().clone());
        let payloads = Arc::new(Payloads::new(units.clone()));
        Self::new(Arc::new(Commands::new(journal)), units, payloads)
    }

    /// Over these commands and units.
    pub fn new(commands: Arc<Commands>, units: UnitStore, payloads: Arc<Payloads>) -> Self {
        Self { commands, units, payloads, linking: Arc::default() }
    }

    /// The commands.
    pub fn commands(&self) -> &Commands {
        &self.commands
    }

    /// Held while a link makes sure that nobody holds its listing: such a link needs two connections, and many of them
    /// at once could take the last one from each other.
    pub(crate) fn linking(&self) -> &Mutex<()> {
        &self.linking
    }

    /// The units.
    pub fn units(&self) -> &UnitStore {
        &self.units
    }

    /// The payloads.
    pub fn payloads(&self) -> &Payloads {
        &self.payloads
    }

    /// Asks a listing to bring its channel to a snapshot.
    pub async fn request(
        &self,
        listing: ListingId,
        target: &Target,
        snapshot: Snapshot<'_>,
        cause: Cause,
        metadata: &Metadata,
    ) -> Result<Option<Position>, CommandError<ListingError>> {
        let payload = self.payloads.map(target.channel, snapshot.unit, snapshot.hash, listing);
        let request = wish(&payload, snapshot, cause, origin(metadata));
        // The journal takes its time, and hundreds wait for it together: what nobody is to send from here does not.
        let held = self.payloads.hold(&snapshot.unit.account_id, payload);
        let asked = self.commands.listing(listing, ListingCommand::RequestSync(request), metadata).await?;
        let waits = |now: &ChannelListing| now.pending().is_some_and(|pending| pending.snapshot == snapshot.hash);
        if let Some(held) = held
            && self.commands.listing_at_hand(listing, waits) == Some(true)
        {
            self.payloads.keep(snapshot.hash, listing, held);
        }
        Ok(asked)
    }

    /// The wish that a listing be brought to a snapshot.
    pub fn wish(
        &self,
        listing: ListingId,
        target: &Target,
        snapshot: Snapshot<'_>,
        cause: Cause,
        origin: Origin,
    ) -> RequestSync {
        let payload = self.payloads.map(target.channel, snapshot.unit, snapshot.hash, listing);
        wish(&payload, snapshot, cause, origin)
    }

    /// Whether the unit of a listing that is linked belongs to an account now that it does not take from.
    pub async fn unit_is_elsewhere(&self, listing: &ChannelListing) -> Result<bool, sqlx::Error> {
        let linked = listing.link().filter(|_| listing.state() != Some(LinkState::Unlinked));
        let Some(link) = linked else { return Ok(false) };
        let account = self.units.account_of(&link.org_id, &link.unit_id).await?;
        Ok(account.is_some_and(|account| !link.takes_from(&account)))
    }

    /// The snapshot that is named, or else the newest of a listing's unit, which is refused where that is elsewhere.
    pub async fn stored(&self, link: &Link, snapshot: Option<SnapshotHash>) -> Result<UnitSnapshot, SyncError> {
        let stored = match snapshot {
            None => {
                let latest = self.units.latest(&link.org_id, &link.unit_id).await?;
                let latest = latest.ok_or_else(|| SyncError::UnitUnknown(link.unit_id.to_string()))?;
                if !link.takes_from(&latest.account_id) {
                    return Err(ListingError::UnitElsewhere.into());
                }
                latest
            }
            Some(hash) => {
                let found = self.units.by_hashes(&[hash]).await?;
                found.into_iter().next().ok_or(SyncError::SnapshotUnknown(hash))?
            }
        };
        // A snapshot of another organisation, or of an account that is not the listing's, looks exactly like one that does not exist.
        if stored.org_id != link.org_id || !link.takes_from(&stored.account_id) {
            return Err(SyncError::SnapshotUnknown(stored.hash));
        }
        Ok(stored)
    }

    /// The same, mapped for a channel.
    pub async fn mapped(
        &self,
        link: &Link,
        channel: ChannelKind,
        snapshot: Option<SnapshotHash>,
    ) -> Result<Mapped, SyncError> {
        let stored = self.stored(link, snapshot).await?;
        let unit = read(&stored)?;
        let payload = self.payloads.map(channel, &unit, stored.hash, link.listing_id);
        Ok(Mapped { unit, hash: stored.hash, revision: stored.revision, payload })
    }

    /// Sends a listing once more: its latest state, or the snapshot that is named.
    pub async fn resend(
        &self,
        listing_id: ListingId,
        snapshot: Option<SnapshotHash>,
        reason: String,
        asked: impl Into<AskedBy>,
    ) -> Result<Option<Position>, SyncError> {
        let asked = asked.into();
        match self.resend_once(listing_id, None, snapshot, reason.clone(), asked.clone()).await {
            // A newer revision was asked for after the latest one was read: it is the latest now.
            Err(SyncError::Refused(ListingError::StaleRevision { .. })) => {
                self.resend_once(listing_id, None, snapshot, reason, asked).await
            }
            done => done,
        }
    }

    /// Sends a listing that has this version a snapshot once more. With any other version nothing is asked for
    /// ([`CommandError::Moved`]): what came meanwhile may be newer than the snapshot.
    pub async fn resend_at(
        &self,
        listing_id: ListingId,
        version: i64,
        snapshot: SnapshotHash,
        reason: String,
        asked: AskedBy,
    ) -> Result<Option<Position>, SyncError> {
        self.resend_once(listing_id, Some(version), Some(snapshot), reason, asked).await
    }

    async fn resend_once(
        &self,
        listing_id: ListingId,
        version: Option<i64>,
        snapshot: Option<SnapshotHash>,
        reason: String,
        asked: AskedBy,
    ) -> Result<Option<Position>, SyncError> {
        let listing = self.commands.load_listing(listing_id).await?;
        let link = listing.link().ok_or(ListingError::NotFound)?;
        let target = self.commands.load_target(link.target_id).await?;
        let target = target.live().map_err(|_| SyncError::TargetDeleted)?;
        // Said before where its unit is: whoever may have to link it again has nothing to unlink.
        if version.is_none() && listing.state() == Some(LinkState::Unlinked) {
            return Err(ListingError::Unlinked.into());
        }
        // Asked for once more with one idempotency key, as where an answer was lost, it is pushed once more and is one job in the audit.
        let request_id = asked.causation_id.unwrap_or_else(Uuid::now_v7);
        let cause = match snapshot {
            None => Cause::Manual { reason, request_id },
            Some(_) => Cause::Replayed { reason, request_id },
        };
        let stored = self.stored(link, snapshot).await?;
        let unit = read(&stored)?;
        let metadata = asked.on(link);
        let snapshot = Snapshot { unit: &unit, hash: stored.hash };
        let command = ListingCommand::RequestSync(self.wish(listing_id, target, snapshot, cause, origin(&metadata)));
        Ok(match version {
            Some(version) => self.commands.listing_at(listing_id, version, command, &metadata).await?,
            None => self.commands.listing(listing_id, command, &metadata).await?,
        })
    }
}

/// The unit in a stored snapshot.
pub fn read(stored: &UnitSnapshot) -> Result<UnitChanged, SyncError> {
    UnitChanged::from_json(stored.body.as_bytes()).map_err(|invalid| SyncError::SnapshotUnusable(invalid.to_string()))
}
