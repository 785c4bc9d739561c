//! Slots for calls that belong to no sync, such as a read for a comparison: taken through the same tables as those of the
//! dispatchers, in this process or any other.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adapters::dispatch::{Claims, DispatchStore, RoundRequest, ScopeLimit, Settlement};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::call::{CallPurpose, CallRecord};
use domain::channel::Section;
use domain::ids::TargetId;
use domain::port::{NoSlot, Permit, SyncHost, ThrottledScope};
use domain::target::Settings;
use domain::window::Scope;
use sqlx::PgPool;
use tokio::time::Instant;
use uuid::Uuid;

use super::START_GRACE;
use super::allocation::allocate;
use super::granted::Granted;
use super::waiting::Urgencies;
use crate::commands::Commands;

/// Between two looks for a slot.
const LOOK: Duration = Duration::from_millis(20);

/// Where calls leave from, and how long one may take.
#[derive(Debug, Clone)]
pub struct Egress {
    /// The name of the address.
    pub name: String,
    /// The longest call.
    pub call_timeout: Duration,
}

/// One errand at a target: takes slots until its time is over.
pub struct Visitor<'a> {
    store: DispatchStore,
    commands: &'a Commands,
    target: &'a Settings,
    egress: &'a Egress,
    until: Instant,
    /// The version of the target whose limits are in the tables.
    ensured: Mutex<Option<i64>>,
    told: Arc<Mutex<Settlement>>,
    refusal: Mutex<Option<String>>,
}

impl<'a> Visitor<'a> {
    /// An errand that waits for its slots for so long in all.
    pub fn new(
        pool: PgPool,
        commands: &'a Commands,
        target: &'a Settings,
        egress: &'a Egress,
        patience: Duration,
    ) -> Self {
        Self {
            store: DispatchStore::new(pool, Uuid::now_v7()),
            commands,
            target,
            egress,
            until: Instant::now() + patience,
            ensured: Mutex::default(),
            told: Arc::default(),
            refusal: Mutex::default(),
        }
    }

    /// Why there was no slot, if there was none.
    pub fn refusal(&self) -> Option<String> {
        self.refusal.lock().expect("nobody panics while holding this lock").clone()
    }

    /// Writes down how the calls ended. Without it their slots run out by themselves: late, never early.
    pub async fn settle(&self) -> Result<(), sqlx::Error> {
        let told = std::mem::take(&mut *self.told.lock().expect("nobody panics while holding this lock"));
        if told.is_empty() { Ok(()) } else { self.store.settle(&told).await }
    }

    /// Writes down that these calls were made, for whoever asks what others waited for.
    pub async fn note(&self, calls: &[CallRecord]) -> Result<(), sqlx::Error> {
        self.store.note_drift_calls(self.target, calls).await
    }

    /// One look: a slot, or `None` where there is none now.
    async fn look(&self, urgency: Section) -> Result<Option<Granted>, sqlx::Error> {
        let target = self.target.target_id;
        let request = RoundRequest { waiting: vec![target], due: false, lanes: 1, per_lane: 0, capacity: 0 };
        let mut round = self.store.open_round(&request).await?;
        let mut lanes = std::mem::take(&mut round.lanes);
        let Some(lane) = lanes.first_mut() else { return Ok(None) };
        let version = lane.version;
        if *self.ensured.lock().expect("nobody panics while holding this lock") != Some(version) {
            // Its limits may not be in the tables yet: nothing starts before they are.
            drop(round);
            self.ensure_limits(target, version).await?;
            return Ok(None);
        }
        let egress = Scope::Egress(self.egress.name.clone()).to_string();
        let scopes = vec![lane.account_scope.clone(), egress.clone()];
        let mut shared = round.shared_scopes(&scopes).await?;
        let waiting = BTreeMap::from([(target, Urgencies::from([(urgency, 1)]))]);
        let allocation = allocate(&lanes, &waiting, &mut shared, &egress, &HashMap::new(), 0);
        if allocation.grants.is_empty() {
            // Dropped unwritten, so that nobody's plan for the lane changes.
            return Ok(None);
        }
        let at = Instant::now();
        let claims =
            Claims { holds: allocation.grants.iter().map(|grant| grant.hold.clone()).collect(), ..Claims::default() };
        round.write(&claims, START_GRACE + self.egress.call_timeout, Duration::ZERO).await?;
        Ok(allocation.grants.into_iter().next().map(|grant| Granted { hold: grant.hold, at }))
    }

    async fn ensure_limits(&self, target: TargetId, version: i64) -> Result<(), sqlx::Error> {
        // The journal is at least as new as the version that the read model shows.
        let now = self.commands.load_target(target).await.ok();
        let settings = now.as_ref().and_then(|now| now.settings()).unwrap_or(self.target);
        let mut limits = vec![ScopeLimit { scope: settings.target_scope(), limit: Some(settings.rate_limit) }];
        limits.extend(self.store.account_limits_of(&[settings.account_scope()]).await?);
        self.store.ensure_scopes(&limits).await?;
        *self.ensured.lock().expect("nobody panics while holding this lock") = Some(version);
        Ok(())
    }

    async fn granted(&self, urgency: Section) -> Result<Granted, String> {
        let failed = |error: sqlx::Error| format!("slots could not be asked for: {error}");
        self.store.know_lane(self.target.target_id).await.map_err(failed)?;
        self.store.know_scope(&Scope::Egress(self.egress.name.clone())).await.map_err(failed)?;
        loop {
            self.settle().await.map_err(failed)?;
            if let Some(granted) = self.look(urgency).await.map_err(failed)? {
                return Ok(granted);
            }
            if Instant::now() >= self.until {
                return Err("no slot was free in time".to_owned());
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

#[async_trait]
impl SyncHost for Visitor<'_> {
    async fn slot(&self, _purpose: CallPurpose, urgency: Section) -> Result<Box<dyn Permit>, NoSlot> {
        match self.granted(urgency).await {
            Ok(granted) => {
                let scopes = [ThrottledScope::Account, ThrottledScope::Egress]
                    .map(|scope| scope.of(self.target, &self.egress.name));
                Ok(Box::new(VisitorPermit { granted: Some(granted), told: self.told.clone(), scopes }))
            }
            Err(why) => {
                *self.refusal.lock().expect("nobody panics while holding this lock") = Some(why);
                Err(NoSlot::Held)
            }
        }
    }
}

struct VisitorPermit {
    granted: Option<Granted>,
    told: Arc<Mutex<Settlement>>,
    scopes: [Scope; 2],
}

impl VisitorPermit {
    fn tell(&mut self, tell: impl FnOnce(&mut Settlement, Granted)) {
        if let Some(granted) = self.granted.take() {
            tell(&mut self.told.lock().expect("nobody panics while holding this lock"), granted);
        }
    }
}

impl Permit for VisitorPermit {
    fn can_start(&self) -> bool {
        self.granted.as_ref().is_some_and(Granted::can_start)
    }

    fn answered(mut self: Box<Self>) {
        self.tell(|told, granted| told.answered.push(granted.hold));
    }

    fn throttled(mut self: Box<Self>, scope: ThrottledScope, until: DateTime<Utc>) {
        let [account, egress] = self.scopes.clone();
        let scope = match scope {
            ThrottledScope::Account => account,
            ThrottledScope::Egress => egress,
        };
        // A length from now on: the database's clock may differ from this one.
        let until = std::time::Instant::now() + (until - Utc::now()).to_std().unwrap_or_default();
        self.tell(|told, granted| {
            told.paused.push((scope, until));
            told.answered.push(granted.hold);
        });
    }

    fn unused(mut self: Box<Self>) {
        self.tell(|told, granted| told.unused.push(granted.hold));
    }
}

impl Drop for VisitorPermit {
    fn drop(&mut self) {
        // Dropped in the middle of a call: it may have arrived, so the slot comes back after the window.
        self.tell(|told, granted| told.answered.push(granted.hold));
    }
}
