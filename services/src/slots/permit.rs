//! Leave for one call of a target: a slot until somebody is told how its call ended.

use std::time::Instant;

use adapters::dispatch::{Settlement, SlotHold};
use adapters::telemetry::call_starts;
use chrono::{DateTime, Utc};
use domain::port::{Permit, ThrottledScope};
use domain::target::Target;
use domain::window::Scope;

use super::granted::Granted;

/// What became of a slot.
#[derive(Debug)]
pub(crate) enum SlotEnd {
    /// Its call was answered just now.
    Answered(SlotHold),
    /// Its call ended just now without an answer, and may arrive yet.
    Unanswered(SlotHold),
    /// Its call was refused just now by a rate limit of this scope: nothing starts there before.
    Throttled(SlotHold, Scope, Instant),
    /// No call used it.
    Unused(SlotHold),
}

impl SlotEnd {
    /// To be written with everything else that has happened.
    pub(crate) fn note(self, told: &mut Settlement) {
        match self {
            Self::Answered(hold) => told.answered.push(hold),
            Self::Unanswered(hold) => told.unanswered.push(hold),
            Self::Throttled(hold, scope, until) => {
                told.paused.push((scope, until));
                told.answered.push(hold);
            }
            Self::Unused(hold) => told.unused.push(hold),
        }
    }
}

/// Leave for one call of this target, which leaves from this address; `tell` hears once what became of its slot.
pub(crate) fn permit(
    granted: Granted,
    target: &Target,
    egress: &str,
    tell: impl Fn(SlotEnd) + Send + 'static,
) -> Box<dyn Permit> {
    let scopes = [ThrottledScope::Account, ThrottledScope::Egress].map(|scope| scope.of(target, egress));
    Box::new(CallPermit { granted: Some(granted), scopes, tell })
}

struct CallPermit<T: Fn(SlotEnd)> {
    granted: Option<Granted>,
    scopes: [Scope; 2],
    tell: T,
}

impl<T: Fn(SlotEnd)> CallPermit<T> {
    fn end(&mut self, end: impl FnOnce(SlotHold) -> SlotEnd) {
        if let Some(granted) = self.granted.take() {
            (self.tell)(end(granted.hold));
        }
    }
}

impl<T: Fn(SlotEnd) + Send> Permit for CallPermit<T> {
    fn can_start(&self) -> bool {
        self.granted.as_ref().is_some_and(Granted::can_start)
    }

    fn starts(&self) {
        if let Some(granted) = &self.granted {
            call_starts(granted.at.elapsed());
        }
    }

    fn answered(mut self: Box<Self>) {
        self.end(SlotEnd::Answered);
    }

    fn unanswered(mut self: Box<Self>) {
        self.end(SlotEnd::Unanswered);
    }

    fn throttled(mut self: Box<Self>, scope: ThrottledScope, until: DateTime<Utc>) {
        let [account, egress] = self.scopes.clone();
        let scope = match scope {
            ThrottledScope::Account => account,
            ThrottledScope::Egress => egress,
        };
        // A length from now on: the database's clock may differ from this one.
        let until = Instant::now() + (until - Utc::now()).to_std().unwrap_or_default();
        self.end(|hold| SlotEnd::Throttled(hold, scope, until));
    }

    fn unused(mut self: Box<Self>) {
        self.end(SlotEnd::Unused);
    }
}

impl<T: Fn(SlotEnd)> Drop for CallPermit<T> {
    fn drop(&mut self) {
        // Dropped in the middle of a call: it may have arrived, or may arrive yet.
        self.end(SlotEnd::Unanswered);
    }
}
