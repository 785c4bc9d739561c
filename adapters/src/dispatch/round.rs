//! A round: lock the due lanes, see their free slots and due work, decide, write the claims, plan the next wake.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::ids::{ListingId, OrgId, TargetId};
use domain::listing::Silent;
use domain::port::Stopped;
use sqlx::postgres::PgArguments;
use sqlx::query::QueryAs;
use sqlx::{FromRow, PgConnection, Postgres, Transaction};
use uuid::Uuid;

use super::closed;
use super::failover::{self, IS_WHERE_IT_WAS};
use super::scope::ACCOUNT_SCOPE;
use super::strangers;
use super::wake::{self, PlannedLane};
use super::{CALLABLE, CLAIMABLE, DispatchStore, Lease, SlotHold};

/// What a dispatcher can take on.
#[derive(Debug, Clone)]
pub struct RoundRequest {
    /// Lanes that are looked at even if they are not due, because calls under way wait for a slot there.
    pub waiting: Vec<TargetId>,
    /// Due lanes are looked at too; without it new work is left to other dispatchers.
    pub due: bool,
    /// Lanes per round at most.
    pub lanes: i64,
    /// New listings per lane at most.
    pub per_lane: i64,
    /// New listings of all lanes at most. Each lane shows twice its share, because some have less.
    pub capacity: i64,
}

impl RoundRequest {
    fn shown_per_lane(&self, lanes: usize) -> i64 {
        let lanes = i64::try_from(lanes).unwrap_or(i64::MAX).max(1);
        (2 * self.capacity / lanes).max(FEWEST_SHOWN).min(self.per_lane)
    }
}

/// Due work of a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// What would be leased.
    pub lease: Lease,
    /// The tenant.
    pub org_id: OrgId,
    /// The sections that differ, most urgent first.
    pub needs: Vec<String>,
    /// It has waited for as long as its most urgent section has patience.
    pub overdue: bool,
}

/// A lane: one target that may do something now.
#[derive(Debug, Clone, PartialEq)]
pub struct Lane {
    /// The target.
    pub target_id: TargetId,
    /// The version of the target's row, to see a changed limit.
    pub version: i64,
    /// The scope of the target's account at the channel, as text.
    pub account_scope: String,
    /// The scopes of the strangers of that account, as texts, where the target is one of them: of all, and of its organisation.
    pub strangers_scopes: Option<[String; 2]>,
    /// How many requests its window admits.
    pub requests: i32,
    /// Slots that are free now, already cut to the limit; empty while the scope is paused.
    pub free: Vec<i32>,
    /// How long until the next taken slot comes back, in seconds, if its call tells nothing earlier.
    pub next_free_s: Option<f64>,
    /// Work that is due now, most urgent first.
    pub candidates: Vec<Candidate>,
}

impl Lane {
    /// The scopes at its channel that it shares with other lanes, as text.
    pub fn shared_scopes(&self) -> impl Iterator<Item = &str> {
        self.shared_scopes_of(true)
    }

    /// Those that a call falls under: those of the strangers are for calls that may ask for a token alone.
    pub fn shared_scopes_of(&self, may_ask_for_token: bool) -> impl Iterator<Item = &str> {
        let strangers = self.strangers_scopes.iter().filter(move |_| may_ask_for_token).flatten();
        std::iter::once(&self.account_scope).chain(strangers).map(String::as_str)
    }
}

/// What a round decided.
#[derive(Debug, Default)]
pub struct Claims {
    /// Slots that are taken, one hold per call.
    pub holds: Vec<SlotHold>,
    /// Listings that are leased.
    pub leases: Vec<Lease>,
    /// Lanes that have work which they may not begin yet, and how long they rest.
    pub rests: Vec<(TargetId, Duration)>,
    /// Lanes whose due work was not given out as a whole.
    pub more: Vec<TargetId>,
}

#[derive(FromRow)]
struct LaneRow {
    target_id: Uuid,
    version: i64,
    account_scope: String,
    is_healthy: bool,
    requests: i32,
    paused: bool,
    free: Vec<i32>,
    taken: i64,
    next_free_s: Option<f64>,
    listing_id: Option<Uuid>,
    org_id: Option<String>,
    ordinal: Option<i64>,
    tries: Option<i32>,
    needs: Option<Vec<String>>,
    overdue: Option<bool>,
    takes_over: Option<bool>,
    /// Of a lease that is taken over.
    heir_of: Option<i64>,
    held_for: Option<i64>,
    held_since: Option<DateTime<Utc>>,
    held_until: Option<DateTime<Utc>>,
}

impl LaneRow {
    fn silent(&self) -> Option<Silent> {
        let last = self.held_for.filter(|_| self.takes_over == Some(true))?;
        Some(Silent {
            ordinal: self.heir_of.unwrap_or(last).try_into().ok()?,
            last_ordinal: last.try_into().ok()?,
            since: self.held_since,
            until: self.held_until,
        })
    }
}

/// A lane shows so many listings, however many lanes share what a dispatcher can take on.
const FEWEST_SHOWN: i64 = 4;

/// A round under way: the lanes are locked until it is written or dropped.
pub struct Round<'a> {
    store: &'a DispatchStore,
    pub(super) transaction: Transaction<'a, Postgres>,
    locked: Vec<Uuid>,
    /// The lanes that were due and not in another dispatcher's hands.
    pub lanes: Vec<Lane>,
    /// Lanes in which calls wait and whose target may not be called any more, each with why.
    pub closed: Vec<(TargetId, Stopped)>,
}

impl DispatchStore {
    /// Opens a round over all due lanes: one statement locks them, the next one sees their slots and work.
    ///
    /// Two statements, because a lock that another dispatcher has just let go is granted under a snapshot that does
    /// not show what that dispatcher took: read together, both would take the same slots.
    pub async fn open_round(&self, request: &RoundRequest) -> Result<Round<'_>, sqlx::Error> {
        let waiting: Vec<Uuid> = request.waiting.iter().map(|target| target.0).collect();
        let lock = format!(
            "SELECT l.target_id, {IS_WHERE_IT_WAS} FROM dispatch_lanes l JOIN channel_targets t USING (target_id)
             WHERE (l.target_id = ANY($1) OR ($3 AND l.wake_at <= now())) AND {CALLABLE}
             ORDER BY (l.target_id = ANY($1)) DESC, l.wake_at LIMIT $2 FOR UPDATE OF l SKIP LOCKED"
        );
        let lock = || sqlx::query_as(&lock).bind(&waiting).bind(request.lanes).bind(request.due);
        let (mut transaction, locked) = self.lock(lock).await?;
        let mut closed = Vec::new();
        if waiting.iter().any(|target| !locked.contains(target)) {
            closed = closed::among(&mut transaction, &waiting).await?;
        }
        if locked.is_empty() {
            return Ok(Round { store: self, transaction, locked, lanes: Vec::new(), closed });
        }
        let shown = request.shown_per_lane(locked.len());
        let lanes = look(&mut transaction, &locked, shown, false).await?;
        Ok(Round { store: self, transaction, locked, lanes, closed })
    }

    /// Opens a round over one lane, for a slot of a check: whatever state its target is in, and without its work.
    pub async fn open_check(&self, target: TargetId) -> Result<Round<'_>, sqlx::Error> {
        let lock = format!(
            "SELECT target_id, {IS_WHERE_IT_WAS} FROM dispatch_lanes WHERE target_id = $1 FOR UPDATE SKIP LOCKED"
        );
        let (mut transaction, locked) = self.lock(|| sqlx::query_as(&lock).bind(target.0)).await?;
        let lanes = look(&mut transaction, &locked, 0, true).await?;
        Ok(Round { store: self, transaction, locked, lanes, closed: Vec::new() })
    }

    /// A durable transaction with lanes locked in which slots can be taken. On another server than before all slots rest
    /// first, in a transaction of its own: a round that gives nothing is not written.
    async fn lock<'q>(
        &self,
        lock: impl Fn() -> Lock<'q>,
    ) -> Result<(Transaction<'static, Postgres>, Vec<Uuid>), sqlx::Error> {
        let mut has_rested = false;
        loop {
            let mut transaction = self.begin_ordered().await?;
            let locked = lock().fetch_all(&mut *transaction).await?;
            if has_rested || locked.iter().all(|(_, is_where_it_was)| *is_where_it_was) {
                return Ok((transaction, locked.into_iter().map(|(target, _)| target).collect()));
            }
            transaction.rollback().await?;
            failover::rest(self.begin(true).await?).await?;
            has_rested = true;
        }
    }
}

/// A statement that locks lanes and says of each whether the windows are where they were.
type Lock<'q> = QueryAs<'q, Postgres, (Uuid, bool), PgArguments>;

/// The slots of lanes that are locked, and so many listings with work that is due in each. A check under way has one
/// slot of its lane to itself, or a busy lane would never have one for it.
///
/// Work is read by its rank until there is enough. A plan that is made while the queue is empty, and stays, would rather find what
/// is due by an index and sort all of it, so the time is none that an index knows.
async fn look(
    connection: &mut PgConnection,
    locked: &[Uuid],
    shown: i64,
    for_check: bool,
) -> Result<Vec<Lane>, sqlx::Error> {
    let rows: Vec<LaneRow> = sqlx::query_as(&format!(
        "SELECT lane.target_id, t.version, t.requests,
                {ACCOUNT_SCOPE} AS account_scope, t.health = 'healthy' AS is_healthy,
                coalesce(s.paused_until > now(), false) AS paused, slot.free, slot.taken + checked.slots AS taken,
                slot.next_free_s, work.listing_id, work.org_id, work.ordinal, work.tries, work.needs,
                work.rank <= now() AS overdue, work.takes_over, work.heir_of, work.held_for, work.held_since,
                work.held_until
         FROM unnest($1::uuid[]) WITH ORDINALITY AS lane (target_id, ordinality)
         JOIN channel_targets t USING (target_id)
         LEFT JOIN rate_scopes s ON s.scope = 'target:' || lane.target_id
         CROSS JOIN LATERAL (
             SELECT count(*) AS slots FROM dispatch_checks k
             WHERE NOT $3 AND k.target_id = lane.target_id AND k.lease_until > now()) checked
         CROSS JOIN LATERAL (
             SELECT coalesce(array_agg(slot ORDER BY slot)
                             FILTER (WHERE free_at <= now() AND slot <= t.requests), '{{}}') AS free,
                    count(*) FILTER (WHERE free_at > now()) AS taken,
                    extract(epoch FROM min(free_at) FILTER (WHERE free_at > now()) - now())::float8 AS next_free_s
             FROM rate_slots WHERE scope = 'target:' || lane.target_id) slot
         LEFT JOIN LATERAL (
             SELECT q.listing_id, q.org_id, q.ordinal, q.tries, q.needs, q.rank,
                    d.listing_id IS NOT NULL AND NOT d.done AS takes_over, d.heir_of, d.ordinal AS held_for,
                    d.taken_at AS held_since, CASE WHEN isfinite(d.lease_until) THEN d.lease_until END AS held_until
             FROM sync_queue q JOIN channel_listings c USING (listing_id)
             LEFT JOIN dispatch_leases d USING (listing_id)
             WHERE q.target_id = lane.target_id AND q.due_at + interval '0' <= now() AND {CLAIMABLE}
             ORDER BY q.rank
             LIMIT least($2, greatest(t.requests - slot.taken - checked.slots, 0))) work ON true
         ORDER BY lane.ordinality, work.rank"
    ))
    .bind(locked)
    .bind(shown)
    .bind(for_check)
    .fetch_all(&mut *connection)
    .await?;
    let strangers = strangers::among(connection, &unproven(&rows)).await?;
    Ok(lanes(rows, &strangers))
}

/// The targets that may be strangers: whoever is healthy is none.
fn unproven(rows: &[LaneRow]) -> Vec<Uuid> {
    let mut targets: Vec<Uuid> = rows.iter().filter(|row| !row.is_healthy).map(|row| row.target_id).collect();
    targets.dedup();
    targets
}

fn lanes(rows: Vec<LaneRow>, strangers: &HashMap<Uuid, [String; 2]>) -> Vec<Lane> {
    let mut lanes: Vec<Lane> = Vec::new();
    let mut index: BTreeMap<Uuid, usize> = BTreeMap::new();
    for row in rows {
        let silent = row.silent();
        let at = *index.entry(row.target_id).or_insert_with(|| {
            let open = if row.paused { 0 } else { i64::from(row.requests) - row.taken };
            let open = usize::try_from(open).unwrap_or(0);
            lanes.push(Lane {
                target_id: TargetId(row.target_id),
                version: row.version,
                strangers_scopes: strangers.get(&row.target_id).cloned(),
                account_scope: row.account_scope.clone(),
                requests: row.requests,
                free: row.free.iter().copied().take(open).collect(),
                next_free_s: row.next_free_s,
                candidates: Vec::new(),
            });
            lanes.len() - 1
        });
        if let (Some(listing), Some(org), Some(ordinal), Some(tries)) =
            (row.listing_id, row.org_id, row.ordinal, row.tries)
            && let Ok(org_id) = org.parse()
        {
            let target_id = TargetId(row.target_id);
            let takes_over = row.takes_over.unwrap_or(false);
            let lease = Lease { listing_id: ListingId(listing), target_id, ordinal, tries, takes_over, silent };
            lanes[at].candidates.push(Candidate {
                lease,
                org_id,
                needs: row.needs.unwrap_or_default(),
                overdue: row.overdue.unwrap_or(false),
            });
        }
    }
    lanes
}

impl Round<'_> {
    /// Writes the claims, plans each lane's next wake and lets the lanes go. `hold` is how long a slot is kept if
    /// nobody tells how its call ended, without the window; `lease` is how long a listing is kept. Gives the listings that are leased
    /// now: one whose lease had run out may have been extended by its holder since the round saw it, and stays that one's.
    pub async fn write(
        mut self,
        claims: &Claims,
        hold: Duration,
        lease: Duration,
    ) -> Result<HashSet<ListingId>, sqlx::Error> {
        let mut leased = HashSet::new();
        if !claims.holds.is_empty() || !claims.leases.is_empty() {
            leased = self.write_claims(claims, hold, lease).await?;
        }
        let rests: HashMap<TargetId, Duration> = claims.rests.iter().copied().collect();
        let more: HashSet<TargetId> = claims.more.iter().copied().collect();
        let lanes = self.locked.iter().map(|target| TargetId(*target)).map(|target_id| PlannedLane {
            target_id,
            rest: rests.get(&target_id).copied().unwrap_or_default(),
            has_more: more.contains(&target_id),
        });
        let lanes: Vec<_> = lanes.collect();
        if !lanes.is_empty() {
            wake::plan(&mut self.transaction, &lanes).await?;
        }
        self.transaction.commit().await?;
        Ok(leased)
    }

    async fn write_claims(
        &mut self,
        claims: &Claims,
        hold: Duration,
        lease: Duration,
    ) -> Result<HashSet<ListingId>, sqlx::Error> {
        let slots = claims.holds.iter().flat_map(|hold| hold.slots.iter().map(|slot| (slot, hold.hold_id)));
        let ((scopes, numbers), holds): ((Vec<_>, Vec<_>), Vec<_>) =
            slots.map(|(slot, hold)| ((slot.scope.as_str(), slot.number), hold)).unzip();
        let leased: Vec<Uuid> = sqlx::query_scalar(
            "WITH taken AS (
                 UPDATE rate_slots s SET hold_id = u.hold_id,
                     free_at = clock_timestamp() + make_interval(secs => $4 +
                         (SELECT rest_ms FROM rate_scopes WHERE scope = s.scope) / 1000.0)
                 FROM unnest($1::text[], $2::int[], $3::uuid[]) AS u (scope, slot, hold_id)
                 WHERE s.scope = u.scope AND s.slot = u.slot
             )
             INSERT INTO dispatch_leases (listing_id, holder, ordinal, tries, lease_until, done, taken_at)
             SELECT u.listing_id, $8, u.ordinal, u.tries, clock_timestamp() + make_interval(secs => $9), false,
                 clock_timestamp()
             FROM unnest($5::uuid[], $6::bigint[], $7::int[]) AS u (listing_id, ordinal, tries) ORDER BY u.listing_id
             ON CONFLICT (listing_id) DO UPDATE SET holder = excluded.holder, ordinal = excluded.ordinal,
                 tries = excluded.tries, lease_until = excluded.lease_until, done = false,
                 taken_at = CASE WHEN dispatch_leases.done THEN excluded.taken_at ELSE dispatch_leases.taken_at END,
                 heir_of = CASE WHEN NOT dispatch_leases.done
                     THEN coalesce(dispatch_leases.heir_of, dispatch_leases.ordinal) END
                 WHERE dispatch_leases.done OR dispatch_leases.lease_until <= clock_timestamp()
             RETURNING listing_id",
        )
        .bind(scopes)
        .bind(numbers)
        .bind(holds)
        .bind(hold.as_secs_f64())
        .bind(claims.leases.iter().map(|lease| lease.listing_id.0).collect::<Vec<_>>())
        .bind(claims.leases.iter().map(|lease| lease.ordinal).collect::<Vec<_>>())
        .bind(claims.leases.iter().map(|lease| lease.tries).collect::<Vec<_>>())
        .bind(self.store.holder)
        .bind(lease.as_secs_f64())
        .fetch_all(&mut *self.transaction)
        .await?;
        Ok(leased.into_iter().map(ListingId).collect())
    }
}
