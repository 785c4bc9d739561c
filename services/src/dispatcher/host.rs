//! What a channel's adapter may ask for while it works on one listing: slots, and leave to create.

use std::sync::Mutex;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::call::CallPurpose;
use domain::channel::Section;
use domain::ids::{ListingId, SyncId};
use domain::listing::{ListingCommand, ListingError};
use domain::metadata::Metadata;
use domain::port::{CreationRefused, NoSlot, Permit, SyncHost, ThrottledScope};
use domain::target::Settings;
use tokio::sync::{mpsc, oneshot};

use adapters::dispatch::SlotHold;

use super::message::{Granted, Message};
use crate::commands::{CommandError, Commands};

pub(super) struct Host<'a> {
    pub gate: mpsc::UnboundedSender<Message>,
    pub commands: &'a Commands,
    pub target: &'a Settings,
    pub egress: &'a str,
    pub listing_id: ListingId,
    pub sync_id: SyncId,
    pub metadata: &'a Metadata,
    /// The slot that came with the claim.
    pub first: Mutex<Option<Granted>>,
}

impl Host<'_> {
    /// Gives the first slot back if no call used it.
    pub(super) fn give_back(&self) {
        if let Some(granted) = self.take_first() {
            self.unused(granted);
        }
    }

    fn take_first(&self) -> Option<Granted> {
        self.first.lock().expect("nobody panics while holding this lock").take()
    }

    fn unused(&self, granted: Granted) {
        if let Some(message) = granted.told(Message::Unused) {
            let _ = self.gate.send(message);
        }
    }

    /// A permit, unless the grant is too old to start a call that its hold still covers.
    fn permit(&self, granted: Granted) -> Option<Box<dyn Permit>> {
        if !granted.can_start() {
            self.unused(granted);
            return None;
        }
        let scopes = [ThrottledScope::Account, ThrottledScope::Egress].map(|scope| scope.of(self.target, self.egress));
        Some(Box::new(GatePermit { granted: Some(granted), gate: self.gate.clone(), scopes }))
    }
}

#[async_trait]
impl SyncHost for Host<'_> {
    async fn slot(&self, _purpose: CallPurpose, urgency: Section) -> Result<Box<dyn Permit>, NoSlot> {
        if let Some(permit) = self.take_first().and_then(|granted| self.permit(granted)) {
            return Ok(permit);
        }
        loop {
            let (reply, granted) = oneshot::channel();
            let want = Message::Want { target_id: self.target.target_id, urgency, reply };
            self.gate.send(want).map_err(|_| NoSlot)?;
            if let Some(permit) = self.permit(granted.await.map_err(|_| NoSlot)?) {
                return Ok(permit);
            }
        }
    }

    async fn creation_started(&self) -> Result<(), CreationRefused> {
        let command = ListingCommand::StartCreation { sync_id: self.sync_id, at: Utc::now() };
        let refused = match self.commands.listing(self.listing_id, command, self.metadata).await {
            Ok(_) => return Ok(()),
            Err(CommandError::Refused(ListingError::CreationUnderWay { until })) => {
                CreationRefused { reason: ListingError::CreationUnderWay { until }.to_string(), retry_at: until }
            }
            Err(error) => CreationRefused { reason: error.to_string(), retry_at: Utc::now() },
        };
        Err(refused)
    }
}

struct GatePermit {
    granted: Option<Granted>,
    gate: mpsc::UnboundedSender<Message>,
    scopes: [domain::window::Scope; 2],
}

impl GatePermit {
    fn send(&mut self, message: impl FnOnce(SlotHold) -> Message) {
        if let Some(message) = self.granted.take().and_then(|granted| granted.told(message)) {
            // A gate that is gone leaves the slot to run out by itself: late, never early.
            let _ = self.gate.send(message);
        }
    }
}

impl Permit for GatePermit {
    fn answered(mut self: Box<Self>) {
        self.send(Message::Answered);
    }

    fn throttled(mut self: Box<Self>, scope: ThrottledScope, until: DateTime<Utc>) {
        let [account, egress] = self.scopes.clone();
        let scope = match scope {
            ThrottledScope::Account => account,
            ThrottledScope::Egress => egress,
        };
        let _ = self.gate.send(Message::Throttled { scope, until });
        self.send(Message::Answered);
    }

    fn unused(mut self: Box<Self>) {
        self.send(Message::Unused);
    }
}

impl Drop for GatePermit {
    fn drop(&mut self) {
        // Dropped in the middle of a call: it may have arrived, so the slot comes back after the window.
        self.send(Message::Answered);
    }
}
