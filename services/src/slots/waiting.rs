//! Calls under way that wait for a slot, lane by lane, and when each lane is worth another look.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use domain::channel::Section;
use domain::ids::{ListingId, TargetId};
use domain::port::Stopped;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::granted::Granted;

/// What matters of a call that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wish {
    pub urgency: Section,
    /// It asks for a token, which for a stranger is scarcer than anything else.
    pub for_token: bool,
}

/// How many calls of each wish wait in a lane.
pub(crate) type Wishes = BTreeMap<Wish, usize>;

/// A slot, or why there is none.
pub(crate) type Reply = Result<Granted, Stopped>;

/// A call that wants a slot. Dropping it tells the call that nobody gives any.
#[derive(Debug)]
pub(crate) struct Want {
    pub target_id: TargetId,
    pub listing_id: ListingId,
    pub wish: Wish,
    pub reply: oneshot::Sender<Reply>,
}

impl Want {
    /// Tells the call that it gets no slot, and why.
    pub(crate) fn stop(self, why: Stopped) {
        // Whoever is gone need not know.
        let _ = self.reply.send(Err(why));
    }
}

#[derive(Debug, Default)]
struct Queue {
    wants: VecDeque<Want>,
    /// There is no slot before this moment.
    rests_until: Option<Instant>,
}

/// The calls that wait.
#[derive(Debug, Default)]
pub(crate) struct WaitingCalls(BTreeMap<TargetId, Queue>);

impl WaitingCalls {
    pub(crate) fn add(&mut self, want: Want) {
        self.0.entry(want.target_id).or_default().wants.push_back(want);
    }

    /// Drops wants whose caller is gone.
    pub(crate) fn drop_gone(&mut self) {
        self.0.retain(|_, queue| {
            queue.wants.retain(|want| !want.reply.is_closed());
            !queue.wants.is_empty()
        });
    }

    /// Tells the calls for which there is a reason that they get no slot.
    pub(crate) fn stop(&mut self, why: impl Fn(&Want) -> Option<Stopped>) {
        self.0.retain(|_, queue| {
            for want in std::mem::take(&mut queue.wants) {
                match why(&want) {
                    Some(why) => want.stop(why),
                    None => queue.wants.push_back(want),
                }
            }
            !queue.wants.is_empty()
        });
    }

    /// Lanes to look at now.
    pub(crate) fn due(&self, now: Instant) -> Vec<TargetId> {
        let due = self.0.iter().filter(|(_, queue)| queue.rests_until.is_none_or(|until| until <= now));
        due.map(|(target, _)| *target).collect()
    }

    /// How long until a lane is to be looked at; `None` if no call waits.
    pub(crate) fn next_look(&self, now: Instant) -> Option<Duration> {
        let rest =
            |queue: &Queue| queue.rests_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        self.0.values().map(rest).min()
    }

    /// A lane whose calls still wait is not looked at for so long.
    pub(crate) fn rest(&mut self, target: TargetId, rest: Duration) {
        if let Some(queue) = self.0.get_mut(&target) {
            queue.rests_until = Some(Instant::now() + rest);
        }
    }

    /// Slots came back in a lane.
    pub(crate) fn look_again(&mut self, target: TargetId) {
        if let Some(queue) = self.0.get_mut(&target) {
            queue.rests_until = None;
        }
    }

    pub(crate) fn wishes(&self, target: TargetId) -> Wishes {
        let mut count = Wishes::new();
        for want in self.0.get(&target).iter().flat_map(|queue| &queue.wants) {
            *count.entry(want.wish).or_default() += 1;
        }
        count
    }

    /// Gives a slot to the first call of this wish. Gives it back if there is none any more.
    pub(crate) fn hand_over(&mut self, wish: Wish, mut granted: Granted) -> Option<Granted> {
        let Some(queue) = self.0.get_mut(&granted.hold.target_id) else { return Some(granted) };
        while let Some(index) = queue.wants.iter().position(|want| want.wish == wish) {
            let Some(want) = queue.wants.remove(index) else { break };
            match want.reply.send(Ok(granted)) {
                Err(Ok(back)) => granted = back,
                // It has it: what comes back is what was sent.
                Ok(()) | Err(Err(_)) => {
                    if queue.wants.is_empty() {
                        let target = want.target_id;
                        self.0.remove(&target);
                    }
                    return None;
                }
            }
        }
        Some(granted)
    }
}

#[cfg(test)]
mod tests {
    use adapters::dispatch::SlotHold;
    use uuid::Uuid;

    use super::*;
    use crate::slots::boot_instant::BootInstant;

    const WISH: Wish = Wish { urgency: Section::Rates, for_token: false };

    fn want(target: u128, listing: u128) -> (Want, oneshot::Receiver<Reply>) {
        let (reply, granted) = oneshot::channel();
        let target_id = TargetId(Uuid::from_u128(target));
        (Want { target_id, listing_id: ListingId(Uuid::from_u128(listing)), wish: WISH, reply }, granted)
    }

    fn grant(target: u128) -> Granted {
        let target_id = TargetId(Uuid::from_u128(target));
        Granted { hold: SlotHold { hold_id: Uuid::nil(), target_id, slots: Vec::new() }, at: BootInstant::now() }
    }

    #[tokio::test]
    async fn a_slot_goes_to_the_first_call_that_still_waits() {
        let mut calls = WaitingCalls::default();
        let (gone, receiver) = want(1, 1);
        drop(receiver);
        calls.add(gone);
        let (first, mut granted) = want(1, 2);
        calls.add(first);
        let for_token = Wish { for_token: true, ..WISH };
        assert!(calls.hand_over(for_token, grant(1)).is_some(), "nobody waits for a token");
        assert!(calls.hand_over(WISH, grant(1)).is_none());
        assert!(granted.try_recv().unwrap().is_ok());
        assert!(calls.hand_over(WISH, grant(1)).is_some(), "nobody waits");
        assert!(calls.next_look(Instant::now()).is_none());
    }

    #[tokio::test]
    async fn a_call_that_may_not_go_on_is_told_at_once_and_why() {
        let mut calls = WaitingCalls::default();
        let (closed, mut told) = want(1, 1);
        let (other, mut waits) = want(2, 2);
        calls.add(closed);
        calls.add(other);
        calls.stop(|want| (want.target_id == TargetId(Uuid::from_u128(1))).then_some(Stopped::Deleted));
        assert_eq!(told.try_recv().unwrap().unwrap_err(), Stopped::Deleted);
        assert_eq!(waits.try_recv().unwrap_err(), oneshot::error::TryRecvError::Empty);
    }

    #[tokio::test]
    async fn a_lane_that_rests_is_not_due_until_slots_come_back() {
        let mut calls = WaitingCalls::default();
        let (want, _granted) = want(1, 1);
        let target = want.target_id;
        calls.add(want);
        assert_eq!(calls.due(Instant::now()), [target]);
        calls.rest(target, Duration::from_secs(60));
        assert!(calls.due(Instant::now()).is_empty());
        assert!(calls.next_look(Instant::now()) > Some(Duration::from_secs(50)));
        calls.look_again(target);
        assert_eq!(calls.due(Instant::now()), [target]);
    }
}
