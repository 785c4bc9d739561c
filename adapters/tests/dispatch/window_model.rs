//! The slots of two windows on the real tables, a target's and its account's, do what a plain model of them does, however calls are
//! taken, answered, told twice or too late, and the limits changed meanwhile; and what arrives exceeds neither. Time is moved by hand.

use std::cell::Cell;
use std::slice;
use std::sync::atomic::Ordering;
use std::time::Duration;

use adapters::dispatch::{Claims, DispatchStore, ScopeLimit, Settlement, SlotHold};
use domain::ids::TargetId;
use domain::window::{RateLimit, Scope};
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use proptest_state_machine::ReferenceStateMachine;

use crate::fixture::{Database, first_slot, request};

const WINDOW_MS: u32 = 1_000_000;
const REST_MS: i64 = 1_000_050;
/// How long a slot is kept of which nobody tells; no sum of it, a rest and ticks is near to another.
const HOLD_MS: i64 = 650_000;
const TICK_MS: i64 = 300_000;
const NEVER: i64 = i64::MIN;

#[derive(Debug, Clone)]
enum Step {
    /// A call wants a slot.
    Take,
    /// The call reaches the channel.
    Arrive(usize),
    /// The end of the call is told, perhaps not for the first time, or after its slot ran out.
    Tell {
        call: usize,
        used: bool,
    },
    Wait(i64),
    /// Of the target or of the account.
    Limit {
        window: usize,
        requests: usize,
    },
}

#[derive(Debug, Clone)]
struct Slot {
    free_at: i64,
    holder: Option<usize>,
}

#[derive(Debug, Clone)]
struct Call {
    /// One of each window.
    slots: [usize; 2],
    began: i64,
    arrived: bool,
    told: bool,
}

#[derive(Debug, Clone)]
struct Window {
    limit: usize,
    /// Every limit that there was, and since when.
    limits: Vec<(i64, usize)>,
    slots: Vec<Slot>,
}

impl Window {
    fn of(limit: usize) -> Self {
        let mut window = Self { limit, limits: vec![], slots: vec![] };
        window.allow(0, limit);
        window
    }

    fn allow(&mut self, now: i64, limit: usize) {
        self.limit = limit;
        self.limits.push((now, limit));
        self.slots.resize(self.slots.len().max(limit), Slot { free_at: NEVER, holder: None });
    }

    fn free(&self, now: i64) -> Option<usize> {
        let taken = self.slots.iter().filter(|slot| slot.free_at > now).count();
        (taken < self.limit).then(|| (0..self.limit).find(|slot| self.slots[*slot].free_at <= now))?
    }

    /// The highest limit that held at any time between two.
    fn highest(&self, from: i64, to: i64) -> usize {
        let ends = self.limits.iter().skip(1).map(|(since, _)| *since).chain([i64::MAX]);
        let held = self.limits.iter().zip(ends).filter(|((since, _), end)| *since <= to && *end >= from);
        held.map(|((_, limit), _)| *limit).max().unwrap_or(0)
    }

    /// The first span of a window with more arrivals than the highest limit that any of them can have had its slot under: a call
    /// arrives within `HOLD_MS`, so once those from before have come, a lowered limit holds.
    fn overrun(&self, arrivals: &[i64]) -> Option<(i64, usize, usize)> {
        arrivals.iter().find_map(|first| {
            let last = first + i64::from(WINDOW_MS);
            let count = arrivals.iter().filter(|at| (*first..=last).contains(at)).count();
            let most = self.highest(first - HOLD_MS, last);
            (count > most).then_some((*first, count, most))
        })
    }
}

#[derive(Debug, Clone)]
struct Model {
    now: i64,
    /// The target's and its account's.
    windows: [Window; 2],
    calls: Vec<Call>,
    arrivals: Vec<i64>,
    /// The slots that the last step took.
    took: Option<[usize; 2]>,
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        let made = |(target, account)| {
            let windows = [Window::of(target), Window::of(account)];
            Self { now: 0, windows, calls: vec![], arrivals: vec![], took: None }
        };
        (1_usize..4, 1_usize..4).prop_map(made).boxed()
    }

    fn transitions(state: &Self) -> BoxedStrategy<Step> {
        let mut ways = vec![
            (10, Just(Step::Take).boxed()),
            (6, (1_i64..4).prop_map(Step::Wait).boxed()),
            (4, (0_usize..2, 1_usize..5).prop_map(|(window, requests)| Step::Limit { window, requests }).boxed()),
        ];
        if !state.calls.is_empty() {
            // The youngest ones are those under way.
            let call = || (0..state.calls.len().min(5)).prop_map(|back| back).boxed();
            let last = state.calls.len() - 1;
            ways.push((8, call().prop_map(move |back| Step::Arrive(last - back)).boxed()));
            let told = (call(), proptest::bool::weighted(0.7));
            ways.push((8, told.prop_map(move |(back, used)| Step::Tell { call: last - back, used }).boxed()));
        }
        proptest::strategy::Union::new_weighted(ways).boxed()
    }

    fn preconditions(state: &Self, step: &Step) -> bool {
        match step {
            Step::Arrive(call) => state
                .calls
                .get(*call)
                .is_some_and(|call| !call.arrived && !call.told && state.now - call.began <= HOLD_MS),
            Step::Tell { call, used } => state.calls.get(*call).is_some_and(|call| *used || !call.arrived),
            _ => true,
        }
    }

    fn apply(mut state: Self, step: &Step) -> Self {
        state.took = None;
        match step {
            Step::Take => {
                let [target, account] = &state.windows;
                state.took = target.free(state.now).zip(account.free(state.now)).map(<[usize; 2]>::from);
                if let Some(slots) = state.took {
                    let (free_at, call) = (state.now + HOLD_MS + REST_MS, state.calls.len());
                    for (window, slot) in state.windows.iter_mut().zip(slots) {
                        window.slots[slot] = Slot { free_at, holder: Some(call) };
                    }
                    state.calls.push(Call { slots, began: state.now, arrived: false, told: false });
                }
            }
            Step::Arrive(call) => {
                state.calls[*call].arrived = true;
                state.arrivals.push(state.now);
            }
            Step::Tell { call, used } => {
                state.calls[*call].told = true;
                let free_at = if *used { state.now + REST_MS } else { NEVER };
                for (window, slot) in state.windows.iter_mut().zip(state.calls[*call].slots) {
                    let slot = &mut window.slots[slot];
                    if slot.holder == Some(*call) {
                        *slot = Slot { free_at, holder: None };
                    }
                }
            }
            Step::Wait(ticks) => state.now += ticks * TICK_MS,
            Step::Limit { window, requests } => state.windows[*window].allow(state.now, *requests),
        }
        state
    }
}

/// A lane on the real tables, and its account.
struct Subject<'a> {
    database: &'a Database,
    store: DispatchStore,
    target: TargetId,
    scopes: [Scope; 2],
    holds: Vec<SlotHold>,
}

impl Subject<'_> {
    /// Takes a slot of each window, or none.
    async fn take(&self) -> Option<SlotHold> {
        let mut round = self.store.open_round(&request(&[self.target], false)).await.unwrap();
        let hold = round.lanes.first().and_then(first_slot);
        let scope = self.scopes[1].to_string();
        let account = round.shared_scopes(slice::from_ref(&scope)).await.unwrap().remove(&scope);
        let number = account.and_then(|account| account.free?.first().copied());
        let taken = hold.zip(number).map(|(mut hold, number)| {
            hold.slots.push(adapters::dispatch::Slot { scope, number });
            hold
        });
        let claims = Claims { holds: taken.clone().into_iter().collect(), ..Claims::default() };
        let held = Duration::from_millis(HOLD_MS.unsigned_abs());
        round.write(&claims, held, Duration::from_secs(20)).await.unwrap();
        taken
    }

    async fn limit(&self, window: usize, requests: usize) {
        let limit = Some(RateLimit::new(u32::try_from(requests).unwrap(), WINDOW_MS).unwrap());
        let scope = self.scopes[window].clone();
        self.store.ensure_scopes(&[ScopeLimit { scope, limit }]).await.unwrap();
        if window == 0 {
            self.database.run(&format!("UPDATE channel_targets SET requests = {requests}")).await;
        }
    }

    async fn step(&mut self, step: &Step, model: &Model) -> Result<(), TestCaseError> {
        match step {
            Step::Take => {
                let taken = self.take().await;
                let numbers = taken.as_ref().map(|hold| hold.slots.iter().map(|slot| slot.number).collect::<Vec<_>>());
                let wanted = model.took.map(|slots| slots.map(|slot| i32::try_from(slot).unwrap() + 1).to_vec());
                prop_assert_eq!(numbers, wanted);
                self.holds.extend(taken);
            }
            Step::Tell { call, used } => {
                let hold = vec![self.holds[*call].clone()];
                let settlement = if *used {
                    Settlement { answered: hold, ..Settlement::default() }
                } else {
                    Settlement { unused: hold, ..Settlement::default() }
                };
                self.store.settle(&settlement).await.unwrap();
            }
            #[expect(clippy::cast_precision_loss, reason = "a few ticks")]
            Step::Wait(ticks) => self.database.pass((ticks * TICK_MS) as f64 / 1_000.0).await,
            Step::Limit { window, requests } => self.limit(*window, *requests).await,
            Step::Arrive(_) => {}
        }
        for window in &model.windows {
            let overrun = window.overrun(&model.arrivals);
            prop_assert!(overrun.is_none(), "{:?} of {:?} under {:?}", overrun, model.arrivals, window.limits);
        }
        Ok(())
    }
}

#[test]
fn slots_do_what_their_model_does() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let database = runtime.block_on(Database::new());
    let config =
        ProptestConfig { cases: 40, failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default() };
    let number = Cell::new(0);
    let outcome = TestRunner::new(config).run(&Model::sequential_strategy(1..50), |(mut model, steps, seen)| {
        number.set(number.get() + 1);
        runtime.block_on(async {
            let [own, account] = model.windows.clone().map(|window| window.limit);
            let limit = RateLimit::new(u32::try_from(own).unwrap(), WINDOW_MS).unwrap();
            let target = database.target(number.get(), limit).await;
            let name = number.get().to_string();
            let scopes = [Scope::Target(target.to_string()), Scope::account("hostaway", "http://h", &name)];
            let store = database.dispatcher();
            let mut subject = Subject { database: &database, store, target, scopes, holds: Vec::new() };
            subject.limit(1, account).await;
            for step in steps {
                seen.iter().for_each(|seen| {
                    seen.fetch_add(1, Ordering::SeqCst);
                });
                model = Model::apply(model, &step);
                subject.step(&step, &model).await?;
            }
            Ok(())
        })
    });
    runtime.block_on(database.close());
    outcome.unwrap();
}

#[test]
fn a_lowered_limit_that_did_not_hold_would_be_seen() {
    let mut window = Window::of(3);
    window.allow(10 * TICK_MS, 1);
    let before = 9 * TICK_MS;
    assert_eq!(window.overrun(&[before, before, before]), None, "it was not lowered yet");
    let just_after = 11 * TICK_MS;
    assert_eq!(window.overrun(&[just_after, just_after]), None, "they had their slots before");
    let later = 10 * TICK_MS + HOLD_MS + 1;
    assert_eq!(window.overrun(&[later, later]), Some((later, 2, 1)));
    window.allow(20 * TICK_MS, 2);
    let raised = 21 * TICK_MS;
    assert_eq!(window.overrun(&[raised, raised]), None);
}
