//! A round: lock the due lanes, see their free slots and due work, decide, write the claims, plan the next wake.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::ids::{ListingId, OrgId, TargetId};
use sqlx::{FromRow, Postgres, Transaction};
use uuid::Uuid;

use super::slot::margin_ms;
use super::{DispatchStore, Lease, SlotHold};

/// What a dispatcher can take on.
#[derive(Debug, Clone)]
pub struct RoundRequest {
    /// Lanes that are looked at even if they are not due, because calls under way wait for a slot there.
    pub waiting: Vec<TargetId>,
    /// Lanes per round at most.
    pub lanes: i64,
    /// New listings per lane at most.
    pub per_lane: i64,
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
    /// How many requests its window admits.
    pub requests: i32,
    /// Slots that are free now, already cut to the limit; empty while the scope is paused.
    pub free: Vec<i32>,
    /// How long until the next taken slot comes back, in seconds, if its call tells nothing earlier.
    pub next_free_s: Option<f64>,
    /// Work that is due now, most urgent first.
    pub candidates: Vec<Candidate>,
}

/// A scope that several lanes fall under.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SharedScope {
    /// Whether the channel has it paused now.
    pub paused: bool,
    /// Slots that are free now; `None` where there is no limit.
    pub free: Option<Vec<i32>>,
}

/// What a round decided.
#[derive(Debug, Default)]
pub struct Claims {
    /// Slots that are taken, one hold per call.
    pub holds: Vec<SlotHold>,
    /// Listings that are leased.
    pub leases: Vec<Lease>,
    /// Lanes that a shared scope held back: they look again soon.
    pub held_back: Vec<TargetId>,
}

#[derive(FromRow)]
struct LaneRow {
    target_id: Uuid,
    version: i64,
    account_scope: String,
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
}

/// Rows of the queue that nobody works on and whose work is not done; `l` is a listing, `d` its lease.
const CLAIMABLE: &str = "c.state = 'active' AND (d.listing_id IS NULL OR (d.lease_until <= now()
    AND (NOT d.done OR (q.ordinal, q.tries) > (d.ordinal, d.tries))))";

/// A round under way: the lanes are locked until it is written or dropped.
pub struct Round<'a> {
    store: &'a DispatchStore,
    transaction: Transaction<'a, Postgres>,
    /// The lanes that were due and not in another dispatcher's hands.
    pub lanes: Vec<Lane>,
}

impl DispatchStore {
    /// Opens a round over all due lanes: one statement locks them, the next one sees their slots and work.
    ///
    /// Two statements, because a lock that another dispatcher has just let go is granted under a snapshot that does
    /// not show what that dispatcher took: read together, both would take the same slots.
    pub async fn open_round(&self, request: &RoundRequest) -> Result<Round<'_>, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let locked: Vec<Uuid> = sqlx::query_scalar(
            "SELECT l.target_id FROM dispatch_lanes l JOIN channel_targets t USING (target_id)
             WHERE (l.wake_at <= now() OR l.target_id = ANY($1))
               AND t.lifecycle = 'active' AND t.health <> 'unauthorised'
             ORDER BY (l.target_id = ANY($1)) DESC, l.wake_at LIMIT $2 FOR UPDATE OF l SKIP LOCKED",
        )
        .bind(request.waiting.iter().map(|target| target.0).collect::<Vec<_>>())
        .bind(request.lanes)
        .fetch_all(&mut *transaction)
        .await?;
        if locked.is_empty() {
            return Ok(Round { store: self, transaction, lanes: Vec::new() });
        }
        let rows: Vec<LaneRow> = sqlx::query_as(&format!(
            "SELECT lane.target_id, t.version, t.requests,
                    'account:' || t.channel || '/' || t.base_url || '/' || t.channel_account AS account_scope,
                    coalesce(s.paused_until > now(), false) AS paused, slot.free, slot.taken, slot.next_free_s,
                    work.listing_id, work.org_id, work.ordinal, work.tries, work.needs
             FROM unnest($1::uuid[]) WITH ORDINALITY AS lane (target_id, ordinality)
             JOIN channel_targets t USING (target_id)
             LEFT JOIN rate_scopes s ON s.scope = 'target:' || lane.target_id
             CROSS JOIN LATERAL (
                 SELECT coalesce(array_agg(slot ORDER BY slot)
                                 FILTER (WHERE free_at <= now() AND slot <= t.requests), '{{}}') AS free,
                        count(*) FILTER (WHERE free_at > now()) AS taken,
                        extract(epoch FROM min(free_at) FILTER (WHERE free_at > now()) - now())::float8 AS next_free_s
                 FROM rate_slots WHERE scope = 'target:' || lane.target_id) slot
             LEFT JOIN LATERAL (
                 SELECT q.listing_id, q.org_id, q.ordinal, q.tries, q.needs, q.rank
                 FROM sync_queue q JOIN channel_listings c USING (listing_id)
                 LEFT JOIN dispatch_leases d USING (listing_id)
                 WHERE q.target_id = lane.target_id AND q.due_at <= now() AND {CLAIMABLE}
                 ORDER BY q.rank
                 LIMIT least($2, greatest(t.requests - slot.taken, 0))) work ON true
             ORDER BY lane.ordinality, work.rank"
        ))
        .bind(&locked)
        .bind(request.per_lane)
        .fetch_all(&mut *transaction)
        .await?;
        Ok(Round { store: self, transaction, lanes: lanes(rows) })
    }
}

fn lanes(rows: Vec<LaneRow>) -> Vec<Lane> {
    let mut lanes: Vec<Lane> = Vec::new();
    let mut index: BTreeMap<Uuid, usize> = BTreeMap::new();
    for row in rows {
        let at = *index.entry(row.target_id).or_insert_with(|| {
            let open = if row.paused { 0 } else { i64::from(row.requests) - row.taken };
            let open = usize::try_from(open).unwrap_or(0);
            lanes.push(Lane {
                target_id: TargetId(row.target_id),
                version: row.version,
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
            let lease = Lease { listing_id: ListingId(listing), target_id, ordinal, tries };
            lanes[at].candidates.push(Candidate { lease, org_id, needs: row.needs.unwrap_or_default() });
        }
    }
    lanes
}

#[derive(FromRow)]
struct ScopeRow {
    scope: String,
    requests: Option<i32>,
    paused: bool,
}

#[derive(FromRow)]
struct ScopeSlots {
    scope: String,
    free: Vec<i32>,
    taken: i64,
}

impl Round<'_> {
    /// The scopes that several lanes share, by their text. Limited ones are locked for the rest of the round.
    pub async fn shared_scopes(&mut self, scopes: &[String]) -> Result<BTreeMap<String, SharedScope>, sqlx::Error> {
        let rows: Vec<ScopeRow> = sqlx::query_as(
            "SELECT scope, requests, paused_until > now() AS paused FROM rate_scopes WHERE scope = ANY($1)",
        )
        .bind(scopes)
        .fetch_all(&mut *self.transaction)
        .await?;
        let limits: BTreeMap<String, i64> =
            rows.iter().filter_map(|row| Some((row.scope.clone(), i64::from(row.requests?)))).collect();
        let mut shared: BTreeMap<String, SharedScope> = rows
            .into_iter()
            .map(|row| (row.scope, SharedScope { paused: row.paused, free: row.requests.map(|_| Vec::new()) }))
            .collect();
        if limits.is_empty() {
            return Ok(shared);
        }
        let names: Vec<&String> = limits.keys().collect();
        sqlx::query("SELECT 1 FROM rate_scopes WHERE scope = ANY($1) ORDER BY scope FOR UPDATE")
            .bind(&names)
            .execute(&mut *self.transaction)
            .await?;
        // The lock may have been waited for: only a statement after it sees what its last holder took.
        let slots: Vec<ScopeSlots> = sqlx::query_as(
            "SELECT scope, count(*) FILTER (WHERE free_at > now()) AS taken,
                    coalesce(array_agg(slot ORDER BY slot) FILTER (WHERE free_at <= now()), '{}') AS free
             FROM rate_slots WHERE scope = ANY($1) GROUP BY scope",
        )
        .bind(&names)
        .fetch_all(&mut *self.transaction)
        .await?;
        for row in slots {
            let limit = limits.get(&row.scope).copied().unwrap_or(0);
            let open = usize::try_from(limit - row.taken).unwrap_or(0);
            let free = row.free.into_iter().filter(|slot| i64::from(*slot) <= limit).take(open).collect();
            if let Some(scope) = shared.get_mut(&row.scope) {
                scope.free = Some(free);
            }
        }
        Ok(shared)
    }

    /// Writes the claims, plans each lane's next wake and lets the lanes go. `hold` is how long a slot is kept if
    /// nobody tells how its call ended, without the window; `lease` is how long a listing is kept.
    pub async fn write(mut self, claims: &Claims, hold: Duration, lease: Duration) -> Result<(), sqlx::Error> {
        if !claims.holds.is_empty() || !claims.leases.is_empty() {
            self.write_claims(claims, hold, lease).await?;
        }
        self.plan_wakes(&claims.held_back).await?;
        self.transaction.commit().await
    }

    async fn write_claims(&mut self, claims: &Claims, hold: Duration, lease: Duration) -> Result<(), sqlx::Error> {
        let slots = claims.holds.iter().flat_map(|hold| &hold.slots);
        let (scopes, numbers): (Vec<String>, Vec<i32>) = slots.map(|slot| (slot.scope.clone(), slot.number)).unzip();
        sqlx::query(
            "WITH taken AS (
                 UPDATE rate_slots s
                 SET free_at = clock_timestamp() + make_interval(secs => $3 + (r.window_ms + $9) / 1000.0)
                 FROM unnest($1::text[], $2::int[]) AS u (scope, slot) JOIN rate_scopes r ON r.scope = u.scope
                 WHERE s.scope = u.scope AND s.slot = u.slot
             )
             INSERT INTO dispatch_leases (listing_id, holder, ordinal, tries, lease_until, done)
             SELECT u.listing_id, $7, u.ordinal, u.tries, clock_timestamp() + make_interval(secs => $8), false
             FROM unnest($4::uuid[], $5::bigint[], $6::int[]) AS u (listing_id, ordinal, tries)
             ON CONFLICT (listing_id) DO UPDATE SET holder = excluded.holder, ordinal = excluded.ordinal,
                 tries = excluded.tries, lease_until = excluded.lease_until, done = false",
        )
        .bind(&scopes)
        .bind(&numbers)
        .bind(hold.as_secs_f64())
        .bind(claims.leases.iter().map(|lease| lease.listing_id.0).collect::<Vec<_>>())
        .bind(claims.leases.iter().map(|lease| lease.ordinal).collect::<Vec<_>>())
        .bind(claims.leases.iter().map(|lease| lease.tries).collect::<Vec<_>>())
        .bind(self.store.holder)
        .bind(lease.as_secs_f64())
        .bind(margin_ms())
        .execute(&mut *self.transaction)
        .await
        .map(|_| ())
    }

    /// A lane wakes when work is due and a slot is free. While it has any work it looks every 20 s at the latest, for
    /// leases that ran out. A new statement under the lane's lock sees everything that was queued before the lock.
    async fn plan_wakes(&mut self, held_back: &[TargetId]) -> Result<(), sqlx::Error> {
        if self.lanes.is_empty() {
            return Ok(());
        }
        sqlx::query(&format!(
            "UPDATE dispatch_lanes l SET wake_at = least(
                 greatest(work.due_at, slot.free_at, s.paused_until,
                          CASE WHEN l.target_id = ANY($2) THEN now() + interval '100 ms' END),
                 CASE WHEN EXISTS (SELECT 1 FROM sync_queue q WHERE q.target_id = l.target_id)
                      THEN now() + interval '20 s' ELSE 'infinity' END)
             FROM unnest($1::uuid[]) AS u (target_id)
             LEFT JOIN rate_scopes s ON s.scope = 'target:' || u.target_id
             LEFT JOIN channel_targets t ON t.target_id = u.target_id
             CROSS JOIN LATERAL (
                 SELECT coalesce((
                     SELECT q.due_at FROM sync_queue q JOIN channel_listings c USING (listing_id)
                     LEFT JOIN dispatch_leases d USING (listing_id)
                     WHERE q.target_id = u.target_id AND {CLAIMABLE}
                     ORDER BY q.due_at LIMIT 1), 'infinity') AS due_at) work
             CROSS JOIN LATERAL (
                 SELECT CASE WHEN count(*) FILTER (WHERE free_at > now()) < t.requests THEN '-infinity'
                             ELSE min(free_at) FILTER (WHERE free_at > now()) END AS free_at
                 FROM rate_slots WHERE scope = 'target:' || u.target_id) slot
             WHERE l.target_id = u.target_id"
        ))
        .bind(self.lanes.iter().map(|lane| lane.target_id.0).collect::<Vec<_>>())
        .bind(held_back.iter().map(|target| target.0).collect::<Vec<_>>())
        .execute(&mut *self.transaction)
        .await
        .map(|_| ())
    }
}
