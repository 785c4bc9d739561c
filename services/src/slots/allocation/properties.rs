//! Random lanes, limits and latencies: whatever is given out, no window of a target, an account or an address is overrun,
//! no slot is given twice, and no call waits while it could go. Slots are a plain table with a clock.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use adapters::dispatch::{Lane, SharedScope};
use domain::channel::Section;
use domain::ids::TargetId;
use domain::window::RateLimit;
use proptest::prelude::*;
use uuid::Uuid;

use super::super::waiting::{Wish, Wishes};
use super::allocate;

const WINDOW_MS: u32 = 1_000;
const EGRESS: &str = "egress:here";
/// Each call is one that a stranger has few of.
const WISH: Wish = Wish { urgency: Section::Rates, for_token: true };

/// A target: its limit, which of two accounts it is of, whether as a stranger, and its calls: milliseconds there and back, and how long after
/// the one before each comes up.
#[derive(Debug, Clone)]
struct Target {
    requests: u32,
    account: usize,
    is_stranger: bool,
    calls: Vec<(i64, i64, i64)>,
}

fn target() -> impl Strategy<Value = Target> {
    let latency = || prop_oneof![4 => 0_i64..80, 1 => 0_i64..1_500];
    let call = (latency(), latency(), prop_oneof![4 => Just(0_i64), 1 => 0_i64..900]);
    (1_u32..5, 0_usize..2, prop::bool::weighted(0.3), prop::collection::vec(call, 1..25))
        .prop_map(|(requests, account, is_stranger, calls)| Target { requests, account, is_stranger, calls })
}

/// A scope as the tables hold it.
struct Scope {
    requests: u32,
    free_at: Vec<i64>,
    arrivals: Vec<i64>,
}

impl Scope {
    fn new(requests: u32) -> Self {
        Self { requests, free_at: vec![0; requests as usize], arrivals: Vec::new() }
    }

    fn free(&self, now: i64) -> Vec<i32> {
        (1..).zip(&self.free_at).filter(|(_, at)| **at <= now).map(|(number, _)| number).collect()
    }

    fn worst(&self) -> usize {
        let span = i64::from(WINDOW_MS);
        let from = |first: &i64| self.arrivals.iter().filter(|at| (*first..=first + span).contains(at)).count();
        self.arrivals.iter().map(from).max().unwrap_or(0)
    }
}

/// A world of windows, and what waits in each lane: the calls that have come up, by number.
struct World {
    targets: Vec<Target>,
    scopes: BTreeMap<String, Scope>,
    made: Vec<usize>,
    due: Vec<i64>,
    now: i64,
}

fn id(at: usize) -> TargetId {
    TargetId(Uuid::from_u128(at as u128))
}

fn own(at: usize) -> String {
    format!("target:{}", id(at))
}

fn account(target: &Target) -> String {
    format!("account:{}", target.account)
}

/// Of all at the account, and of one organisation there.
fn strangers(target: &Target) -> Option<[String; 2]> {
    let account = target.account;
    target.is_stranger.then(|| [format!("strangers:{account}"), format!("strangers:{account} org")])
}

/// The scopes that a target's calls fall under.
fn limited(at: usize, target: &Target) -> Vec<String> {
    [own(at), account(target), EGRESS.to_owned()].into_iter().chain(strangers(target).into_iter().flatten()).collect()
}

impl World {
    fn new(targets: Vec<Target>, shared: [Option<u32>; 3]) -> Self {
        let names = ["account:0", "account:1", EGRESS];
        let limited = names.into_iter().zip(shared).filter_map(|(name, limit)| Some((name.to_owned(), limit?)));
        let owned = targets.iter().enumerate().map(|(at, target)| (own(at), target.requests));
        let strange = targets.iter().filter_map(strangers).flatten().map(|name| (name, 1));
        let scopes = owned.chain(limited).chain(strange);
        let scopes = scopes.map(|(name, requests)| (name, Scope::new(requests))).collect();
        let due = targets.iter().map(|target| target.calls[0].2).collect();
        Self { made: vec![0; targets.len()], due, targets, scopes, now: 0 }
    }

    /// How many calls wait in a lane: the next one, and those that come up together with it.
    fn waits(&self, at: usize) -> usize {
        let open = &self.targets[at].calls[self.made[at]..];
        if open.is_empty() || self.due[at] > self.now {
            return 0;
        }
        1 + open[1..].iter().take_while(|(_, _, after)| *after == 0).count()
    }

    fn lane(&self, at: usize) -> Lane {
        let scope = &self.scopes[&own(at)];
        Lane {
            target_id: id(at),
            version: 1,
            account_scope: account(&self.targets[at]),
            strangers_scopes: strangers(&self.targets[at]),
            requests: i32::try_from(scope.requests).unwrap(),
            free: scope.free(self.now),
            next_free_s: None,
            candidates: Vec::new(),
        }
    }

    /// One round.
    fn round(&mut self) -> Result<(), TestCaseError> {
        let waiting: Vec<usize> = (0..self.targets.len()).filter(|at| self.waits(*at) > 0).collect();
        let lanes: Vec<Lane> = waiting.iter().map(|at| self.lane(*at)).collect();
        let wishes = waiting.iter().map(|at| (id(*at), Wishes::from([(WISH, self.waits(*at))]))).collect();
        let shared = |(name, scope): (&String, &Scope)| {
            let shown = SharedScope { free: Some(scope.free(self.now)), ..SharedScope::default() };
            (!name.starts_with("target:")).then(|| (name.clone(), shown))
        };
        let mut shared: BTreeMap<String, SharedScope> = self.scopes.iter().filter_map(shared).collect();
        let given = allocate(&lanes, &wishes, &mut shared, EGRESS, &HashMap::new(), 0);
        for grant in &given.grants {
            let at = usize::try_from(grant.hold.target_id.0.as_u128()).unwrap();
            let (there, back, _) = self.targets[at].calls[self.made[at]];
            let limited = limited(at, &self.targets[at]);
            let held: Vec<&String> = limited.iter().filter(|name| self.scopes.contains_key(*name)).collect();
            prop_assert_eq!(grant.hold.slots.len(), held.len(), "a slot of every limited scope");
            for slot in &grant.hold.slots {
                prop_assert!(held.contains(&&slot.scope), "{} is not its scope", slot.scope);
                let scope = self.scopes.get_mut(&slot.scope).unwrap();
                let free_at = &mut scope.free_at[usize::try_from(slot.number).unwrap() - 1];
                prop_assert!(*free_at <= self.now, "a slot is given twice");
                let rest = RateLimit::new(scope.requests, WINDOW_MS).unwrap().rest_ms();
                *free_at = self.now + there + back + i64::from(rest);
                scope.arrivals.push(self.now + there);
            }
            self.made[at] += 1;
            let next = self.targets[at].calls.get(self.made[at]).map_or(0, |(_, _, after)| *after);
            self.due[at] = self.now + next;
        }
        Ok(())
    }

    /// A call waits in a lane of which every scope has a slot.
    fn idles(&self) -> bool {
        let free = |name: &String| self.scopes.get(name).is_none_or(|scope| !scope.free(self.now).is_empty());
        (0..self.targets.len()).any(|at| self.waits(at) > 0 && limited(at, &self.targets[at]).iter().all(free))
    }

    /// The next moment at which something changes.
    fn next(&self) -> Option<i64> {
        let slots = self.scopes.values().flat_map(|scope| &scope.free_at).copied();
        let open = (0..self.targets.len()).filter(|at| self.made[*at] < self.targets[*at].calls.len());
        slots.chain(open.map(|at| self.due[at])).filter(|at| *at > self.now).min()
    }

    fn is_done(&self) -> bool {
        (0..self.targets.len()).all(|at| self.made[at] == self.targets[at].calls.len())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_window_is_overrun_whoever_shares_it(
        targets in prop::collection::vec(target(), 1..5),
        shared in [prop::option::of(1_u32..6), prop::option::of(1_u32..6), prop::option::of(1_u32..9)],
    ) {
        let mut world = World::new(targets, shared);
        while !world.is_done() {
            world.round()?;
            prop_assert!(!world.idles(), "a call waits that could go");
            match world.next() {
                Some(next) => world.now = next,
                None => prop_assert!(world.is_done(), "nothing will ever go on"),
            }
        }
        for (name, scope) in &world.scopes {
            prop_assert!(scope.worst() <= scope.requests as usize, "{name}: {:?}", scope.arrivals);
        }
    }
}

/// Of a pause that the channel asked for nobody gets anything.
#[test]
fn a_paused_scope_gives_nothing() {
    let calls = vec![(0, 0, 0)];
    let world = World::new(vec![Target { requests: 1, account: 0, is_stranger: false, calls }], [Some(1), None, None]);
    let paused = SharedScope { paused_for: Some(Duration::from_secs(1)), free: Some(vec![1]), next_free: None };
    let waiting = BTreeMap::from([(id(0), Wishes::from([(WISH, 1)]))]);
    let mut shared = BTreeMap::from([("account:0".to_owned(), paused)]);
    let given = allocate(&[world.lane(0)], &waiting, &mut shared, EGRESS, &HashMap::new(), 1);
    assert!(given.grants.is_empty());
}
