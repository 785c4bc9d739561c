//! Checks of targets: whoever asks for one (the role health, an open circuit, a person), a dispatcher makes it, inside the
//! target's windows. Its end is a row; only a change of health is an event.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use adapters::dispatch::{CheckRoom, DueCheck};
use async_trait::async_trait;
use domain::call::CallPurpose;
use domain::channel::Section;
use domain::outcome::OutcomeClass;
use domain::port::{CheckReport, NoSlot, Permit, SlotSource};
use domain::target::Target;
use domain::text::trace_id;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::check_places::{CheckPlace, CheckPlaces};
use super::message::{Message, tell};
use super::trace::VisitTrace;
use super::{Shared, target_health};
use crate::slots::START_GRACE;
use crate::slots::permit::{SlotEnd, permit};
use crate::slots::single_slot::{self, Look};
use crate::slots::waiting::Wish;

/// How often it is looked for checks that are due.
const LOOK: Duration = Duration::from_millis(250);
/// The same while Postgres does not answer, of which the process tells by itself (`serve/database.rs`).
const LOOK_IN_VAIN: Duration = Duration::from_secs(2);
/// Checks that one dispatcher makes at the same time. No organisation gets all of these places (`CheckRoom`).
const MOST: usize = 64;
/// Checks of strangers among them that wait for a slot for a token. The next one ends at once: a few slots come free for all such of
/// an account, however many there are, and the others would keep everybody's checks waiting. So does one that would wait in vain.
pub(super) const MOST_STRANGERS: usize = 4;
/// A check waits for its slots no longer than this.
const PATIENCE: Duration = Duration::from_secs(15);
/// From one look for a slot to the next.
const RETRY: Duration = Duration::from_millis(50);

/// Makes the checks that are due until `stop`, then ends those under way.
pub(super) async fn run(shared: Arc<Shared>, gate: mpsc::UnboundedSender<Message>, stop: CancellationToken) {
    let (under_way, places) = (TaskTracker::new(), CheckPlaces::default());
    let mut room = CheckRoom::default();
    // Whoever takes a check and dies leaves it to others after the longest that it can take: its slots, and three calls.
    let lease = PATIENCE + START_GRACE + shared.options.call_timeout * 3;
    while !stop.is_cancelled() {
        room.under_way = places.taken();
        room.free = MOST.saturating_sub(room.under_way.values().sum());
        let due = if room.free == 0 { Ok(Vec::new()) } else { shared.store.take_checks(&mut room, lease).await };
        let wait = if due.is_ok() { LOOK } else { LOOK_IN_VAIN };
        match due {
            Ok(due) => due.into_iter().for_each(|due| {
                let place = places.take(&due.org_id);
                under_way.spawn(check(shared.clone(), gate.clone(), due, place));
            }),
            Err(error) => tracing::warn!(error = %error, "failed to look for checks that are due"),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
    under_way.close();
    under_way.wait().await;
}

async fn check(shared: Arc<Shared>, gate: mpsc::UnboundedSender<Message>, due: DueCheck, place: CheckPlace) {
    let mut trace = VisitTrace::of_check();
    let span = tracing::info_span!(
        "check",
        trace_id = trace_id(Some(trace.traceparent())),
        org_id = tracing::field::Empty,
        target_id = %due.target_id,
        check_id = %due.check_id,
    );
    check_one(&shared, gate, &due, &mut trace).instrument(span).await;
    drop(place);
}

async fn check_one(shared: &Shared, gate: mpsc::UnboundedSender<Message>, due: &DueCheck, trace: &mut VisitTrace) {
    let target_id = due.target_id;
    let (target, version) = match shared.commands.load_target_at(target_id).await {
        Ok(loaded) => loaded,
        Err(error) => return tracing::warn!(%target_id, %error, "a target to be checked could not be read"),
    };
    let told = match target.live() {
        Ok(target) => {
            tracing::Span::current().record("org_id", tracing::field::display(&target.org_id));
            made(shared, gate, due, (target, version), trace).await
        }
        Err(_) => shared.store.drop_check(target_id).await,
    };
    if let Err(error) = told {
        tracing::warn!(%target_id, %error, "a check could not be told; it is made again");
    }
}

async fn made(
    shared: &Shared,
    gate: mpsc::UnboundedSender<Message>,
    due: &DueCheck,
    (target, version): (&Target, i64),
    trace: &mut VisitTrace,
) -> Result<(), sqlx::Error> {
    shared.store.ensure_limits_of(&[(target, version)]).await?;
    let (until, is_stranger) = (Instant::now() + PATIENCE, AtomicBool::new(false));
    let slots = CheckSlots { shared, gate, target, until, is_stranger };
    let mut report = shared.channels.of(target.channel).check(target, &slots).await;
    // A slot that grew too old did not come in time either.
    if report.class.is_held_back() && report.calls.iter().all(|call| call.status != Some(429)) {
        report.class = OutcomeClass::Throttled;
        let no_slot = if slots.is_stranger.load(Ordering::Relaxed) {
            single_slot::told_to_strangers()
        } else {
            "no slot of the target's windows came free in time".to_owned()
        };
        report.detail = Some(no_slot);
    }
    trace.tell_check(target, &report);
    let failures = shared.store.note_check(due, report.class).await?;
    target_health::report_check(shared, target, &due.asked_by, trace.traceparent(), &report, failures).await;
    log(target, &report);
    shared.store.finish_check(due, target, &report).await
}

fn log(target: &Target, report: &CheckReport) {
    let (org_id, target_id, target_name) = (&target.org_id, target.target_id, &target.name);
    let (class, detail) = (report.class.as_str(), report.detail.as_deref().unwrap_or_default());
    if report.class.succeeded() {
        tracing::debug!(%org_id, %target_id, target_name, "a check was answered");
    } else {
        tracing::info!(%org_id, %target_id, target_name, class, detail, "a check failed");
    }
}

/// Slots for a check. They come from the tables as any call's do, but not by way of the queue: a target that is held, or
/// whose circuit is open, is checked all the same.
struct CheckSlots<'a> {
    shared: &'a Shared,
    gate: mpsc::UnboundedSender<Message>,
    target: &'a Target,
    until: Instant,
    /// What it waits for last is a slot of those that strangers have for tokens.
    is_stranger: AtomicBool,
}

impl CheckSlots<'_> {
    async fn look(&self, wish: Wish) -> Result<Look, sqlx::Error> {
        let options = &self.shared.options;
        let round = self.shared.store.open_check(self.target.target_id).await?;
        single_slot::take(round, wish, &options.egress, options.call_timeout).await
    }
}

#[async_trait]
impl SlotSource for CheckSlots<'_> {
    async fn slot(&self, purpose: CallPurpose, urgency: Section) -> Result<Box<dyn Permit>, NoSlot> {
        let wish = Wish { urgency, for_token: purpose == CallPurpose::Token };
        let mut place = None;
        loop {
            let mut rest = RETRY;
            match self.look(wish).await {
                Ok(Look::Granted(granted)) if granted.can_start() => {
                    self.is_stranger.store(false, Ordering::Relaxed);
                    let egress = &self.shared.options.egress;
                    return Ok(permit(granted, self.target, egress, tell(self.gate.clone())));
                }
                // Its commit took so long that the slot may be another call's by now.
                Ok(Look::Granted(late)) => tell(self.gate.clone())(SlotEnd::Unused(late.hold)),
                Ok(Look::NotNow) => {
                    self.is_stranger.store(false, Ordering::Relaxed);
                    place = None;
                }
                Ok(Look::NotNowForStranger(wait)) => {
                    self.is_stranger.store(true, Ordering::Relaxed);
                    rest = wait.max(RETRY);
                    if Instant::now() + rest > self.until {
                        return Err(NoSlot::NoneFree);
                    }
                    place = place.or_else(|| self.shared.strangers.try_acquire().ok());
                    if place.is_none() {
                        return Err(NoSlot::NoneFree);
                    }
                }
                Err(error) => tracing::warn!(error = %error, "a check could not take a slot"),
            }
            if Instant::now() >= self.until {
                return Err(NoSlot::NoneFree);
            }
            tokio::time::sleep(rest).await;
        }
    }
}
