//! Who holds a listing at the channel. Two of ours that write to one of theirs would overwrite each other for ever.

use adapters::dispatch::{linked_at_target, linked_in_account};
use adapters::postgres::begin_with;
use domain::access::Accounts;
use domain::ids::{ExternalId, ListingId, OrgId, TargetId, UnitId};
use domain::listing::{Link, LinkState};
use domain::target::Target;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};

use crate::commands::Commands;
use crate::syncing::{SyncError, Syncing};

// Frozen: the three stand in the journal, and what is told of a listing is told by them (`views/not_its_own.rs`, `History`). With other words,
// whatever was refused before would be told as if the channel had refused it.

/// Stands in the words of whatever was not done as another listing holds the one at the channel: whoever reads them says what helps.
pub(crate) const HELD: &str = "at the channel is the listing of unit";

/// The same where that one is of another target of the account: it may be another organisation's, so nobody is told whose it is.
pub(crate) const HELD_AT_ANOTHER_TARGET: &str =
    "at the channel is the listing of a unit at another target of the same account";

/// Why a holder is sent once more. From then on nobody knows what the channel has of it, which its history tells by these words.
pub(crate) const MAY_HAVE_BEEN_WRITTEN_TO: &str =
    "an attempt of another listing may have written to the one at the channel before it was known whose that is";

/// In the log, with `held_by`, where it is not told whose it is: looked for by `ON_CALL.md`.
const NOT_TAKEN_UP: &str = "an id that a link would take up again is another listing's: the link is refused";

/// A listing of ours that is linked to one at the channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    pub listing_id: ListingId,
    pub unit_id: UnitId,
    /// It is of another target of the account, maybe of another organisation.
    pub is_at_another_target: bool,
}

impl Holder {
    /// That it holds it.
    pub(crate) fn words(&self, external: &ExternalId) -> String {
        if self.is_at_another_target {
            return format!("{external} {HELD_AT_ANOTHER_TARGET}");
        }
        format!("{external} {HELD} {} ({})", self.unit_id, self.listing_id)
    }
}

/// Which of those count, too, that were unlinked from it. What one was unlinked from is still its own, and taken up again when it is linked
/// again, unless a listing has it by then that is linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unlinked {
    /// None: who links it may have it.
    None,
    /// Those of other targets: nobody else is to write there whom nobody has told so. At the same target somebody may have given it back, so
    /// what carries a reference is taken up by that.
    OfOtherTargets,
    /// All.
    All,
}

/// How long holders are looked for. A read model that is far behind, as after hours without a projector, leaves more events than that: whoever
/// asks holds a lock and a connection, so it is asked again later instead.
const LOOK: &str = "SET LOCAL statement_timeout = '10s'";

/// How long a link waits for each lock: others of its process that have an id wait for it meanwhile.
const LINK_WAITS: &str = "SET LOCAL lock_timeout = '3s'";

/// For a link: from here until the end of the transaction nobody else links the same listing of this target, nor records that it was found or
/// made.
pub(crate) async fn lock(
    pool: &PgPool,
    target: TargetId,
    external: &ExternalId,
) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let mut lock = begin_with(pool, format!("BEGIN; {LINK_WAITS}")).await?;
    take(&mut lock, format!("link/{target}/{external}")).await?;
    Ok(lock)
}

/// The same for what an attempt has learned: nor does anybody record it, or take it up again, for another target of the account. What a person
/// names there is linked meanwhile, as if it were named afterwards. It is waited for no longer than is looked.
pub(crate) async fn lock_learned(
    pool: &PgPool,
    target: &Target,
    external: &ExternalId,
) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let mut lock = begin_with(pool, format!("BEGIN; {LOOK}")).await?;
    take(&mut lock, format!("link/{}/{external}", target.target_id)).await?;
    take_learned(&mut lock, target, external).await?;
    Ok(lock)
}

async fn take_learned(
    connection: &mut PgConnection,
    target: &Target,
    external: &ExternalId,
) -> Result<(), sqlx::Error> {
    take(connection, format!("learned/{}/{external}", target.account_scope())).await
}

async fn take(connection: &mut PgConnection, lock: String) -> Result<(), sqlx::Error> {
    let taken = sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))").bind(lock);
    taken.execute(connection).await.map(|_| ())
}

/// Which other listing holds one that an attempt has learned: of the target, or of another one of its account at the channel. Where the
/// channel says that it was made just now, one that was unlinked from it holds it, too.
pub(crate) async fn holder_of_learned(
    commands: &Commands,
    connection: &mut PgConnection,
    of: (TargetId, ListingId),
    (external, was_made): (&ExternalId, bool),
) -> Result<Option<Holder>, SyncError> {
    let candidates = linked_in_account(connection, of.0, external).await?;
    let unlinked = if was_made { Unlinked::All } else { Unlinked::OfOtherTargets };
    let found = who_holds(commands, candidates, of, external, unlinked).await?;
    Ok(found.map(|Link { listing_id, unit_id, target_id, .. }| Holder {
        listing_id,
        unit_id,
        is_at_another_target: target_id != of.0,
    }))
}

async fn who_holds(
    commands: &Commands,
    candidates: Vec<(ListingId, TargetId)>,
    (target, own): (TargetId, ListingId),
    external: &ExternalId,
    unlinked: Unlinked,
) -> Result<Option<Link>, SyncError> {
    for (listing_id, of) in candidates.into_iter().filter(|(id, _)| *id != own) {
        // The aggregate has the last word: the candidate may have been linked elsewhere since.
        let listing = commands.load_listing(listing_id).await?;
        let Some(link) = listing.link().filter(|link| link.target_id == of) else { continue };
        // The read model may not know yet that its target was deleted.
        if of != target && commands.load_target(of).await?.live().is_err() {
            continue;
        }
        let counts = match unlinked {
            Unlinked::None => false,
            Unlinked::OfOtherTargets => of != target,
            Unlinked::All => true,
        };
        if listing.external_id() == Some(external) && (counts || listing.state() != Some(LinkState::Unlinked)) {
            return Ok(Some(link.clone()));
        }
    }
    Ok(None)
}

impl Syncing {
    /// Refuses what another listing of the target holds that is still linked. In a transaction: the limit of the look lasts as long as that
    /// does.
    pub(crate) async fn must_be_free(
        &self,
        connection: &mut PgConnection,
        of: (TargetId, ListingId),
        external: &ExternalId,
    ) -> Result<(), SyncError> {
        sqlx::query(LOOK).execute(&mut *connection).await?;
        let candidates = linked_at_target(connection, of.0, external).await?;
        match who_holds(self.commands(), candidates, of, external, Unlinked::None).await? {
            None => Ok(()),
            Some(link) => Err(taken(link, external)),
        }
    }

    /// The same of one that is taken up again, as nobody has named another: nobody has said either that two are to write to it, so what is
    /// linked at another target of the account holds it, too. Within [`lock`], and the lock of what is learned. Whose it is, is told to whoever
    /// has these accounts.
    pub(crate) async fn must_be_free_in_account(
        &self,
        connection: &mut PgConnection,
        accounts: &Accounts,
        (target, listing_id): (&Target, ListingId),
        external: &ExternalId,
    ) -> Result<(), SyncError> {
        sqlx::query(LOOK).execute(&mut *connection).await?;
        take_learned(connection, target, external).await?;
        let candidates = linked_in_account(connection, target.target_id, external).await?;
        let of = (target.target_id, listing_id);
        let Some(link) = who_holds(self.commands(), candidates, of, external, Unlinked::None).await? else {
            return Ok(());
        };
        if link.target_id == target.target_id {
            return Err(taken(link, external));
        }
        let is_told = is_told(&link, &target.org_id, accounts);
        if !is_told {
            tracing::warn!(%listing_id, %external, held_by = %link.listing_id, "{NOT_TAKEN_UP}");
        }
        Err(SyncError::ExternalIdTakenElsewhere {
            external_id: external.clone(),
            holder: is_told.then_some((link.unit_id, link.listing_id, link.target_id)),
        })
    }
}

fn taken(Link { listing_id, unit_id, .. }: Link, external: &ExternalId) -> SyncError {
    SyncError::ExternalIdTaken { external_id: external.clone(), listing_id, unit_id }
}

/// Whether whoever is of this organisation, and has these accounts in it, sees that listing.
fn is_told(holder: &Link, org: &OrgId, accounts: &Accounts) -> bool {
    holder.org_id == *org && accounts.contain(&holder.account_id)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use domain::call::UNPROVED;
    use domain::ids::AccountId;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn whose_it_is_at_another_target_is_told_to_those_who_see_that_one() {
        let (org, bali): (OrgId, AccountId) = ("sunstay".parse().unwrap(), "bali".parse().unwrap());
        let (target_id, unit_id): (_, UnitId) = (TargetId(Uuid::nil()), "villa-1".parse().unwrap());
        let holder = Link {
            listing_id: ListingId::of(target_id, &unit_id),
            org_id: org.clone(),
            account_id: bali.clone(),
            unit_id,
            target_id,
            generation: 1,
            from_account_id: None,
        };
        let only = |account: AccountId| Accounts::Only(BTreeSet::from([account]));
        assert!(is_told(&holder, &org, &Accounts::All) && is_told(&holder, &org, &only(bali)));
        assert!(!is_told(&holder, &org, &only("lombok".parse().unwrap())));
        assert!(!is_told(&holder, &"others".parse().unwrap(), &Accounts::All));
    }

    /// As they stand in journals.
    #[test]
    fn the_words_that_the_journal_keeps_stay() {
        let unit_id: UnitId = "villa-1".parse().unwrap();
        let listing_id = ListingId::of(TargetId(Uuid::nil()), &unit_id);
        let mut holder = Holder { listing_id, unit_id, is_at_another_target: false };
        let external = ExternalId("40001".to_owned());
        let here = format!("40001 at the channel is the listing of unit villa-1 ({listing_id})");
        assert_eq!(holder.words(&external), here);
        holder.is_at_another_target = true;
        let there = "40001 at the channel is the listing of a unit at another target of the same account";
        assert_eq!(holder.words(&external), there);
        let again = "an attempt of another listing may have written to the one at the channel before it was known whose that is";
        assert_eq!(MAY_HAVE_BEEN_WRITTEN_TO, again);
        assert_eq!(UNPROVED, "nothing proves that it is the listing of this unit");
    }
}
