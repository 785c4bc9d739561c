//! Whoever sends a state of the past again gets one job for it, with just that state, all of it, whatever the channel has.

use std::collections::HashMap;

use sqlx::FromRow;
use uuid::Uuid;

use crate::workload::{REASON, Retried};
use crate::world::World;

/// A job as the audit has it.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
struct Job {
    sync_id: Uuid,
    listing_id: Uuid,
    cause: String,
    reason: Option<String>,
    snapshot: Vec<u8>,
    /// How many sections it was to send.
    needs: i32,
}

const JOBS: &str =
    "SELECT sync_id, listing_id, cause, reason, snapshot, cardinality(needs) AS needs FROM outbound_audit";

pub(super) async fn check(world: &World, retries: &[Retried]) -> anyhow::Result<Vec<String>> {
    let jobs: Vec<Job> = sqlx::query_as(JOBS).fetch_all(&world.pool).await?;
    Ok(judge(&jobs, retries))
}

fn judge(jobs: &[Job], retries: &[Retried]) -> Vec<String> {
    let known: HashMap<Uuid, &Job> = jobs.iter().map(|job| (job.sync_id, job)).collect();
    let mut wrong = Vec::new();
    for Retried { of, by } in retries {
        let (Some(before), Some(job)) = (known.get(of), known.get(by)) else {
            wrong.push(format!("{by}, a retry of {of}, is not in the audit, or that one is not"));
            continue;
        };
        let same = (&job.snapshot, job.listing_id) == (&before.snapshot, before.listing_id);
        if !same || job.cause != "replayed" || job.needs == 0 {
            wrong.push(format!("a retry of {before:?} became {job:?}"));
        }
    }
    // The dispatcher sends states of the past again, too, for a reason of its own.
    let made = jobs.iter().filter(|job| job.cause == "replayed" && job.reason.as_deref() == Some(REASON)).count();
    if made != retries.len() {
        wrong.push(format!("{} retries became {made} jobs", retries.len()));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn job(sync: u128, cause: &str, snapshot: u8) -> Job {
        let (cause, reason) = (cause.to_owned(), Some(REASON.to_owned()));
        Job { sync_id: id(sync), listing_id: id(9), cause, reason, snapshot: vec![snapshot], needs: 4 }
    }

    #[test]
    fn a_retry_is_one_job_with_the_state_that_was_named() {
        let retry = [Retried { of: id(1), by: id(2) }];
        let jobs = [job(1, "unit_changed", 7), job(2, "replayed", 7)];
        assert!(judge(&jobs, &retry).is_empty());
        assert_eq!(judge(&jobs[..1], &retry).len(), 2, "nothing came of it");
        assert_eq!(judge(&[job(1, "unit_changed", 7), job(2, "replayed", 8)], &retry).len(), 1, "another state");
        let nothing = Job { needs: 0, ..job(2, "replayed", 7) };
        assert_eq!(judge(&[job(1, "unit_changed", 7), nothing], &retry).len(), 1, "it sends nothing");
        let twice = [&jobs[..], &[job(3, "replayed", 7)]].concat();
        assert_eq!(judge(&twice, &retry).len(), 1, "asked for once, and there are two");
        let of_another = Job { reason: Some("it may have arrived last".to_owned()), ..job(3, "replayed", 7) };
        assert!(judge(&[&jobs[..], &[of_another]].concat(), &retry).is_empty());
    }
}
