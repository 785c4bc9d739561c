//! What a target's pause shows: many changes of one villa become one sync, a change that alters nothing becomes none,
//! and duplicates and older revisions are ignored.

use std::time::{Duration, Instant};

use demo::villas::Change;

use crate::progress::say;
use crate::run::Run;
use crate::targets::role_of;
use crate::{distribution, postgres};

/// The role of the target that pauses: the widest.
const ROLE: usize = 2;
/// So many villas change so often while it pauses.
const VILLAS: usize = 5;
const CHANGES: usize = 6;
/// And so many get a note that no channel sees.
const NOTES: usize = 3;

/// Pauses a target, lets changes pile up, resumes it, and waits until it has followed.
pub async fn show(run: &mut Run, deadline: Instant) -> anyhow::Result<()> {
    let before = (postgres::counts(&run.pool).await?, postgres::tally(&run.pool).await?);
    let target = run.targets[ROLE].clone();
    let name = target.role().name;
    let villas: Vec<usize> =
        (0..run.villas.len()).filter(|villa| role_of(*villa) == ROLE).take(VILLAS + NOTES).collect();
    distribution::pause(&run.stage, &target, "the demo shows what piles up").await?;
    while !postgres::target_is(&run.pool, target.target_id, "paused").await? && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    say(&format!(
        "{name} is paused: {VILLAS} villas change {CHANGES} times each, every last change comes twice and an old one \
         after it; {NOTES} more get an internal note"
    ));
    for villa in &villas[..VILLAS.min(villas.len())] {
        let old = run.villas[*villa].clone();
        for _ in 0..CHANGES {
            run.change(*villa, None).await?;
        }
        let newest = run.villas[*villa].clone();
        run.publish(&newest).await?;
        run.publish(&old).await?;
    }
    for villa in villas.iter().skip(VILLAS) {
        run.change(*villa, Some(Change::InternalNote)).await?;
    }
    run.taken(deadline).await?;
    distribution::resume(&run.stage, &target).await?;
    run.settled(deadline).await?;
    let after = (postgres::counts(&run.pool).await?, postgres::tally(&run.pool).await?);
    let jobs = after.0.jobs - before.0.jobs;
    let (coalesced, skipped) =
        (after.0.coalesced - before.0.coalesced, after.0.skipped_unchanged - before.0.skipped_unchanged);
    let ignored = |outcome: &str| {
        let count = |tally: &std::collections::HashMap<String, i64>| tally.get(outcome).copied().unwrap_or(0);
        count(&after.1) - count(&before.1)
    };
    say(&format!(
        "{name} goes on: of {jobs} changes {} were sent, {coalesced} had been overtaken and {skipped} altered nothing; \
         {} duplicates and {} older revisions were ignored",
        jobs - coalesced - skipped,
        ignored("duplicate_revision"),
        ignored("older_revision"),
    ));
    Ok(())
}
