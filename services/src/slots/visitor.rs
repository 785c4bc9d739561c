//! Slots for calls that belong to no sync, such as a read for a comparison: taken through the same tables as those of the
//! dispatchers, in this process or any other.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use adapters::dispatch::{DispatchStore, RoundRequest, Settlement};
use async_trait::async_trait;
use domain::call::{CallPurpose, CallRecord};
use domain::channel::Section;
use domain::ids::ListingId;
use domain::metadata::Actor;
use domain::port::{NoSlot, Permit, SlotSource};
use domain::target::Target;
use domain::window::Scope;
use sqlx::PgPool;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::granted::Granted;
use super::permit::{SlotEnd, permit};
use super::single_slot::{self, Look};
use super::waiting::Wish;
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

/// One visit to a target: takes slots until its time is over.
pub struct Visitor<'a> {
    store: DispatchStore,
    commands: &'a Commands,
    target: &'a Target,
    egress: &'a Egress,
    until: Instant,
    /// Whoever wanted the visit has left: no further call begins.
    left: CancellationToken,
    /// The version of the target whose limits are in the tables.
    ensured: Mutex<Option<i64>>,
    told: Arc<Mutex<Settlement>>,
    refusal: Mutex<Option<String>>,
}

impl<'a> Visitor<'a> {
    /// A visit that waits for its slots for so long in all, and takes none any more once whoever wanted it has `left`.
    pub fn new(
        pool: PgPool,
        commands: &'a Commands,
        target: &'a Target,
        egress: &'a Egress,
        patience: Duration,
        left: CancellationToken,
    ) -> Self {
        Self {
            store: DispatchStore::new(pool, Uuid::now_v7()),
            commands,
            target,
            egress,
            until: Instant::now() + patience,
            left,
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

    /// Writes down that these calls were made to look at a listing, for whoever asks what others waited for, or who wanted that.
    pub async fn note(&self, listing: ListingId, by: &Actor, calls: &[CallRecord]) -> Result<(), sqlx::Error> {
        self.store.note_drift_calls(self.target, listing, by, calls).await
    }

    async fn look(&self, wish: Wish) -> Result<Look, sqlx::Error> {
        let target = self.target.target_id;
        let request = RoundRequest { waiting: vec![target], due: false, lanes: 1, per_lane: 0, capacity: 0 };
        let round = self.store.open_round(&request).await?;
        let Some(version) = round.lanes.first().map(|lane| lane.version) else { return Ok(Look::NotNow) };
        if *self.ensured.lock().expect("nobody panics while holding this lock") != Some(version) {
            // Its limits may not be in the tables yet: nothing starts before they are.
            drop(round);
            self.ensure_limits(version).await?;
            return Ok(Look::NotNow);
        }
        single_slot::take(round, wish, &self.egress.name, self.egress.call_timeout).await
    }

    async fn ensure_limits(&self, shown: i64) -> Result<(), sqlx::Error> {
        // The journal is at least as new as the version that the read model shows. Where it cannot be read now, the next look asks again.
        let Ok((now, version)) = self.commands.load_target_at(self.target.target_id).await else { return Ok(()) };
        let Some(target) = now.target() else { return Ok(()) };
        self.store.ensure_limits_of(&[(target, version)]).await?;
        *self.ensured.lock().expect("nobody panics while holding this lock") = Some(shown);
        Ok(())
    }

    async fn granted(&self, wish: Wish) -> Result<Granted, String> {
        let failed = |error: sqlx::Error| format!("slots could not be asked for: {error}");
        self.store.know_lane(self.target.target_id).await.map_err(failed)?;
        self.store.know_scope(&Scope::Egress(self.egress.name.clone())).await.map_err(failed)?;
        loop {
            self.settle().await.map_err(failed)?;
            if self.left.is_cancelled() {
                return Err("whoever asked for it has left".to_owned());
            }
            match self.look(wish).await.map_err(failed)? {
                Look::Granted(granted) if granted.can_start() && !self.left.is_cancelled() => return Ok(granted),
                // Nobody waits for it, or its commit took so long that the slot may be another call's by now.
                Look::Granted(late) => {
                    self.told.lock().expect("nobody panics while holding this lock").unused.push(late.hold);
                }
                Look::NotNow => {}
                Look::NotNowForStranger(_) => return Err(single_slot::told_to_strangers()),
            }
            if Instant::now() >= self.until {
                return Err("no slot was free in time".to_owned());
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

#[async_trait]
impl SlotSource for Visitor<'_> {
    async fn slot(&self, purpose: CallPurpose, urgency: Section) -> Result<Box<dyn Permit>, NoSlot> {
        match self.granted(Wish { urgency, for_token: purpose == CallPurpose::Token }).await {
            Ok(granted) => {
                let told = self.told.clone();
                let tell = move |end: SlotEnd| {
                    end.note(&mut told.lock().expect("nobody panics while holding this lock"));
                };
                Ok(permit(granted, self.target, &self.egress.name, tell))
            }
            Err(why) => {
                *self.refusal.lock().expect("nobody panics while holding this lock") = Some(why);
                Err(NoSlot::NoneFree)
            }
        }
    }
}
