//! What a test waits for in its world, and what has to hold there.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::ensure;

use super::World;
use crate::wait::{wait_for_rest, wait_until};

impl World {
    /// Waits until the intake is done with everything that was published, this revision of so many units among it.
    pub async fn taken(&self, units: i64, revision: i64) -> anyhow::Result<()> {
        let asked = "SELECT (SELECT count(*) FROM units WHERE revision >= $1),
            (SELECT coalesce(sum(count), 0)::bigint FROM intake_tally)";
        wait_for_rest("the units are taken in", Duration::from_secs(60), || async move {
            let (taken, judged): (i64, i64) = sqlx::query_as(asked).bind(revision).fetch_one(&self.pool).await?;
            let published = self.published.load(Ordering::Relaxed);
            let done = taken >= units && judged >= published;
            Ok(if done { Ok(()) } else { Err(format!("{taken} of {units} units, {judged} of {published} messages")) })
        })
        .await
    }

    /// Waits until every sync job has ended and the read models know it.
    pub async fn drained(&self, limit: Duration) -> anyhow::Result<()> {
        let asked = "SELECT (SELECT coalesce(max(position), 0) FROM events),
            (SELECT coalesce(min(position), 0) FROM projection_checkpoints), (SELECT count(*) FROM sync_queue),
            (SELECT count(*) FROM outbound_audit WHERE outcome = 'pending')";
        wait_for_rest("every sync has ended", limit, || async {
            let (head, behind, queued, pending): (i64, i64, i64, i64) =
                sqlx::query_as(asked).fetch_one(&self.pool).await?;
            let done = queued == 0 && pending == 0 && behind >= head;
            Ok(if done {
                Ok(())
            } else {
                Err(format!("{queued} queued, {pending} pending, read models at {behind} of {head}"))
            })
        })
        .await
    }

    /// Waits until the queue shows one listing with this revision of its unit.
    pub async fn waits(&self, revision: i64) -> anyhow::Result<()> {
        let waiting = format!("SELECT count(*) FROM sync_queue WHERE revision = {revision}");
        wait_until(&format!("revision {revision} waits"), Duration::from_secs(30), || async {
            let waiting = self.count(&waiting).await?;
            Ok(if waiting == 1 { Ok(()) } else { Err(format!("{waiting} listings do")) })
        })
        .await
    }

    /// The audit has exactly one row for each sync job of the journal.
    pub async fn audit_is_whole(&self) -> anyhow::Result<i64> {
        let coverage = projections::audit_coverage(&self.pool).await?;
        ensure!(coverage.missing == 0, "sync jobs without an audit row: {coverage:?}");
        let rows = self.count("SELECT count(*) FROM outbound_audit").await?;
        ensure!(rows == coverage.jobs, "{rows} audit rows for {} jobs", coverage.jobs);
        Ok(rows)
    }

    /// Every read model is what the journal says.
    pub fn read_models_are_right(&self) -> anyhow::Result<()> {
        for model in projections::all() {
            let name = model.name();
            let (code, printed, error) = self.run(&["projections", "verify", name])?;
            ensure!(code == 0, "{name} differs from its rebuild: {printed} {error}");
        }
        Ok(())
    }

    /// So many listings of an account, once each and all with this description, by the end of `patience`; nothing waits any
    /// more, and the audit is whole.
    pub async fn are_at_the_channel(
        &self,
        account: u64,
        listings: usize,
        description: &str,
        patience: Duration,
    ) -> anyhow::Result<()> {
        wait_for_rest("each unit's last state is at the channel", patience, || async {
            let all = self.sandbox.listings(account).await?;
            let there = all.iter().filter(|listing| listing["description"] == description).count();
            Ok(if there == listings { Ok(()) } else { Err(format!("{there} of {}", all.len())) })
        })
        .await?;
        self.drained(Duration::from_secs(60)).await?;
        let all = self.sandbox.listings(account).await?.len();
        ensure!(all == listings, "{all} listings where {listings} should be: none twice, none missing");
        let doubled = self.sandbox.account(account).await?["duplicate_references"].clone();
        ensure!(doubled == 0, "{doubled} references twice");
        self.audit_is_whole().await?;
        Ok(())
    }
}
