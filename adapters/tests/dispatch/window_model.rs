//! The slots of two windows on the real tables, a target's and its account's, do what a plain model of them does, however calls are
//! taken, answered, told twice or too late, and the limits changed meanwhile, also by whoever had loaded the target long before; and what
//! arrives exceeds neither. Time is moved by hand.

use std::cell::Cell;
use std::slice;
use std::sync::atomic::Ordering;
use std::time::Duration;

use adapters::dispatch::{Claims, DispatchStore, ScopeLimit, Settlement, SlotHold};
use domain::target::Target;
use domain::window::{RateLimit, Scope};
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use proptest_state_machine::ReferenceStateMachine;

use crate::fixture::{Database, first_slot, request, settings};

/// They differ by two ticks.
const WINDOWS_MS: [u32; 2] = [400_000, 1_000_000];
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
    /// The account gets another limit, in the tables at once.
    LimitAccount(RateLimit),
    /// The target gets another limit, in the journal.
    Change(RateLimit),
    /// The read model shows what is in the journal.
    Follow,
    /// One of those who are slow, as a check may be, loads the target.
    Load(usize),
    /// It brings what it has loaded into the tables, perhaps not for the first time.
    Ensure(usize),
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

/// What there was, each since when; the last of it holds.
type History<T> = Vec<(i64, T)>;

/// What held at any time between two.
fn held<T: Copy>(history: &[(i64, T)], from: i64, to: i64) -> impl Iterator<Item = T> {
    let ends = history.iter().skip(1).map(|(since, _)| *since).chain([i64::MAX]);
    let held = history.iter().zip(ends).filter(move |((since, _), end)| *since <= to && *end >= from);
    held.map(|((_, what), _)| *what)
}

fn requests(limit: RateLimit) -> usize {
    usize::try_from(limit.requests()).unwrap()
}

#[derive(Debug, Clone)]
struct Window {
    /// How many requests it admits.
    admits: History<usize>,
    /// The limit in the tables, by which slots rest.
    limits: History<RateLimit>,
    slots: Vec<Slot>,
}

impl Window {
    fn of(limit: RateLimit) -> Self {
        let mut window = Self { admits: vec![(0, requests(limit))], limits: vec![(0, limit)], slots: vec![] };
        window.bring(0, limit);
        window
    }

    fn limit(&self) -> RateLimit {
        self.limits.last().unwrap().1
    }

    fn rest_ms(&self) -> i64 {
        i64::from(self.limit().rest_ms())
    }

    /// This limit is in the tables from now on. Slots that are taken rest for as much longer as it asks for, and none for less.
    fn bring(&mut self, now: i64, limit: RateLimit) {
        let longer = (i64::from(limit.rest_ms()) - self.rest_ms()).max(0);
        self.slots.iter_mut().filter(|slot| slot.free_at > now).for_each(|slot| slot.free_at += longer);
        self.limits.push((now, limit));
        self.slots.resize(self.slots.len().max(requests(limit)), Slot { free_at: NEVER, holder: None });
    }

    fn free(&self, now: i64) -> Option<usize> {
        let admits = self.admits.last().unwrap().1;
        let taken = self.slots.iter().filter(|slot| slot.free_at > now).count();
        let mut slots = self.slots.iter().take(admits);
        slots.position(|slot| slot.free_at <= now).filter(|_| taken < admits)
    }

    /// The first span of the shortest window in question with more arrivals than the highest limit that any of them can have had its
    /// slot under: a call arrives within `HOLD_MS`, so once those from before have come, a lowered limit holds.
    fn overrun(&self, arrivals: &[i64]) -> Option<(i64, usize, usize)> {
        arrivals.iter().find_map(|first| {
            let [_, longest] = WINDOWS_MS.map(i64::from);
            let limits = held(&self.limits, first - HOLD_MS, first + longest);
            let last = first + limits.map(|limit| i64::from(limit.window_ms())).min().unwrap_or(longest);
            let count = arrivals.iter().filter(|at| (*first..=last).contains(at)).count();
            let most = held(&self.admits, first - HOLD_MS, last).max().unwrap_or(0);
            (count > most).then_some((*first, count, most))
        })
    }
}

#[derive(Debug, Clone)]
struct Model {
    now: i64,
    /// The target's and its account's.
    windows: [Window; 2],
    /// The limit of each version of the target; the first one is 1.
    journal: Vec<RateLimit>,
    /// The version that the read model shows.
    shown: usize,
    /// The version that it showed when the gate brought the limit into the tables.
    ensured: usize,
    /// The version whose limit is in the tables.
    in_tables: usize,
    /// The versions that the slow ones have loaded.
    loaded: [usize; 2],
    calls: Vec<Call>,
    arrivals: Vec<i64>,
    /// The slots that the last step took.
    took: Option<[usize; 2]>,
}

impl Model {
    fn ensure(&mut self, version: usize) {
        self.in_tables = version.max(self.shown);
        self.windows[0].bring(self.now, self.journal[self.in_tables - 1]);
    }

    fn take(&mut self) {
        if self.ensured != self.shown {
            self.ensure(self.journal.len());
            self.ensured = self.shown;
            return;
        }
        let [target, account] = &self.windows;
        self.took = target.free(self.now).zip(account.free(self.now)).map(<[usize; 2]>::from);
        if let Some(slots) = self.took {
            for (window, slot) in self.windows.iter_mut().zip(slots) {
                let free_at = self.now + HOLD_MS + window.rest_ms();
                window.slots[slot] = Slot { free_at, holder: Some(self.calls.len()) };
            }
            self.calls.push(Call { slots, began: self.now, arrived: false, told: false });
        }
    }

    fn tell(&mut self, call: usize, used: bool) {
        self.calls[call].told = true;
        for (window, slot) in self.windows.iter_mut().zip(self.calls[call].slots) {
            let free_at = if used { self.now + window.rest_ms() } else { NEVER };
            let slot = &mut window.slots[slot];
            if slot.holder == Some(call) {
                *slot = Slot { free_at, holder: None };
            }
        }
    }
}

fn limit(most: u32) -> impl Strategy<Value = RateLimit> {
    let windows = proptest::sample::select(WINDOWS_MS.to_vec());
    (1..most, windows).prop_map(|(requests, window_ms)| RateLimit::new(requests, window_ms).unwrap())
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        let made = |(target, account)| Self {
            now: 0,
            windows: [Window::of(target), Window::of(account)],
            journal: vec![target],
            shown: 1,
            ensured: 1,
            in_tables: 1,
            loaded: [1, 1],
            calls: vec![],
            arrivals: vec![],
            took: None,
        };
        (limit(4), limit(4)).prop_map(made).boxed()
    }

    fn transitions(state: &Self) -> BoxedStrategy<Step> {
        let mut ways = vec![
            (12, Just(Step::Take).boxed()),
            (6, (1_i64..4).prop_map(Step::Wait).boxed()),
            (2, limit(5).prop_map(Step::LimitAccount).boxed()),
            (3, limit(5).prop_map(Step::Change).boxed()),
            (3, Just(Step::Follow).boxed()),
            (2, (0_usize..2).prop_map(Step::Load).boxed()),
            (3, (0_usize..2).prop_map(Step::Ensure).boxed()),
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
            Step::Take => state.take(),
            Step::Arrive(call) => {
                state.calls[*call].arrived = true;
                state.arrivals.push(state.now);
            }
            Step::Tell { call, used } => state.tell(*call, *used),
            Step::Wait(ticks) => state.now += ticks * TICK_MS,
            Step::LimitAccount(limit) => {
                state.windows[1].admits.push((state.now, requests(*limit)));
                state.windows[1].bring(state.now, *limit);
            }
            Step::Change(limit) => state.journal.push(*limit),
            Step::Follow => {
                state.shown = state.journal.len();
                state.windows[0].admits.push((state.now, requests(state.journal[state.shown - 1])));
            }
            Step::Load(slow) => state.loaded[*slow] = state.journal.len(),
            Step::Ensure(slow) => state.ensure(state.loaded[*slow]),
        }
        state
    }
}

/// A lane on the real tables, and its account.
struct Subject<'a> {
    database: &'a Database,
    store: DispatchStore,
    target: Target,
    /// The version of the target's row for which its limit was brought into the tables, as a gate keeps it.
    ensured: i64,
    scopes: [Scope; 2],
    holds: Vec<SlotHold>,
}

impl Subject<'_> {
    /// Takes a slot of each window, or none.
    async fn take(&mut self, model: &Model) -> Option<SlotHold> {
        let mut round = self.store.open_round(&request(&[self.target.target_id], false)).await.unwrap();
        let version = round.lanes[0].version;
        if self.ensured != version {
            round.write(&Claims::default(), Duration::ZERO, Duration::ZERO).await.unwrap();
            self.ensure(model, model.journal.len()).await;
            self.ensured = version;
            return None;
        }
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

    /// As whoever has loaded this version does.
    async fn ensure(&self, model: &Model, version: usize) {
        let target = Target { rate_limit: model.journal[version - 1], ..self.target.clone() };
        self.store.ensure_limits_of(&[(&target, i64::try_from(version).unwrap())]).await.unwrap();
    }

    async fn limit_account(&self, limit: RateLimit) {
        self.show(&format!("account_requests = {}, account_window_ms = {}", limit.requests(), limit.window_ms())).await;
        let scope = self.scopes[1].clone();
        self.store.ensure_scopes(&[ScopeLimit { scope, limit: Some(limit) }]).await.unwrap();
    }

    /// The read model shows this of the target.
    async fn show(&self, values: &str) {
        let id = self.target.target_id;
        self.database.run(&format!("UPDATE channel_targets SET {values} WHERE target_id = '{id}'")).await;
    }

    async fn in_tables(&self) -> [i64; 3] {
        let limit = "SELECT ARRAY[requests, window_ms, rest_ms]::bigint[] FROM rate_scopes WHERE scope = $1";
        let limit = sqlx::query_scalar(limit).bind(self.scopes[0].to_string());
        let limit: Vec<i64> = limit.fetch_one(&self.database.pool).await.unwrap();
        limit.try_into().unwrap()
    }

    async fn step(&mut self, step: &Step, model: &Model) -> Result<(), TestCaseError> {
        match step {
            Step::Take => {
                let taken = self.take(model).await;
                let numbers = taken.as_ref().map(|hold| hold.slots.iter().map(|slot| slot.number).collect::<Vec<_>>());
                let wanted = model.took.map(|slots| slots.map(|slot| i32::try_from(slot).unwrap() + 1).to_vec());
                prop_assert_eq!(numbers, wanted);
                prop_assert!(taken.is_none() || model.in_tables >= model.shown, "a slot by an older limit");
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
            Step::LimitAccount(limit) => self.limit_account(*limit).await,
            Step::Follow => {
                let (version, limit) = (model.shown, model.journal[model.shown - 1]);
                let (requests, window_ms) = (limit.requests(), limit.window_ms());
                self.show(&format!("version = {version}, requests = {requests}, window_ms = {window_ms}")).await;
            }
            Step::Ensure(slow) => self.ensure(model, model.loaded[*slow]).await,
            Step::Arrive(_) | Step::Change(_) | Step::Load(_) => {}
        }
        let limit = model.journal[model.in_tables - 1];
        let wanted = [limit.requests(), limit.window_ms(), limit.rest_ms()];
        prop_assert_eq!(self.in_tables().await, wanted.map(i64::from), "{:?} of {:?}", model.in_tables, model.journal);
        for window in &model.windows {
            let overrun = window.overrun(&model.arrivals);
            prop_assert!(overrun.is_none(), "{:?} of {:?} under {:?}", overrun, model.arrivals, window);
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
            let [own, account] = model.windows.each_ref().map(Window::limit);
            let target = database.target(number.get(), own).await;
            let name = number.get().to_string();
            let scopes = [Scope::Target(target.to_string()), Scope::account("hostaway", "http://h", &name)];
            let target = Target { channel_account: name, ..settings(target) };
            let store = database.dispatcher();
            let mut subject = Subject { database: &database, store, target, ensured: 1, scopes, holds: Vec::new() };
            subject.limit_account(account).await;
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
    let limit = |requests| RateLimit::new(requests, WINDOWS_MS[1]).unwrap();
    let mut window = Window::of(limit(3));
    window.admits.push((10 * TICK_MS, 1));
    let before = 9 * TICK_MS;
    assert_eq!(window.overrun(&[before, before, before]), None, "it was not lowered yet");
    let just_after = 11 * TICK_MS;
    assert_eq!(window.overrun(&[just_after, just_after]), None, "they had their slots before");
    let later = 10 * TICK_MS + HOLD_MS + 1;
    assert_eq!(window.overrun(&[later, later]), Some((later, 2, 1)));
    window.admits.push((20 * TICK_MS, 2));
    let raised = 21 * TICK_MS;
    assert_eq!(window.overrun(&[raised, raised]), None);
}

#[test]
fn a_longer_window_that_did_not_hold_would_be_seen() {
    let [short, long] = WINDOWS_MS.map(|window_ms| RateLimit::new(1, window_ms).unwrap());
    let mut window = Window::of(short);
    window.bring(10 * TICK_MS, long);
    let before = 9 * TICK_MS;
    assert_eq!(window.overrun(&[before, before + 2 * TICK_MS]), None, "it was not longer yet");
    let later = 10 * TICK_MS + HOLD_MS + 1;
    assert_eq!(window.overrun(&[later, later + 2 * TICK_MS]), Some((later, 2, 1)));
    assert_eq!(window.overrun(&[later, later + 4 * TICK_MS]), None);
}
