//! What a channel's adapter may ask for while it works on one listing: slots, and leave to create.

use std::sync::Mutex;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::call::CallPurpose;
use domain::channel::Section;
use domain::ids::{ExternalId, ListingId, SyncId};
use domain::listing::{ListingCommand, ListingError};
use domain::metadata::Metadata;
use domain::port::{NoSlot, NotOurs, Permit, SlotSource, Stopped};
use domain::target::Target;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::learned;
use super::message::{Message, tell};
use crate::commands::{CommandError, Commands};
use crate::slots::granted::Granted;
use crate::slots::permit::{SlotEnd, permit};
use crate::slots::waiting::{Want, Wish};

pub(super) struct SyncSlots<'a> {
    pub gate: mpsc::UnboundedSender<Message>,
    pub commands: &'a Commands,
    pub target: &'a Target,
    pub egress: &'a str,
    pub listing_id: ListingId,
    pub sync_id: SyncId,
    /// Its place among the listing's jobs.
    pub ordinal: u64,
    pub metadata: &'a Metadata,
    /// When the push began, UTC.
    pub began_at: DateTime<Utc>,
    /// The slot that came with the claim.
    pub first: Mutex<Option<Granted>>,
    /// When this push last wrote down that it is about to create.
    pub intent: Mutex<Option<DateTime<Utc>>>,
    /// For those who look or record whose an id is.
    pub places: &'a Semaphore,
}

impl SyncSlots<'_> {
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
        let _ = self.gate.send(Message::Slot(SlotEnd::Unused(granted.hold)));
    }

    /// A grant with which a call may start now.
    async fn granted(&self, wish: Wish) -> Result<Granted, NoSlot> {
        let mut next = self.take_first();
        loop {
            match next.take() {
                Some(granted) if granted.can_start() => return Ok(granted),
                Some(stale) => self.unused(stale),
                None => {}
            }
            let (reply, granted) = oneshot::channel();
            let (target_id, listing_id) = (self.target.target_id, self.listing_id);
            let want = Message::Want(Want { target_id, listing_id, wish, reply });
            // A gate that is gone has stopped.
            self.gate.send(want).map_err(|_| NoSlot::Stopped(Stopped::Stopping))?;
            let granted = granted.await.unwrap_or(Err(Stopped::Stopping));
            next = Some(granted.map_err(NoSlot::Stopped)?);
        }
    }

    /// Invariant: no duplicate listing at the channel. Written when the slot is there, so that the time for which an
    /// intent keeps others away is the call's own.
    async fn intend_creation(&self) -> Result<(), NoSlot> {
        let at = Utc::now();
        let replaces = *self.intent.lock().expect("nobody panics while holding this lock");
        let (sync_id, ordinal) = (self.sync_id, self.ordinal);
        let command = ListingCommand::StartCreation { sync_id, ordinal, at, began_at: self.began_at, replaces };
        let retry = |reason: String, retry_at| NoSlot::Creation { reason, retry_at };
        match self.commands.listing(self.listing_id, command, self.metadata).await {
            Ok(_) => {
                *self.intent.lock().expect("nobody panics while holding this lock") = Some(at);
                Ok(())
            }
            Err(CommandError::Refused(ListingError::CreationUnderWay { until })) => {
                Err(retry(ListingError::CreationUnderWay { until }.to_string(), until))
            }
            Err(error) => Err(retry(error.to_string(), Utc::now())),
        }
    }
}

#[async_trait]
impl SlotSource for SyncSlots<'_> {
    async fn slot(&self, purpose: CallPurpose, urgency: Section) -> Result<Box<dyn Permit>, NoSlot> {
        let wish = Wish { urgency, for_token: purpose == CallPurpose::Token };
        loop {
            let granted = self.granted(wish).await?;
            if purpose == CallPurpose::Create {
                if let Err(refused) = self.intend_creation().await {
                    self.unused(granted);
                    return Err(refused);
                }
                if !granted.can_start() {
                    self.unused(granted);
                    continue;
                }
            }
            return Ok(permit(granted, self.target, self.egress, tell(self.gate.clone())));
        }
    }

    async fn may_write_to(&self, learned: &ExternalId, was_made: bool) -> Result<(), NotOurs> {
        learned::may_write_to(self.commands, self.places, (self.target, self.listing_id), (learned, was_made)).await
    }
}
