//! Slots for whoever asks, with what became of each.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use domain::call::CallPurpose;
use domain::channel::Section;
use domain::ids::ExternalId;
use domain::port::{NoSlot, NotOurs, Permit, SlotSource, Stopped, ThrottledScope};

/// What became of a permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Open,
    Answered,
    Unanswered,
    Throttled(ThrottledScope, DateTime<Utc>),
    Unused,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    pub purpose: CallPurpose,
    pub urgency: Section,
    pub end: End,
}

pub struct Slots {
    taken: Arc<Mutex<Vec<Slot>>>,
    /// How many there are in all.
    pub most: usize,
    pub creations: AtomicUsize,
    pub refuse_creation: bool,
    /// Why nothing may be written to a listing that is found.
    pub not_ours: Option<NotOurs>,
}

impl Default for Slots {
    fn default() -> Self {
        let (most, creations) = (usize::MAX, AtomicUsize::new(0));
        Self { taken: Arc::default(), most, creations, refuse_creation: false, not_ours: None }
    }
}

impl Slots {
    pub fn taken(&self) -> Vec<Slot> {
        self.taken.lock().unwrap().clone()
    }

    pub fn purposes(&self) -> Vec<CallPurpose> {
        self.taken().into_iter().map(|slot| slot.purpose).collect()
    }
}

struct TestPermit {
    taken: Arc<Mutex<Vec<Slot>>>,
    index: usize,
    started: AtomicBool,
}

impl TestPermit {
    fn end(&self, end: End) {
        let mut taken = self.taken.lock().unwrap();
        assert_eq!(taken[self.index].end, End::Open, "a permit ends once");
        taken[self.index].end = end;
        assert_eq!(self.started.load(Ordering::SeqCst), end != End::Unused, "a call says that it starts, and no other");
    }
}

impl Permit for TestPermit {
    fn can_start(&self) -> bool {
        true
    }

    fn starts(&self) {
        assert!(!self.started.swap(true, Ordering::SeqCst), "a call starts once");
    }

    fn answered(self: Box<Self>) {
        self.end(End::Answered);
    }

    fn unanswered(self: Box<Self>) {
        self.end(End::Unanswered);
    }

    fn throttled(self: Box<Self>, scope: ThrottledScope, until: DateTime<Utc>) {
        self.end(End::Throttled(scope, until));
    }

    fn unused(self: Box<Self>) {
        self.end(End::Unused);
    }
}

#[async_trait]
impl SlotSource for Slots {
    async fn slot(&self, purpose: CallPurpose, urgency: Section) -> Result<Box<dyn Permit>, NoSlot> {
        let mut taken = self.taken.lock().unwrap();
        if taken.len() >= self.most {
            return Err(NoSlot::Stopped(Stopped::Paused));
        }
        if purpose == CallPurpose::Create {
            self.creations.fetch_add(1, Ordering::SeqCst);
            if self.refuse_creation {
                let retry_at = Utc::now() + TimeDelta::seconds(30);
                return Err(NoSlot::Creation { reason: "another worker is creating it".to_owned(), retry_at });
            }
        }
        taken.push(Slot { purpose, urgency, end: End::Open });
        Ok(Box::new(TestPermit {
            taken: Arc::clone(&self.taken),
            index: taken.len() - 1,
            started: AtomicBool::default(),
        }))
    }

    async fn may_write_to(&self, _learned: &ExternalId, _was_made: bool) -> Result<(), NotOurs> {
        self.not_ours.clone().map_or(Ok(()), Err)
    }
}
