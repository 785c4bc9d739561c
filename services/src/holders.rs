//! Who holds a listing at the channel. Two of ours that write to one of theirs would overwrite each other for ever.

use adapters::dispatch::{linked_at_target, linked_in_account};
use adapters::postgres::{begin, begin_with};
use domain::ids::{ExternalId, ListingId, TargetId, UnitId};
use domain::listing::LinkState;
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

/// How long holders are looked for. A read model that is far behind, as after hours without a projector, leaves more events than that: whoever
/// asks holds a lock and a connection, so it is asked again later instead.
const LOOK: &str = "SET LOCAL statement_timeout = '10s'";

/// From here until the end of the transaction nobody else links the same listing of this target, nor records that it was found or made.
pub(crate) async fn lock(
    pool: &PgPool,
    target: TargetId,
    external: &ExternalId,
) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let mut lock = begin(pool).await?;
    take(&mut lock, format!("link/{target}/{external}")).await?;
    Ok(lock)
}

/// The same for what an attempt has learned: nor does anybody record it for another target of the account. It is waited for no longer than
/// is looked.
pub(crate) async fn lock_learned(
    pool: &PgPool,
    target: &Target,
    external: &ExternalId,
) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let mut lock = begin_with(pool, format!("BEGIN; {LOOK}")).await?;
    take(&mut lock, format!("link/{}/{external}", target.target_id)).await?;
    take(&mut lock, format!("learned/{}/{external}", target.account_scope())).await?;
    Ok(lock)
}

async fn take(connection: &mut PgConnection, lock: String) -> Result<(), sqlx::Error> {
    let taken = sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))").bind(lock);
    taken.execute(connection).await.map(|_| ())
}

/// Which other listing of the target holds one at the channel, and is still linked. In a transaction: the limit of the look lasts as long as
/// that does.
pub(crate) async fn holder(
    commands: &Commands,
    connection: &mut PgConnection,
    of: (TargetId, ListingId),
    external: &ExternalId,
) -> Result<Option<Holder>, SyncError> {
    sqlx::query(LOOK).execute(&mut *connection).await?;
    let candidates = linked_at_target(connection, of.0, external).await?;
    who_holds(commands, candidates, of, (external, false)).await
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
    who_holds(commands, candidates, of, (external, was_made)).await
}

async fn who_holds(
    commands: &Commands,
    candidates: Vec<(ListingId, TargetId)>,
    (target, own): (TargetId, ListingId),
    (external, was_made): (&ExternalId, bool),
) -> Result<Option<Holder>, SyncError> {
    for (listing_id, of) in candidates.into_iter().filter(|(id, _)| *id != own) {
        // The aggregate has the last word: the candidate may have been linked elsewhere since.
        let listing = commands.load_listing(listing_id).await?;
        let Some(link) = listing.link().filter(|link| link.target_id == of) else { continue };
        // The read model may not know yet that its target was deleted.
        if of != target && commands.load_target(of).await?.live().is_err() {
            continue;
        }
        // What one was unlinked from is still its own, and taken up again when it is linked again: nobody else is to write there whom nobody
        // has told so. At the same target somebody may have given it back, so what carries a reference is taken up by that.
        let holds = was_made || of != target || listing.state() != Some(LinkState::Unlinked);
        if listing.external_id() == Some(external) && holds {
            let unit_id = link.unit_id.clone();
            return Ok(Some(Holder { listing_id, unit_id, is_at_another_target: of != target }));
        }
    }
    Ok(None)
}

impl Syncing {
    /// Refuses what another listing of the target holds that is still linked.
    pub(crate) async fn must_be_free(
        &self,
        connection: &mut PgConnection,
        of: (TargetId, ListingId),
        external: &ExternalId,
    ) -> Result<(), SyncError> {
        match holder(self.commands(), connection, of, external).await? {
            None => Ok(()),
            Some(Holder { listing_id, unit_id, .. }) => {
                Err(SyncError::ExternalIdTaken { external_id: external.clone(), listing_id, unit_id })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::call::UNPROVED;
    use uuid::Uuid;

    use super::*;

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
