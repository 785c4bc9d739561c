//! A settlement: what became of calls and leases since the last one, written as one transaction.

use std::time::{Duration, Instant};

use domain::ids::TargetId;
use domain::port::LATE_ARRIVAL;
use domain::window::Scope;
use sqlx::PgConnection;
use uuid::Uuid;

use super::circuit;
use super::{DispatchStore, FinishedTry, Lease, SlotHold};

/// What is done is not claimed again for so long while the queue shows it as it was: it follows the journal, mostly within a second.
/// What is there after that is taken up once more, and read from the journal as ever. It may be another job than the one that was
/// done, where the database was put back to an earlier state and gives the same ordinals again.
pub(super) const DONE_FOR: Duration = Duration::from_secs(60);

/// What has happened and is not written yet.
#[derive(Debug, Clone, Default)]
pub struct Settlement {
    /// Scopes that a channel paused, and until when.
    pub paused: Vec<(Scope, Instant)>,
    /// Calls that were answered: their slots come back a window and a margin from now.
    pub answered: Vec<SlotHold>,
    /// Calls that ended without an answer: their slots come back [`LATE_ARRIVAL`] after that.
    pub unanswered: Vec<SlotHold>,
    /// Pushes that ended, in order, and whether each failed in a way that counts for the target's circuit.
    pub ended: Vec<(TargetId, bool)>,
    /// Slots that no call used: they come back at once.
    pub unused: Vec<SlotHold>,
    /// Tries whose outcome is written: the queue rows that they came from are not claimed again for a minute, newer ones are.
    pub finished: Vec<FinishedTry>,
    /// Leases whose work was not done: another dispatcher can take it at once.
    pub released: Vec<Lease>,
    /// Leases whose work cannot be done now: nobody takes it for so long.
    pub set_aside: Vec<(Lease, Duration)>,
}

impl Settlement {
    /// Nothing happened.
    pub fn is_empty(&self) -> bool {
        self.paused.is_empty() && self.lanes().is_empty()
    }

    fn lanes(&self) -> Vec<Uuid> {
        let holds = self.called().map(|(hold, _)| hold.target_id);
        let aside = self.set_aside.iter().map(|(lease, _)| lease.target_id);
        let mut lanes: Vec<Uuid> = holds.chain(aside).chain(self.to_wake()).map(|target| target.0).collect();
        lanes.extend(self.ended.iter().map(|(target, _)| target.0));
        lanes.sort_unstable();
        lanes.dedup();
        lanes
    }

    /// The slots of calls, and how long after now each of these may still arrive.
    fn called(&self) -> impl Iterator<Item = (&SlotHold, Duration)> {
        let unanswered = self.unanswered.iter().map(|hold| (hold, LATE_ARRIVAL));
        self.answered.iter().map(|hold| (hold, Duration::ZERO)).chain(unanswered)
    }

    /// Lanes in which something may be done at once.
    fn to_wake(&self) -> impl Iterator<Item = TargetId> {
        let unused = self.unused.iter().map(|hold| hold.target_id);
        let finished = self.finished.iter().map(|done| done.lease.target_id);
        unused.chain(finished).chain(self.released.iter().map(|lease| lease.target_id))
    }
}

impl DispatchStore {
    /// Writes a settlement, all or nothing. What is told twice, as the answer to a commit was lost, changes nothing, but for pushes
    /// that ended: a failure counts twice for its target's circuit, and an answer forgets what others have told in between. A circuit
    /// that opens early for that is closed by its first check that is answered.
    ///
    /// Unless a channel paused something, the commit does not wait for the disk: one that a crash of the database takes
    /// back leaves slots and leases that run out by themselves, late and never early, and a queue row whose listing has
    /// nothing to send.
    pub async fn settle(&self, settlement: &Settlement) -> Result<(), sqlx::Error> {
        let mut transaction = self.begin(!settlement.paused.is_empty()).await?;
        sqlx::query("SELECT 1 FROM dispatch_lanes WHERE target_id = ANY($1) ORDER BY target_id FOR UPDATE")
            .bind(settlement.lanes())
            .execute(&mut *transaction)
            .await?;
        let mut paused: Vec<_> = settlement.paused.iter().collect();
        paused.sort();
        for (scope, until) in paused {
            pause(&mut transaction, scope, *until).await?;
        }
        if settlement.called().next().is_some() || !settlement.unused.is_empty() {
            free(&mut transaction, settlement).await?;
        }
        if !settlement.ended.is_empty() {
            circuit::note(&mut transaction, &settlement.ended).await?;
        }
        if !settlement.finished.is_empty() {
            finish(&mut transaction, &settlement.finished, self.holder).await?;
        }
        if !settlement.set_aside.is_empty() {
            set_aside(&mut transaction, &settlement.set_aside, self.holder).await?;
        }
        if !settlement.released.is_empty() {
            release(&mut transaction, &settlement.released, self.holder).await?;
        }
        sqlx::query(
            "UPDATE dispatch_lanes SET wake_at = clock_timestamp()
             WHERE target_id = ANY($1) AND wake_at > clock_timestamp()",
        )
        .bind(settlement.to_wake().map(|target| target.0).collect::<Vec<_>>())
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await
    }
}

/// Pauses a scope as a channel asked. A length, not a time: this host's clock and the database's may differ.
async fn pause(connection: &mut PgConnection, scope: &Scope, until: Instant) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO rate_scopes (scope, paused_until) VALUES ($1, clock_timestamp() + make_interval(secs => $2))
         ON CONFLICT (scope) DO UPDATE SET paused_until = greatest(rate_scopes.paused_until, excluded.paused_until)",
    )
    .bind(scope.to_string())
    .bind(until.saturating_duration_since(Instant::now()).as_secs_f64())
    .execute(connection)
    .await
    .map(|_| ())
}

/// Slots come back, and the lanes of those that were used wake when they do.
async fn free(connection: &mut PgConnection, settlement: &Settlement) -> Result<(), sqlx::Error> {
    let (mut scopes, mut numbers, mut holds, mut late) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let called = settlement.called().map(|(hold, late)| (hold, Some(late.as_secs_f64())));
    for (hold, arrives_late) in called.chain(settlement.unused.iter().map(|hold| (hold, None))) {
        for slot in &hold.slots {
            scopes.push(slot.scope.as_str());
            numbers.push(slot.number);
            holds.push(hold.hold_id);
            late.push(arrives_late);
        }
    }
    sqlx::query(
        "WITH freed AS (
             UPDATE rate_slots s SET hold_id = NULL, free_at = CASE
                 WHEN mine.late IS NULL THEN '-infinity'
                 ELSE clock_timestamp() + make_interval(secs => mine.late + coalesce(mine.rest_ms, 0) / 1000.0) END
             FROM (SELECT s.scope, s.slot, u.late, (SELECT rest_ms FROM rate_scopes WHERE scope = s.scope) AS rest_ms
                   FROM unnest($1::text[], $2::int[], $3::uuid[], $4::float8[]) AS u (scope, slot, hold_id, late)
                   JOIN rate_slots s ON s.scope = u.scope AND s.slot = u.slot AND s.hold_id = u.hold_id
                   ORDER BY s.scope, s.slot FOR UPDATE OF s) mine
             WHERE s.scope = mine.scope AND s.slot = mine.slot
             RETURNING s.scope, s.free_at
         )
         UPDATE dispatch_lanes l SET wake_at = f.free_at
         FROM (SELECT substr(scope, 8)::uuid AS target_id, min(free_at) AS free_at
               FROM freed WHERE free_at > '-infinity' AND scope LIKE 'target:%' GROUP BY scope) f
         WHERE l.target_id = f.target_id AND l.target_id = ANY($5) AND l.wake_at > f.free_at",
    )
    .bind(scopes)
    .bind(numbers)
    .bind(holds)
    .bind(late)
    .bind(settlement.called().map(|(hold, _)| hold.target_id.0).collect::<Vec<_>>())
    .execute(connection)
    .await
    .map(|_| ())
}

/// What the lease knew of attempts without a word goes with it: an older build, which writes none of it, may have it next.
async fn finish(connection: &mut PgConnection, finished: &[FinishedTry], holder: Uuid) -> Result<(), sqlx::Error> {
    let tries = finished.iter().map(|f| if f.ordinal == f.lease.ordinal { f.lease.tries } else { 0 });
    sqlx::query(
        "UPDATE dispatch_leases d SET done = true, ordinal = u.ordinal, tries = u.tries,
             lease_until = clock_timestamp() + make_interval(secs => u.rests_s + $5), taken_at = NULL, heir_of = NULL
         FROM unnest($1::uuid[], $2::bigint[], $3::int[], $6::float8[]) AS u (listing_id, ordinal, tries, rests_s)
         WHERE d.listing_id = u.listing_id AND d.holder = $4",
    )
    .bind(finished.iter().map(|f| f.lease.listing_id.0).collect::<Vec<_>>())
    .bind(finished.iter().map(|f| f.ordinal).collect::<Vec<_>>())
    .bind(tries.collect::<Vec<_>>())
    .bind(holder)
    .bind(DONE_FOR.as_secs_f64())
    .bind(finished.iter().map(|f| f.rests.as_secs_f64()).collect::<Vec<_>>())
    .execute(connection)
    .await
    .map(|_| ())
}

/// A lease that was taken over goes on as one that ran out: what had been sent before is as unknown as it was.
async fn release(connection: &mut PgConnection, leases: &[Lease], holder: Uuid) -> Result<(), sqlx::Error> {
    let of = |taken_over: bool| -> Vec<Uuid> {
        leases.iter().filter(|lease| lease.takes_over == taken_over).map(|lease| lease.listing_id.0).collect()
    };
    // Nothing was sent of the job that it was taken over for: the last one that may have been sent is the one before.
    let last = |lease: &Lease| lease.silent.and_then(|silent| i64::try_from(silent.last_ordinal).ok());
    let taken_over = leases.iter().filter(|lease| lease.takes_over);
    sqlx::query(
        "WITH kept AS (
             UPDATE dispatch_leases d SET lease_until = '-infinity', ordinal = coalesce(u.ordinal, d.ordinal)
             FROM unnest($2::uuid[], $4::bigint[]) AS u (listing_id, ordinal)
             WHERE d.listing_id = u.listing_id AND d.holder = $3 AND NOT d.done
         )
         DELETE FROM dispatch_leases WHERE listing_id = ANY($1) AND holder = $3 AND NOT done",
    )
    .bind(of(false))
    .bind(of(true))
    .bind(holder)
    .bind(taken_over.map(last).collect::<Vec<_>>())
    .execute(connection)
    .await
    .map(|_| ())
}

async fn set_aside(
    connection: &mut PgConnection,
    leases: &[(Lease, Duration)],
    holder: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE dispatch_leases d SET lease_until = clock_timestamp() + make_interval(secs => u.length_s)
         FROM unnest($1::uuid[], $2::float8[]) AS u (listing_id, length_s)
         WHERE d.listing_id = u.listing_id AND d.holder = $3 AND NOT d.done",
    )
    .bind(leases.iter().map(|(lease, _)| lease.listing_id.0).collect::<Vec<_>>())
    .bind(leases.iter().map(|(_, length)| length.as_secs_f64()).collect::<Vec<_>>())
    .bind(holder)
    .execute(connection)
    .await
    .map(|_| ())
}
