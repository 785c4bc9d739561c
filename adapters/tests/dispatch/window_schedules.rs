//! Every small schedule of calls, each in a lane of its own, on the real tables: never more arrivals in a window than it
//! admits, and no slot that rests for longer than it has to. Time is moved by hand, three tenths of a window at a time.

use std::time::Duration;

use adapters::dispatch::{Claims, RoundRequest, Settlement, Slot, SlotHold};
use domain::ids::TargetId;
use domain::window::RateLimit;
use uuid::Uuid;

use crate::fixture::{Database, target};

const WINDOW_MS: u32 = 1_000_000;
const TICK_S: f64 = 300.0;
/// So many ticks are longer than a window and its margin, one less is shorter.
const REST: usize = 4;
/// How long a slot is kept of whose call nobody tells: longer than any call takes to arrive, which is eight ticks at most.
const HOLD: Duration = Duration::from_secs(2_550);
/// So many ticks are longer than that, a window and its margin, one less is shorter.
const GONE: usize = 12;
const LONG: Duration = Duration::from_secs(1_000_000);

/// A call, in ticks.
#[derive(Debug, Clone, Copy)]
struct Call {
    /// From when the one before it was wanted until it is wanted.
    after: usize,
    /// From its beginning until it arrives; none if it is never made.
    there: Option<usize>,
    /// From its beginning until its end is told; none if its dispatcher is gone.
    told: Option<usize>,
}

/// It arrives, and so much later its answer is told.
fn answered(there: usize, back: usize) -> Call {
    Call { after: 0, there: Some(there), told: Some(there + back) }
}

/// It arrives, and nobody hears of it.
fn lost(there: usize) -> Call {
    Call { after: 0, there: Some(there), told: None }
}

/// Its slot is given back.
fn unused(told: usize) -> Call {
    Call { after: 0, there: None, told: Some(told) }
}

/// A lane that makes its calls in order, each as soon as it is wanted and may.
struct Lane {
    target: TargetId,
    requests: usize,
    calls: Vec<Call>,
    begun: Vec<usize>,
    /// What will be told and when, and whether the call was made.
    to_tell: Vec<(usize, bool, SlotHold)>,
}

impl Lane {
    fn is_done(&self) -> bool {
        self.begun.len() == self.calls.len()
    }

    /// The call that it wants to make when so many have begun.
    fn wants(&self, begun: usize, tick: usize) -> Option<Call> {
        let wanted_at: usize = self.calls.iter().take(begun + 1).map(|call| call.after).sum();
        self.calls.get(begun).copied().filter(|_| wanted_at <= tick)
    }

    fn arrivals(&self) -> Vec<usize> {
        let arrival = |(begun, call): (&usize, &Call)| Some(begun + call.there?);
        let mut arrivals: Vec<usize> = self.begun.iter().zip(&self.calls).filter_map(arrival).collect();
        arrivals.sort_unstable();
        arrivals
    }

    /// The most arrivals less than [`REST`] ticks apart.
    fn worst(&self) -> usize {
        let arrivals = self.arrivals();
        let from = |first: usize| arrivals[first..].iter().take_while(|at| **at < arrivals[first] + REST).count();
        (0..arrivals.len()).map(from).max().unwrap_or(0)
    }

    /// When its calls begin if each slot is taken at once when it is back.
    fn best(&self) -> Vec<usize> {
        // Since when each slot is free, and whose it was last.
        let mut slots: Vec<(usize, Option<usize>)> = vec![(0, None); self.requests];
        let mut begun = Vec::new();
        let mut tick = 0;
        while begun.len() < self.calls.len() {
            for slot in slots.iter_mut().filter(|(free_at, _)| *free_at <= tick) {
                if self.wants(begun.len(), tick).is_some() {
                    *slot = (tick + GONE, Some(begun.len()));
                    begun.push(tick);
                }
            }
            for (number, (began, call)) in begun.iter().zip(&self.calls).enumerate() {
                // What is told of a slot that is another call's by now changes nothing.
                if call.told.is_some_and(|told| began + told == tick)
                    && let Some(slot) = slots.iter_mut().find(|(_, holder)| *holder == Some(number))
                {
                    // A slot that comes back at once is seen by the next round.
                    *slot = (tick + if call.there.is_some() { REST } else { 1 }, None);
                }
            }
            tick += 1;
        }
        begun
    }
}

/// Lanes with every way in which so many calls can each be one of these.
fn schedules(requests: usize, kinds: &[Call], calls: u32) -> impl Iterator<Item = (usize, Vec<Call>)> {
    let which = move |number: usize, call: u32| kinds[number / kinds.len().pow(call) % kinds.len()];
    (0..kinds.len().pow(calls)).map(move |number| (requests, (0..calls).map(|call| which(number, call)).collect()))
}

async fn keep_their_windows_and_use_them(schedules: impl Iterator<Item = (usize, Vec<Call>)>) {
    let lane = |(number, (requests, calls))| Lane {
        target: target(number),
        requests,
        calls,
        begun: Vec::new(),
        to_tell: Vec::new(),
    };
    let mut lanes: Vec<Lane> = (0_u128..).zip(schedules).map(lane).collect();
    let database = Database::new().await;
    let limits = lanes
        .iter()
        .map(|lane| (lane.target, RateLimit::new(u32::try_from(lane.requests).unwrap(), WINDOW_MS).unwrap()));
    database.targets(&limits.collect::<Vec<_>>()).await;
    let store = database.dispatcher();
    let mut tick = 0;
    while lanes.iter().any(|lane| !lane.is_done()) {
        let wanting = lanes.iter().filter(|lane| lane.wants(lane.begun.len(), tick).is_some());
        let waiting: Vec<TargetId> = wanting.map(|lane| lane.target).collect();
        let most = i64::try_from(lanes.len()).unwrap();
        let request = RoundRequest { waiting, due: false, lanes: most, per_lane: 0, capacity: 0 };
        let round = store.open_round(&request).await.unwrap();
        let mut holds = Vec::new();
        for shown in &round.lanes {
            let lane = &mut lanes[usize::try_from(shown.target_id.0.as_u128()).unwrap()];
            for number in &shown.free {
                let Some(call) = lane.wants(lane.begun.len(), tick) else { break };
                let slot = Slot { scope: format!("target:{}", lane.target), number: *number };
                let hold = SlotHold { hold_id: Uuid::new_v4(), target_id: lane.target, slots: vec![slot] };
                lane.begun.push(tick);
                lane.to_tell.extend(call.told.map(|told| (tick + told, call.there.is_some(), hold.clone())));
                holds.push(hold);
            }
        }
        round.write(&Claims { holds, ..Claims::default() }, HOLD, LONG).await.unwrap();
        // A call that begins and ends within a tick is told with those that end now.
        let mut settlement = Settlement::default();
        for (_, made, hold) in lanes.iter_mut().flat_map(|lane| lane.to_tell.extract_if(.., |(at, ..)| *at == tick)) {
            let told = if made { &mut settlement.answered } else { &mut settlement.unused };
            told.push(hold);
        }
        store.settle(&settlement).await.unwrap();
        database.pass(TICK_S).await;
        tick += 1;
        assert!(tick < 100, "a lane starves");
    }
    for lane in &lanes {
        assert!(
            lane.worst() <= lane.requests,
            "{} a window: {:?} arrive at {:?}",
            lane.requests,
            lane.calls,
            lane.arrivals()
        );
        assert_eq!(lane.begun, lane.best(), "{} a window: {:?}", lane.requests, lane.calls);
    }
    database.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_small_schedule_keeps_its_window_and_uses_it() {
    let there_and_back = |there| [0, 1, 4].map(|back| answered(there, back));
    let of_three: Vec<Call> = [0, 1, 4].into_iter().flat_map(there_and_back).collect();
    let of_four = [answered(0, 0), answered(3, 1), answered(1, 3), answered(5, 0)];
    let of_three = schedules(1, &of_three, 3).chain(schedules(2, &of_three, 3));
    let of_four = schedules(2, &of_four, 4).chain(schedules(3, &of_four, 4));
    keep_their_windows_and_use_them(of_three.chain(of_four)).await;
}

/// The last kind is told when its slot has run out and may be another call's.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_becomes_of_calls_that_are_wanted_at_any_time_every_window_is_kept_and_used() {
    let ends = [answered(0, 0), answered(2, 1), lost(0), lost(8), unused(0), answered(8, 5)];
    let wanted_later = ends.iter().flat_map(|call| [0, 2].map(|after| Call { after, ..*call })).collect::<Vec<_>>();
    keep_their_windows_and_use_them(schedules(1, &ends, 3).chain(schedules(2, &wanted_later, 3))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_becomes_of_four_five_and_six_calls_every_window_is_kept_and_used() {
    let ends = [answered(1, 1), lost(3), unused(1), answered(2, 11)];
    let few = schedules(1, &ends, 4).chain(schedules(2, &ends, 5));
    keep_their_windows_and_use_them(few.chain(schedules(3, &ends[..3], 6))).await;
}
