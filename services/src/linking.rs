//! Putting a unit on a target. The link asks for its first sync by itself, from the unit's newest revision.

use domain::access::Accounts;
use domain::ids::{ExternalId, ListingId, TargetId, UnitId};
use domain::listing::{Cause, LinkListing, LinkState, ListingCommand, ListingError};
use domain::metadata::Metadata;
use domain::recorded::Position;
use domain::target::Target;

use crate::commands::{AskedBy, CommandError};
use crate::holders::lock;
use crate::syncing::{Snapshot, SyncError, Syncing, read};

/// What is at the channel already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AtChannel {
    /// What an earlier link had; without one it is looked for by our reference, and created where there is none.
    Kept,
    /// This listing.
    Listing(ExternalId),
    /// Whatever an earlier link had is not it: it is looked for, and created where there is none.
    Afresh,
}

/// What a link did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Linked {
    /// The listing.
    pub listing_id: ListingId,
    /// Whether a first sync was asked for; not if the unit was never published.
    pub sync_requested: bool,
    /// The last position of the journal that it wrote.
    pub position: Position,
}

/// What became of a request for a sync that somebody else may have made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskedFor {
    /// There is nothing to send, or nobody to send it to any more.
    Nothing,
    /// Somebody was faster: a sync of this revision, or of a newer one, is on its way.
    Already,
    /// It was asked for now; where that stands in the journal.
    At(Position),
}

impl AskedFor {
    /// Where it stands in the journal, if it was asked for now.
    pub fn position(self) -> Option<Position> {
        match self {
            Self::At(position) => Some(position),
            Self::Nothing | Self::Already => None,
        }
    }
}

impl Syncing {
    /// Links a unit to a target, of whatever account the unit is.
    pub async fn link(
        &self,
        target_id: TargetId,
        unit_id: UnitId,
        at_channel: AtChannel,
        asked: impl Into<AskedBy>,
    ) -> Result<Linked, SyncError> {
        self.link_of(&Accounts::All, target_id, unit_id, at_channel, asked).await
    }

    /// The same for somebody who has these accounts: a unit of others is not there, and neither is one that was never published.
    pub async fn link_of(
        &self,
        accounts: &Accounts,
        target_id: TargetId,
        unit_id: UnitId,
        at_channel: AtChannel,
        asked: impl Into<AskedBy>,
    ) -> Result<Linked, SyncError> {
        let target = self.commands().load_target(target_id).await?;
        let target = target.live()?;
        // Looked at once: what is linked is what was looked at, and a unit that moves right after this is elsewhere.
        let unit_account_id = self.units().account_of(&target.org_id, &unit_id).await?;
        if *accounts != Accounts::All && !unit_account_id.as_ref().is_some_and(|account| accounts.contain(account)) {
            return Err(SyncError::NotInAccounts);
        }
        let listing_id = ListingId::of(target_id, &unit_id);
        let (org, account) = (target.org_id.clone(), target.account_id.clone());
        let metadata = asked.into().metadata(org, account, target_id, Some(unit_id.clone()));
        let afresh = at_channel == AtChannel::Afresh;
        let link = LinkListing {
            org_id: target.org_id.clone(),
            account_id: target.account_id.clone(),
            unit_id: unit_id.clone(),
            target_id,
            unit_account_id,
            external_id: if let AtChannel::Listing(id) = at_channel { Some(id) } else { None },
            afresh,
        };
        let linked = match self.link_if_free(accounts, (target, listing_id), link, &metadata).await {
            Ok(position) => position,
            // Linked already, but whoever did it may have come to grief before the first sync: to link it again asks for it.
            Err(refusal @ SyncError::Refused(ListingError::AlreadyLinked)) => {
                if self.commands().load_listing(listing_id).await?.last_revision() > 0 {
                    return Err(refusal);
                }
                let asked = self.first_sync(listing_id, target, &unit_id, &metadata).await?;
                if asked == AskedFor::Nothing {
                    return Err(refusal);
                }
                return Ok(Linked { listing_id, sync_requested: true, position: asked.position().unwrap_or_default() });
            }
            Err(refusal) => return Err(refusal),
        };
        // Read after the link is in the journal: the intake stores a revision first and looks for links second, so
        // one of the two sees the other.
        let asked = self.first_sync(listing_id, target, &unit_id, &metadata).await?;
        let position = asked.position().or(linked).unwrap_or_default();
        Ok(Linked { listing_id, sync_requested: asked != AskedFor::Nothing, position })
    }

    /// Asks a listing for the newest revision of its unit that is stored, where nobody has: whoever linked it, or took the
    /// revision in, came to grief before that.
    pub async fn catch_up(&self, listing_id: ListingId, asked: impl Into<AskedBy>) -> Result<AskedFor, SyncError> {
        let listing = self.commands().load_listing(listing_id).await?;
        let Some(link) = listing.link().filter(|_| listing.state() != Some(LinkState::Unlinked)) else {
            return Ok(AskedFor::Nothing);
        };
        let target = self.commands().load_target(link.target_id).await?;
        let Ok(target) = target.live() else { return Ok(AskedFor::Nothing) };
        let stored = self.units().latest(&link.org_id, &link.unit_id).await?;
        let Some(stored) = stored.filter(|stored| link.takes_from(&stored.account_id)) else {
            return Ok(AskedFor::Nothing);
        };
        let unit = read(&stored)?;
        if unit.revision.get() <= listing.last_revision() {
            return Ok(AskedFor::Already);
        }
        let metadata = asked.into().on(link);
        let cause = if listing.last_revision() == 0 { Cause::Linked } else { Cause::UnitChanged };
        let snapshot = Snapshot { unit: &unit, hash: stored.hash };
        self.request_unless_asked(listing_id, target, snapshot, cause, &metadata).await
    }

    /// Invariant: no two listings of a target are linked to one listing at the channel. Nor does one take up again what is linked at another
    /// target of the account by now: what a person names there is that person's business, and here nobody has named anything.
    async fn link_if_free(
        &self,
        accounts: &Accounts,
        (target, listing_id): (&Target, ListingId),
        link: LinkListing,
        metadata: &Metadata,
    ) -> Result<Option<Position>, SyncError> {
        let before = self.commands().load_listing(listing_id).await?;
        // A pair that is linked is refused by the aggregate, whatever it would be linked to.
        let linked = before.state().is_some_and(|state| state != LinkState::Unlinked);
        let kept = before.external_id().filter(|_| !link.afresh).cloned();
        match link.external_id.clone().or(kept) {
            Some(external) if !linked => {
                let _one_at_a_time = self.linking().lock().await;
                let mut locked = lock(self.commands().journal().pool(), target.target_id, &external).await?;
                if link.external_id.is_some() {
                    self.must_be_free(&mut locked, (target.target_id, listing_id), &external).await?;
                } else {
                    self.must_be_free_in_account(&mut locked, accounts, (target, listing_id), &external).await?;
                }
                let position = self.commands().listing(listing_id, ListingCommand::Link(link), metadata).await?;
                locked.commit().await?;
                Ok(position)
            }
            _ => Ok(self.commands().listing(listing_id, ListingCommand::Link(link), metadata).await?),
        }
    }

    async fn first_sync(
        &self,
        listing_id: ListingId,
        target: &Target,
        unit_id: &UnitId,
        metadata: &Metadata,
    ) -> Result<AskedFor, SyncError> {
        let stored = self.units().latest(&target.org_id, unit_id).await?;
        let Some(stored) = stored else { return Ok(AskedFor::Nothing) };
        let unit = read(&stored)?;
        let snapshot = Snapshot { unit: &unit, hash: stored.hash };
        self.request_unless_asked(listing_id, target, snapshot, Cause::Linked, metadata).await
    }

    async fn request_unless_asked(
        &self,
        listing_id: ListingId,
        target: &Target,
        snapshot: Snapshot<'_>,
        cause: Cause,
        metadata: &Metadata,
    ) -> Result<AskedFor, SyncError> {
        match self.request(listing_id, target, snapshot, cause, metadata).await {
            Ok(Some(position)) => Ok(AskedFor::At(position)),
            Ok(None)
            | Err(CommandError::Refused(ListingError::DuplicateRevision(_) | ListingError::StaleRevision { .. })) => {
                Ok(AskedFor::Already)
            }
            // It moved to another account just before.
            Err(CommandError::Refused(ListingError::UnitElsewhere)) => Ok(AskedFor::Nothing),
            Err(error) => Err(error.into()),
        }
    }
}
