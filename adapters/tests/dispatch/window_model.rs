//! The slots of one window on the real tables do what a plain model of them does, however calls are taken, answered, told
//! twice or too late, and the limit changed meanwhile; and what arrives never exceeds it. Time is moved by hand.

use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::time::Duration;

use adapters::dispatch::{DispatchStore, ScopeLimit, Settlement, SlotHold};
use domain::ids::TargetId;
use domain::window::{RateLimit, Scope};
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use proptest_state_machine::ReferenceStateMachine;

use crate::fixture::{Database, take};

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
    Limit(usize),
}

#[derive(Debug, Clone)]
struct Slot {
    free_at: i64,
    holder: Option<usize>,
}

#[derive(Debug, Clone)]
struct Call {
    slot: usize,
    began: i64,
    arrived: bool,
    told: bool,
}

#[derive(Debug, Clone)]
struct Model {
    now: i64,
    limit: usize,
    /// The highest limit that there was.
    most: usize,
    slots: Vec<Slot>,
    calls: Vec<Call>,
    arrivals: Vec<i64>,
    /// The slot that the last step took.
    took: Option<usize>,
}

impl Model {
    fn free(&self) -> Option<usize> {
        let taken = self.slots.iter().filter(|slot| slot.free_at > self.now).count();
        (taken < self.limit).then(|| (0..self.limit).find(|slot| self.slots[*slot].free_at <= self.now))?
    }

    fn grow(&mut self) {
        self.slots.resize(self.slots.len().max(self.limit), Slot { free_at: NEVER, holder: None });
        self.most = self.most.max(self.limit);
    }

    fn worst(&self) -> usize {
        let window = i64::from(WINDOW_MS);
        let from = |first: &i64| self.arrivals.iter().filter(|at| (*first..=first + window).contains(at)).count();
        self.arrivals.iter().map(from).max().unwrap_or(0)
    }
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        let made = |limit| {
            let mut model = Self { now: 0, limit, most: 0, slots: vec![], calls: vec![], arrivals: vec![], took: None };
            model.grow();
            model
        };
        (1_usize..4).prop_map(made).boxed()
    }

    fn transitions(state: &Self) -> BoxedStrategy<Step> {
        let mut ways = vec![
            (10, Just(Step::Take).boxed()),
            (6, (1_i64..4).prop_map(Step::Wait).boxed()),
            (3, (1_usize..5).prop_map(Step::Limit).boxed()),
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
                state.took = state.free();
                if let Some(slot) = state.took {
                    let free_at = state.now + HOLD_MS + REST_MS;
                    state.slots[slot] = Slot { free_at, holder: Some(state.calls.len()) };
                    state.calls.push(Call { slot, began: state.now, arrived: false, told: false });
                }
            }
            Step::Arrive(call) => {
                state.calls[*call].arrived = true;
                state.arrivals.push(state.now);
            }
            Step::Tell { call, used } => {
                state.calls[*call].told = true;
                let slot = &mut state.slots[state.calls[*call].slot];
                if slot.holder == Some(*call) {
                    *slot = Slot { free_at: if *used { state.now + REST_MS } else { NEVER }, holder: None };
                }
            }
            Step::Wait(ticks) => state.now += ticks * TICK_MS,
            Step::Limit(limit) => {
                state.limit = *limit;
                state.grow();
            }
        }
        state
    }
}

/// A lane on the real tables.
struct Subject<'a> {
    database: &'a Database,
    store: DispatchStore,
    target: TargetId,
    holds: Vec<SlotHold>,
}

impl Subject<'_> {
    async fn step(&mut self, step: &Step, model: &Model) -> Result<(), TestCaseError> {
        match step {
            Step::Take => {
                let hold = Duration::from_millis(HOLD_MS.unsigned_abs());
                let taken = take(&self.store, self.target, hold).await;
                let number = taken.as_ref().map(|hold| hold.slots[0].number);
                prop_assert_eq!(number, model.took.map(|slot| i32::try_from(slot).unwrap() + 1));
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
            Step::Limit(requests) => {
                let limit = Some(RateLimit::new(u32::try_from(*requests).unwrap(), WINDOW_MS).unwrap());
                let scope = Scope::Target(self.target.to_string());
                self.store.ensure_scopes(&[ScopeLimit { scope, limit }]).await.unwrap();
                self.database.run(&format!("UPDATE channel_targets SET requests = {requests}")).await;
            }
            Step::Arrive(_) => {}
        }
        prop_assert!(model.worst() <= model.most, "{:?}", model.arrivals);
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
            let limit = RateLimit::new(u32::try_from(model.limit).unwrap(), WINDOW_MS).unwrap();
            let target = database.target(number.get(), limit).await;
            let mut subject = Subject { database: &database, store: database.dispatcher(), target, holds: Vec::new() };
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
