//! A database of one's own with targets, their limits and due work.

use std::str::FromStr;
use std::time::Duration;

use adapters::dispatch::{CheckRoom, Claims, DispatchStore, Lane, Lease, RoundRequest, ScopeLimit, Slot, SlotHold};
use adapters::postgres::MIGRATOR;
use domain::channel::ChannelKind;
use domain::ids::{ListingId, TargetId};
use domain::target::{Health, Lifecycle, Target};
use domain::window::{RateLimit, Scope};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, PgPool};
use uuid::Uuid;

pub struct Database {
    pub pool: PgPool,
    name: String,
    server: PgConnectOptions,
}

pub fn target(number: u128) -> TargetId {
    TargetId(Uuid::from_u128(number))
}

pub fn listing(number: u128) -> ListingId {
    ListingId(Uuid::from_u128(number))
}

/// A target as whoever loads it has it.
pub fn settings(target_id: TargetId) -> Target {
    Target {
        target_id,
        org_id: "org".parse().unwrap(),
        account_id: "villas".parse().unwrap(),
        name: "T".to_owned(),
        channel: ChannelKind::Hostaway,
        base_url: "http://h".to_owned(),
        channel_account: "1".to_owned(),
        credential: "env:X".parse().unwrap(),
        rate_limit: RateLimit::default(),
        account_rate_limit: None,
        lifecycle: Lifecycle::Active,
        health: Health::Healthy,
        credential_epoch: 0,
    }
}

impl Database {
    pub async fn new() -> Self {
        let url = std::env::var("DATABASE_URL").expect("DATABASE_URL is set by `./justw test`");
        let server = PgConnectOptions::from_str(&url).unwrap();
        let name = format!("dispatch_{}", Uuid::now_v7().simple());
        let mut admin = server.clone().connect().await.unwrap();
        let template = std::env::var("TEST_TEMPLATE").map(|name| format!(" TEMPLATE {name}")).unwrap_or_default();
        sqlx::query(&format!("CREATE DATABASE {name}{template}")).execute(&mut admin).await.unwrap();
        let options = server.clone().database(&name);
        let pool = PgPoolOptions::new().max_connections(12).connect_with(options).await.unwrap();
        MIGRATOR.run(&pool).await.unwrap();
        Self { pool, name, server }
    }

    pub fn dispatcher(&self) -> DispatchStore {
        DispatchStore::new(self.pool.clone(), Uuid::now_v7())
    }

    /// A target with a limit and an account of its own, whose lane is due.
    pub async fn target(&self, number: u128, limit: RateLimit) -> TargetId {
        let id = target(number);
        sqlx::query(
            "INSERT INTO channel_targets (target_id, org_id, account_id, name, channel, base_url, channel_account,
                 credential, requests, window_ms, lifecycle, health, health_since, version, created_by, created_at,
                 updated_at, position)
             VALUES ($1, 'org', 'villas', 'T', 'hostaway', 'http://h', $2, 'env:X', $3, $4, 'active', 'healthy', now(),
                 1, 'ops', now(), now(), 1)",
        )
        .bind(id.0)
        .bind(number.to_string())
        .bind(i32::try_from(limit.requests()).unwrap())
        .bind(i32::try_from(limit.window_ms()).unwrap())
        .execute(&self.pool)
        .await
        .unwrap();
        self.due(id).await;
        let scope = Scope::Target(id.to_string());
        self.dispatcher().ensure_scopes(&[ScopeLimit { scope, limit: Some(limit) }]).await.unwrap();
        id
    }

    /// Targets in which calls wait, each with its limit.
    pub async fn targets(&self, limits: &[(TargetId, RateLimit)]) {
        let whole = |number: u32| i32::try_from(number).unwrap();
        let ids = limits.iter().map(|(id, _)| id.0).collect::<Vec<_>>();
        sqlx::query(
            "WITH made AS (
                 INSERT INTO channel_targets (target_id, org_id, account_id, name, channel, base_url, channel_account,
                     credential, requests, window_ms, lifecycle, health, health_since, version, created_by, created_at,
                     updated_at, position)
                 SELECT id, 'org', 'villas', 'T', 'hostaway', 'http://h', '1', 'env:X', requests, window_ms, 'active',
                     'healthy', now(), 1, 'ops', now(), now(), 1
                 FROM unnest($1::uuid[], $2::int[], $3::int[]) AS u (id, requests, window_ms)
                 RETURNING target_id)
             INSERT INTO dispatch_lanes SELECT target_id, now() FROM made",
        )
        .bind(ids)
        .bind(limits.iter().map(|(_, limit)| whole(limit.requests())).collect::<Vec<_>>())
        .bind(limits.iter().map(|(_, limit)| whole(limit.window_ms())).collect::<Vec<_>>())
        .execute(&self.pool)
        .await
        .unwrap();
        let scope = |(id, limit): &(TargetId, RateLimit)| ScopeLimit {
            scope: Scope::Target(id.to_string()),
            limit: Some(*limit),
        };
        self.dispatcher().ensure_scopes(&limits.iter().map(scope).collect::<Vec<_>>()).await.unwrap();
    }

    /// What the journal says of a target's health, at this position, where it was unknown.
    pub async fn heard(&self, target: TargetId, position: i64, health: &str) {
        self.heard_after(target, position, "unknown", health).await;
    }

    /// The same, where it was something else.
    pub async fn heard_after(&self, target: TargetId, position: i64, before: &str, health: &str) {
        sqlx::query(
            "INSERT INTO target_health_changes (position, target_id, org_id, account_id, at, from_health, to_health, reason)
             VALUES ($1, $2, 'org', 'villas', now(), $3, $4, 'so it is')",
        )
        .bind(position)
        .bind(target.0)
        .bind(before)
        .bind(health)
        .execute(&self.pool)
        .await
        .unwrap();
    }

    /// So much time goes by for every slot.
    pub async fn pass(&self, seconds: f64) {
        let later = "UPDATE rate_slots SET free_at = free_at - make_interval(secs => $1) WHERE free_at > '-infinity'";
        sqlx::query(later).bind(seconds).execute(&self.pool).await.unwrap();
    }

    pub async fn due(&self, target: TargetId) {
        sqlx::query(
            "INSERT INTO dispatch_lanes VALUES ($1, now())
             ON CONFLICT (target_id) DO UPDATE SET wake_at = now()",
        )
        .bind(target.0)
        .execute(&self.pool)
        .await
        .unwrap();
    }

    /// A listing with a job that is due.
    pub async fn job(&self, target: TargetId, number: u128) -> ListingId {
        let id = listing(number);
        sqlx::query(
            "INSERT INTO channel_listings (listing_id, org_id, account_id, unit_id, target_id, state, generation,
                 linked_by, linked_at, version, updated_at, position)
             VALUES ($1, 'org', 'villas', $1::text, $2, 'active', 1, 'ops', now(), 1, now(), 1)",
        )
        .bind(id.0)
        .bind(target.0)
        .execute(&self.pool)
        .await
        .unwrap();
        sqlx::query(
            "INSERT INTO sync_queue (listing_id, org_id, account_id, target_id, sync_id, ordinal, tries, snapshot,
                 revision, needs, rank, due_at, requested_at, position)
             VALUES ($1, 'org', 'villas', $2, $1, 1, 0, '', 1, '{rates}', now(), now(), now(), 1)",
        )
        .bind(id.0)
        .bind(target.0)
        .execute(&self.pool)
        .await
        .unwrap();
        id
    }

    pub async fn run(&self, sql: &str) {
        sqlx::query(sql).execute(&self.pool).await.unwrap();
    }

    pub async fn close(self) {
        self.pool.close().await;
        let mut admin = self.server.connect().await.unwrap();
        sqlx::query(&format!("DROP DATABASE {} WITH (FORCE)", self.name)).execute(&mut admin).await.unwrap();
    }
}

/// A round that also looks at lanes in which calls wait.
pub fn request(waiting: &[TargetId], due: bool) -> RoundRequest {
    RoundRequest { waiting: waiting.to_vec(), due, lanes: 100, per_lane: 10, capacity: 1_000 }
}

/// So many places for checks, none of which is taken.
pub fn room(free: usize) -> CheckRoom {
    CheckRoom { free, ..CheckRoom::default() }
}

/// The hold of the first free slot of a lane.
pub fn first_slot(lane: &Lane) -> Option<SlotHold> {
    let slot = Slot { scope: format!("target:{}", lane.target_id), number: *lane.free.first()? };
    Some(SlotHold { hold_id: Uuid::new_v4(), target_id: lane.target_id, slots: vec![slot] })
}

/// Takes a slot of a lane in which a call waits, and keeps it for `hold` and the window if nobody tells its end.
pub async fn take(store: &DispatchStore, target: TargetId, hold: Duration) -> Option<SlotHold> {
    let round = store.open_round(&request(&[target], false)).await.unwrap();
    let taken = round.lanes.first().and_then(first_slot);
    let claims = Claims { holds: taken.clone().into_iter().collect(), ..Claims::default() };
    round.write(&claims, hold, Duration::from_secs(20)).await.unwrap();
    taken
}

/// Leases what a round shows, for so long.
pub async fn lease(store: &DispatchStore, length: Duration) -> Vec<Lease> {
    let round = store.open_round(&request(&[], true)).await.unwrap();
    let leases: Vec<Lease> =
        round.lanes.iter().flat_map(|lane| &lane.candidates).map(|candidate| candidate.lease).collect();
    let claims = Claims { leases: leases.clone(), ..Claims::default() };
    round.write(&claims, Duration::ZERO, length).await.unwrap();
    leases
}
