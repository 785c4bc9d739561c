//! A host for pushes that grants slots and remembers what became of each permit.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use domain::call::CallPurpose;
use domain::channel::Section;
use domain::port::{NoSlot, Permit, SyncHost, ThrottledScope};

/// What became of a permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Open,
    Answered,
    Throttled(ThrottledScope, DateTime<Utc>),
    Unused,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    pub purpose: CallPurpose,
    pub urgency: Section,
    pub end: End,
}

pub struct Host {
    slots: Arc<Mutex<Vec<Slot>>>,
    /// How many slots there are in all.
    pub most_slots: usize,
    pub creations: AtomicUsize,
    pub refuse_creation: bool,
}

impl Default for Host {
    fn default() -> Self {
        Self { slots: Arc::default(), most_slots: usize::MAX, creations: AtomicUsize::new(0), refuse_creation: false }
    }
}

impl Host {
    pub fn slots(&self) -> Vec<Slot> {
        self.slots.lock().unwrap().clone()
    }

    pub fn purposes(&self) -> Vec<CallPurpose> {
        self.slots().into_iter().map(|slot| slot.purpose).collect()
    }
}

struct TestPermit {
    slots: Arc<Mutex<Vec<Slot>>>,
    index: usize,
}

impl TestPermit {
    fn end(&self, end: End) {
        let mut slots = self.slots.lock().unwrap();
        assert_eq!(slots[self.index].end, End::Open, "a permit ends once");
        slots[self.index].end = end;
    }
}

impl Permit for TestPermit {
    fn can_start(&self) -> bool {
        true
    }

    fn answered(self: Box<Self>) {
        self.end(End::Answered);
    }

    fn throttled(self: Box<Self>, scope: ThrottledScope, until: DateTime<Utc>) {
        self.end(End::Throttled(scope, until));
    }

    fn unused(self: Box<Self>) {
        self.end(End::Unused);
    }
}

#[async_trait]
impl SyncHost for Host {
    async fn slot(&self, purpose: CallPurpose, urgency: Section) -> Result<Box<dyn Permit>, NoSlot> {
        let mut slots = self.slots.lock().unwrap();
        if slots.len() >= self.most_slots {
            return Err(NoSlot::Held);
        }
        if purpose == CallPurpose::Create {
            self.creations.fetch_add(1, Ordering::SeqCst);
            if self.refuse_creation {
                let retry_at = Utc::now() + TimeDelta::seconds(30);
                return Err(NoSlot::Creation { reason: "another worker is creating it".to_owned(), retry_at });
            }
        }
        slots.push(Slot { purpose, urgency, end: End::Open });
        Ok(Box::new(TestPermit { slots: Arc::clone(&self.slots), index: slots.len() - 1 }))
    }
}
