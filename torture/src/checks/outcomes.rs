//! The attempts of a sync that ran out of them were burned by the channel: by what it answered, by its line, or because
//! whoever waited for the answer was stopped. Trouble with Postgres or NATS, kills and gentle stops burn none. Nothing was ever
//! rejected, also where a later sync was taken, and nothing unauthorised but by a channel that forgot its tokens.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::listing::SyncAttempt;
use serde_json::Value;
use uuid::Uuid;

use crate::world::{CallFault, World};

/// Burned attempts that a sync has.
const ATTEMPTS: usize = 5;
/// So many may have no fault beside them: on a machine that is too busy, a call may take longer than its 4 s by itself.
const BY_THEMSELVES: usize = 1;
/// A token that a fault revoked, or bytes that were on their way, may be met a little after its end.
const AFTERMATH_US: u64 = 2_000_000;

const BURNED: &str = "
SELECT a.org_id, a.sync_id, e.payload -> e.event_type -> 'attempt'
FROM outbound_audit AS a LEFT JOIN events AS e
    ON e.aggregate_id = a.listing_id::text AND e.event_type IN ('SyncDeferred', 'SyncFailed')
    AND e.payload -> e.event_type ->> 'class' IN ('transient', 'unknown')
    AND e.payload -> e.event_type -> 'attempt' ->> 'sync_id' = a.sync_id::text
WHERE a.outcome = 'exhausted'
ORDER BY e.position";

/// With the attempt that ended it.
const REFUSED: &str = "
SELECT a.org_id, a.sync_id, a.outcome, e.payload -> e.event_type -> 'attempt'
FROM outbound_audit AS a LEFT JOIN events AS e
    ON e.aggregate_id = a.listing_id::text AND e.event_type = 'SyncFailed'
    AND e.payload -> e.event_type -> 'attempt' ->> 'sync_id' = a.sync_id::text
WHERE a.outcome IN ('rejected', 'unauthorised')";

pub(super) async fn check(world: &World) -> anyhow::Result<Vec<String>> {
    let rows: Vec<(String, Uuid, Option<Value>)> = sqlx::query_as(BURNED).fetch_all(&world.pool).await?;
    let mut syncs: BTreeMap<(String, Uuid), Vec<SyncAttempt>> = BTreeMap::new();
    for (org, sync, attempt) in rows {
        let burned = syncs.entry((org, sync)).or_default();
        if let Some(attempt) = attempt {
            burned.push(serde_json::from_value(attempt)?);
        }
    }
    let faults = world.call_faults();
    let wrong = |((org, sync), burned): (&(String, Uuid), &Vec<SyncAttempt>)| {
        Some(format!("sync {sync} of {org} is exhausted: {}", why_not(burned, &faults)?))
    };
    let mut found: Vec<String> = syncs.iter().filter_map(wrong).collect();
    let refused: Vec<(String, Uuid, String, Option<Value>)> = sqlx::query_as(REFUSED).fetch_all(&world.pool).await?;
    for (org, sync, outcome, attempt) in refused {
        let attempt: Option<SyncAttempt> = attempt.map(serde_json::from_value).transpose()?;
        if !may_be_refused(&outcome, attempt.as_ref(), &faults) {
            let detail = attempt.and_then(|attempt| attempt.detail);
            found.push(format!("sync {sync} of {org} is {outcome}: {detail:?}"));
        }
    }
    Ok(found)
}

/// Whether a sync may have ended so: no channel here refuses what it is sent, but one may forget each new token, too.
fn may_be_refused(outcome: &str, attempt: Option<&SyncAttempt>, faults: &[CallFault]) -> bool {
    outcome == "unauthorised" && attempt.is_some_and(|attempt| is_explained(attempt, faults))
}

/// Why a sync should not have ended by these attempts; `None` where it should.
fn why_not(burned: &[SyncAttempt], faults: &[CallFault]) -> Option<String> {
    if burned.len() < ATTEMPTS {
        return Some(format!("it burned {} attempts", burned.len()));
    }
    let unexplained: Vec<String> = burned
        .iter()
        .filter(|attempt| !is_explained(attempt, faults))
        .map(|attempt| format!("{} at {}: {:?}", attempt.attempt, attempt.started_at, attempt.detail))
        .collect();
    (unexplained.len() > BY_THEMSELVES)
        .then(|| format!("no fault of the channel was beside its attempts {}", unexplained.join("; ")))
}

/// Whether one of its calls failed beside a fault. Where none of its own did, as the token was another push's, anything
/// within the attempt may have been it.
fn is_explained(attempt: &SyncAttempt, faults: &[CallFault]) -> bool {
    let failed = attempt.calls.iter().filter(|call| call.class.burns_attempt()).map(|call| {
        let began_us = at_us(call.started_at);
        (began_us, began_us.saturating_add(call.duration_ms.saturating_mul(1_000)))
    });
    let mut spans: Vec<(u64, u64)> = failed.collect();
    if spans.is_empty() {
        spans.push((at_us(attempt.started_at), at_us(attempt.finished_at)));
    }
    let beside = |(began_us, ended_us): &(u64, u64)| {
        let mut faults = faults.iter();
        faults.any(|fault| fault.began_us <= *ended_us && *began_us <= fault.ended_us.saturating_add(AFTERMATH_US))
    };
    spans.iter().any(beside)
}

fn at_us(at: DateTime<Utc>) -> u64 {
    u64::try_from(at.timestamp_micros()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap_or_default()
    }

    /// An attempt of ten seconds; its calls are told by when each began and how it ended, and took a second.
    fn attempt(began_s: i64, calls: &[(i64, &str)]) -> SyncAttempt {
        let call = |(began_s, class): &(i64, &str)| {
            json!({
                "request_id": Uuid::nil(), "purpose": "content", "method": "PUT", "path": "/v1/listings/7",
                "started_at": at(*began_s), "duration_ms": 1_000, "status": null, "class": class,
            })
        };
        serde_json::from_value(json!({
            "sync_id": Uuid::nil(), "ordinal": 1, "attempt": 1, "started_at": at(began_s), "finished_at": at(began_s + 10),
            "calls": calls.iter().map(call).collect::<Vec<_>>(),
        }))
        .expect("it is an attempt")
    }

    fn fault(began_s: u64, ended_s: u64) -> CallFault {
        CallFault { began_us: began_s * 1_000_000, ended_us: ended_s * 1_000_000 }
    }

    #[test]
    fn an_attempt_is_explained_by_a_fault_beside_the_call_that_failed() {
        let failed = attempt(100, &[(101, "accepted"), (105, "unknown")]);
        assert!(is_explained(&failed, &[fault(90, 104)]), "what was on its way comes a little later");
        assert!(is_explained(&failed, &[fault(106, 110)]), "it broke while the call was under way");
        assert!(!is_explained(&failed, &[fault(90, 102), fault(107, 200)]), "it was over, or had not begun");
        assert!(!is_explained(&failed, &[]));
        let of_another = attempt(100, &[(101, "accepted")]);
        assert!(is_explained(&of_another, &[fault(90, 102)]), "a token that another push has asked for");
        assert!(!is_explained(&of_another, &[fault(111, 120)]));
    }

    #[test]
    fn a_sync_ends_by_five_attempts_of_which_one_alone_may_fail_by_itself() {
        let attempts: Vec<SyncAttempt> =
            [100, 200, 300, 400, 500].iter().map(|began| attempt(*began, &[(*began, "transient")])).collect();
        let faults: Vec<CallFault> = [100, 200, 300, 400].iter().map(|began| fault(*began, began + 1)).collect();
        assert_eq!(why_not(&attempts, &faults), None);
        let told = why_not(&attempts, &faults[..3]).expect("two of them have no cause");
        assert!(told.contains("no fault of the channel"), "{told}");
        assert_eq!(why_not(&attempts[..4], &faults).as_deref(), Some("it burned 4 attempts"));
    }

    #[test]
    fn a_refusal_is_seen_unless_the_channel_was_broken_beside_it() {
        let refused = attempt(100, &[(101, "unauthorised")]);
        assert!(may_be_refused("unauthorised", Some(&refused), &[fault(99, 104)]));
        assert!(!may_be_refused("unauthorised", Some(&refused), &[fault(120, 130)]));
        assert!(!may_be_refused("unauthorised", None, &[fault(99, 104)]));
        assert!(!may_be_refused("rejected", Some(&refused), &[fault(99, 104)]));
    }
}
