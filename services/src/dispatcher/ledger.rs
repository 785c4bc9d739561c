//! What workers told, sorted and written to the shared tables in batches.

use std::collections::HashSet;

use adapters::dispatch::{DispatchStore, FinishedTry, Lease, SlotHold};
use chrono::{DateTime, Utc};
use domain::channel::Section;
use domain::ids::TargetId;
use domain::window::Scope;
use tokio::sync::oneshot;

use super::message::{Granted, Message};

/// A call that wants a slot.
pub(super) struct Want {
    pub urgency: Section,
    pub reply: oneshot::Sender<Granted>,
}

/// Messages by kind.
#[derive(Default)]
pub(super) struct Told {
    pub wants: Vec<(TargetId, Want)>,
    throttled: Vec<(Scope, DateTime<Utc>)>,
    answered: Vec<SlotHold>,
    unused: Vec<SlotHold>,
    finished: Vec<FinishedTry>,
    released: Vec<Lease>,
}

/// What became of them.
#[derive(Default)]
pub(super) struct Written {
    /// Targets whose slots came back at once.
    pub unused: HashSet<TargetId>,
    /// What could not be written, to be told again.
    pub kept: Vec<Message>,
    /// Why it could not.
    pub failure: Option<sqlx::Error>,
}

impl Told {
    pub(super) fn sort(messages: impl Iterator<Item = Message>) -> Self {
        let mut told = Self::default();
        for message in messages {
            match message {
                Message::Want { target_id, urgency, reply } => told.wants.push((target_id, Want { urgency, reply })),
                Message::Answered(hold) => told.answered.push(hold),
                Message::Unused(hold) => told.unused.push(hold),
                Message::Throttled { scope, until } => told.throttled.push((scope, until)),
                Message::Finished(done) => told.finished.push(done),
                Message::Released(lease) => told.released.push(lease),
            }
        }
        told
    }

    /// The leases that ended, done or undone.
    pub(super) fn ended(&self) -> impl Iterator<Item = &Lease> {
        self.finished.iter().map(|done| &done.lease).chain(&self.released)
    }

    /// Writes everything but the wishes for slots.
    pub(super) async fn write(self, store: &DispatchStore) -> Written {
        let mut written = Written::default();
        // A throttle first: a slot that comes back must not be used before the pause is known.
        for (scope, until) in self.throttled {
            if let Err(error) = store.pause_scope(&scope, until).await {
                written.keep(error, [Message::Throttled { scope, until }]);
            }
        }
        if !self.answered.is_empty()
            && let Err(error) = store.free_after_window(&self.answered).await
        {
            written.keep(error, self.answered.into_iter().map(Message::Answered));
        }
        if !self.unused.is_empty() {
            match store.free_now(&self.unused).await {
                Ok(()) => written.unused.extend(self.unused.iter().map(|hold| hold.target_id)),
                Err(error) => written.keep(error, self.unused.into_iter().map(Message::Unused)),
            }
        }
        if !self.finished.is_empty()
            && let Err(error) = store.finish_leases(&self.finished).await
        {
            written.keep(error, self.finished.into_iter().map(Message::Finished));
        }
        if !self.released.is_empty()
            && let Err(error) = store.release_leases(&self.released).await
        {
            written.keep(error, self.released.into_iter().map(Message::Released));
        }
        written
    }
}

impl Written {
    fn keep(&mut self, error: sqlx::Error, messages: impl IntoIterator<Item = Message>) {
        self.failure = Some(error);
        self.kept.extend(messages);
    }
}
