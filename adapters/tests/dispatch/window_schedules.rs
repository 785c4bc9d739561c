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
const LONG: Duration = Duration::from_secs(1_000_000);

/// Ticks to the channel and back again.
type Trip = (usize, usize);

/// A lane that makes its calls as soon as it may.
struct Lane {
    target: TargetId,
    requests: usize,
    trips: Vec<Trip>,
    begun: Vec<usize>,
    under_way: Vec<(usize, SlotHold)>,
}

impl Lane {
    fn arrivals(&self) -> Vec<usize> {
        let mut arrivals: Vec<usize> =
            self.begun.iter().zip(&self.trips).map(|(begun, (there, _))| begun + there).collect();
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
        let mut free_at = vec![0; self.requests];
        let begin = |(there, back): &Trip| {
            let slot = free_at.iter_mut().min().expect("a window has a slot");
            let begun = *slot;
            *slot = begun + there + back + REST;
            begun
        };
        self.trips.iter().map(begin).collect()
    }
}

/// Every way in which so many calls can each take one of these trips.
fn schedules(trips: &[Trip], calls: u32) -> impl Iterator<Item = Vec<Trip>> {
    (0..trips.len().pow(calls))
        .map(move |number| (0..calls).map(|call| trips[number / trips.len().pow(call) % trips.len()]).collect())
}

fn lanes() -> Vec<Lane> {
    let of_three: Vec<Trip> = [0, 1, 4].into_iter().flat_map(|there| [0, 1, 4].map(|back| (there, back))).collect();
    let of_four = [(0, 0), (3, 1), (1, 3), (5, 0)];
    let mut lanes = Vec::new();
    for (requests, trips, calls) in
        [(1, &of_three[..], 3), (2, &of_three[..], 3), (2, &of_four[..], 4), (3, &of_four[..], 4)]
    {
        for trips in schedules(trips, calls) {
            let target = target(lanes.len() as u128);
            lanes.push(Lane { target, requests, trips, begun: Vec::new(), under_way: Vec::new() });
        }
    }
    lanes
}

#[tokio::test(flavor = "multi_thread")]
async fn every_small_schedule_keeps_its_window_and_uses_it() {
    let database = Database::new().await;
    let mut lanes = lanes();
    let limits = lanes
        .iter()
        .map(|lane| (lane.target, RateLimit::new(u32::try_from(lane.requests).unwrap(), WINDOW_MS).unwrap()));
    database.targets(&limits.collect::<Vec<_>>()).await;
    let store = database.dispatcher();
    let mut tick = 0;
    while lanes.iter().any(|lane| lane.begun.len() < lane.trips.len()) {
        let waiting: Vec<TargetId> =
            lanes.iter().filter(|lane| lane.begun.len() < lane.trips.len()).map(|lane| lane.target).collect();
        let most = i64::try_from(lanes.len()).unwrap();
        let request = RoundRequest { waiting, due: false, lanes: most, per_lane: 0, capacity: 0 };
        let round = store.open_round(&request).await.unwrap();
        let mut holds = Vec::new();
        for shown in &round.lanes {
            let lane = &mut lanes[usize::try_from(shown.target_id.0.as_u128()).unwrap()];
            for number in &shown.free {
                let Some((there, back)) = lane.trips.get(lane.begun.len()) else { break };
                let slot = Slot { scope: format!("target:{}", lane.target), number: *number };
                let hold = SlotHold { hold_id: Uuid::new_v4(), target_id: lane.target, slots: vec![slot] };
                lane.begun.push(tick);
                lane.under_way.push((tick + there + back, hold.clone()));
                holds.push(hold);
            }
        }
        round.write(&Claims { holds, ..Claims::default() }, LONG, LONG).await.unwrap();
        // A call that begins and ends within a tick is told with those that end now.
        let ended = lanes.iter_mut().flat_map(|lane| lane.under_way.extract_if(.., |(end, _)| *end == tick));
        let answered = ended.map(|(_, hold)| hold).collect();
        store.settle(&Settlement { answered, ..Settlement::default() }).await.unwrap();
        database.pass(TICK_S).await;
        tick += 1;
        assert!(tick < 100, "a lane starves");
    }
    for lane in &lanes {
        assert!(
            lane.worst() <= lane.requests,
            "{} a window: {:?} arrive at {:?}",
            lane.requests,
            lane.trips,
            lane.arrivals()
        );
        assert_eq!(lane.begun, lane.best(), "{} a window: {:?}", lane.requests, lane.trips);
    }
    database.close().await;
}
