//! Who gets the free slots of a round. Pure: lanes, calls that wait and shared scopes in, grants out.
//!
//! Within a lane: waiting calls of availability and rates first, then new work of that urgency, then waiting calls
//! for content and photos, then the rest: availability goes before rates, rates before content, when the window is
//! tight. Across lanes: round robin, so that a scarce shared scope is shared.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use adapters::dispatch::{Candidate, Lane, ORG_STRANGERS_WINDOW_MS, STRANGERS_WINDOW_MS, SharedScope, Slot, SlotHold};
use domain::channel::Section;
use domain::ids::TargetId;
use uuid::Uuid;

use super::waiting::{Wish, Wishes};

/// A lane with work and slots, of which enough is under way here, looks again when something ends; at the latest then.
const FULL: Duration = Duration::from_millis(250);
/// A shared scope may get a slot back earlier than it says, because a call ended.
const SCARCE: Duration = Duration::from_millis(100);
/// A sync of a stranger that may ask for a token looks again after this where strangers have no slot: each look costs those whose account
/// it is, too.
pub(crate) const STRANGERS_REST: Duration = Duration::from_secs(1);

/// What a grant is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Grantee {
    /// The calls of this wish that wait in the lane, first come first served.
    Waiting(Wish),
    /// New work.
    New(Candidate),
}

impl Grantee {
    /// New work begins with a token where there is none.
    fn may_ask_for_token(&self) -> bool {
        matches!(self, Self::New(_) | Self::Waiting(Wish { for_token: true, .. }))
    }
}

/// A slot in every limited scope, for one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grant {
    pub hold: SlotHold,
    pub grantee: Grantee,
}

/// What a round gives.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Allocation {
    pub grants: Vec<Grant>,
    /// Lanes that have more work and slots of their own, and how long they rest: a shared scope has no slot, or enough
    /// of their listings are under way.
    pub rests: Vec<(TargetId, Duration)>,
}

/// Availability and rates, and whatever has waited for long enough.
fn urgent(candidate: &Candidate) -> bool {
    candidate.overdue || candidate.needs.first().is_none_or(|need| matches!(need.as_str(), "availability" | "rates"))
}

/// The order in which a lane gives its slots.
fn order(lane: &Lane, waiting: Option<&Wishes>, room: usize) -> VecDeque<Grantee> {
    let empty = Wishes::new();
    let waiting = waiting.unwrap_or(&empty);
    let waits = |sections: &[Section]| -> Vec<Grantee> {
        let wishes = |urgency: &Section| {
            let urgency = *urgency;
            [true, false].map(|for_token| Wish { urgency, for_token })
        };
        let each = |wish: Wish| std::iter::repeat_n(Grantee::Waiting(wish), waiting.get(&wish).copied().unwrap_or(0));
        sections.iter().flat_map(wishes).flat_map(each).collect()
    };
    let new = |wanted: bool| {
        lane.candidates.iter().filter(move |candidate| urgent(candidate) == wanted).cloned().map(Grantee::New)
    };
    let mut queue: VecDeque<Grantee> = waits(&[Section::Availability, Section::Rates]).into();
    let mut news: Vec<Grantee> = new(true).take(room).collect();
    let left = room - news.len();
    queue.append(&mut news.drain(..).collect());
    queue.extend(waits(&[Section::Content, Section::Images]));
    queue.extend(new(false).take(left));
    queue
}

/// How many listings of a lane may be under way: enough to fill its window, few enough that those which were begun
/// are finished before others are. A listing takes some four calls.
fn most_under_way(requests: i32) -> usize {
    usize::try_from(requests / 4).unwrap_or(0).clamp(3, 64)
}

/// Shares the free slots out. `under_way` are the listings of each lane that workers are at; `capacity` is how many
/// more all lanes may begin.
pub(crate) fn allocate(
    lanes: &[Lane],
    waiting: &BTreeMap<TargetId, Wishes>,
    shared: &mut BTreeMap<String, SharedScope>,
    egress: &str,
    under_way: &HashMap<TargetId, usize>,
    mut capacity: usize,
) -> Allocation {
    let mut allocation = Allocation::default();
    let mut turns: VecDeque<(&Lane, VecDeque<i32>, VecDeque<Grantee>)> = lanes
        .iter()
        .map(|lane| {
            let begun = under_way.get(&lane.target_id).copied().unwrap_or(0);
            let room = most_under_way(lane.requests).saturating_sub(begun);
            if lane.candidates.len() > room && lane.free.len() > room {
                allocation.rests.push((lane.target_id, FULL));
            }
            let wanted = order(lane, waiting.get(&lane.target_id), room);
            (lane, lane.free.iter().copied().collect(), wanted)
        })
        .collect();
    while let Some((lane, mut free, mut wanted)) = turns.pop_front() {
        while capacity == 0 && matches!(wanted.front(), Some(Grantee::New(_))) {
            wanted.pop_front();
        }
        let (Some(grantee), Some(number)) = (wanted.pop_front(), free.pop_front()) else { continue };
        let asks = grantee.may_ask_for_token();
        let scopes: Vec<&str> = lane.shared_scopes_of(asks).chain([egress]).collect();
        let mut slots = match take_shared(shared, &scopes) {
            Ok(slots) => slots,
            Err(rest) => {
                let is_stranger = asks && strangers_wait(lane, shared).is_some();
                let rest = if is_stranger { rest.max(STRANGERS_REST) } else { rest };
                allocation.rests.retain(|(target, _)| *target != lane.target_id);
                allocation.rests.push((lane.target_id, rest));
                if is_stranger {
                    // Whoever has a token already was taken, and does not wait behind those that ask for one.
                    wanted.retain(|other| !other.may_ask_for_token());
                    free.push_front(number);
                    turns.push_back((lane, free, wanted));
                }
                continue;
            }
        };
        slots.push(Slot { scope: format!("target:{}", lane.target_id), number });
        if matches!(grantee, Grantee::New(_)) {
            capacity -= 1;
        }
        allocation
            .grants
            .push(Grant { hold: SlotHold { hold_id: Uuid::new_v4(), target_id: lane.target_id, slots }, grantee });
        turns.push_back((lane, free, wanted));
    }
    allocation
}

/// One slot of each limited scope, or nothing at all and how long to wait.
fn take_shared(shared: &mut BTreeMap<String, SharedScope>, scopes: &[&str]) -> Result<Vec<Slot>, Duration> {
    let rest = scopes.iter().filter_map(|scope| closed_for(shared.get(*scope)?)).max();
    if let Some(rest) = rest {
        return Err(rest);
    }
    let mut slots = Vec::new();
    for scope in scopes {
        if let Some(number) = shared.get_mut(*scope).and_then(|s| s.free.as_mut()).and_then(Vec::pop) {
            slots.push(Slot { scope: (*scope).to_owned(), number });
        }
    }
    Ok(slots)
}

/// How long this lane may ask for no token, at least, because it is a stranger; `None` where that does not keep it. Where its account is
/// full it waits as all do there.
pub(crate) fn strangers_wait(lane: &Lane, shared: &BTreeMap<String, SharedScope>) -> Option<Duration> {
    let windows = [STRANGERS_WINDOW_MS, ORG_STRANGERS_WINDOW_MS].map(|ms| Duration::from_millis(ms.into()));
    let waits = lane.strangers_scopes.iter().flatten().zip(windows).filter_map(|(scope, window)| {
        let scope = shared.get(scope)?;
        closed_for(scope)?;
        // A slot whose call is under way is kept for the longest one, and comes back a window after its answer.
        Some(scope.paused_for.unwrap_or_else(|| scope.next_free.unwrap_or_default().min(window)))
    });
    waits.max()
}

fn closed_for(scope: &SharedScope) -> Option<Duration> {
    let scarce = || scope.free.as_ref()?.is_empty().then(|| scope.next_free.map_or(SCARCE, |wait| wait.min(SCARCE)));
    scope.paused_for.or_else(scarce)
}

#[cfg(test)]
mod properties;

#[cfg(test)]
mod tests {
    use adapters::dispatch::Lease;
    use domain::ids::ListingId;
    use uuid::Uuid;

    use super::*;

    fn lane(id: u128, free: i32, needs: &[&str]) -> Lane {
        let target_id = TargetId(Uuid::from_u128(id));
        let candidate = |(index, need): (usize, &&str)| Candidate {
            lease: Lease {
                listing_id: ListingId(Uuid::from_u128(id * 1000 + index as u128)),
                target_id,
                ordinal: 1,
                tries: 0,
                takes_over: false,
                silent: None,
            },
            org_id: "org".parse().unwrap(),
            needs: vec![need.trim_start_matches("old ").to_owned()],
            overdue: need.starts_with("old "),
        };
        Lane {
            target_id,
            version: 1,
            account_scope: "account:a".to_owned(),
            strangers_scopes: None,
            requests: 40,
            free: (1..=free).collect(),
            next_free_s: None,
            candidates: needs.iter().enumerate().map(candidate).collect(),
        }
    }

    fn wish(urgency: Section) -> Wish {
        Wish { urgency, for_token: false }
    }

    fn kinds(allocation: &Allocation) -> Vec<String> {
        let name = |grant: &Grant| match &grant.grantee {
            Grantee::Waiting(wish) => format!("waiting {}", wish.urgency),
            Grantee::New(candidate) => format!("new {}", candidate.needs[0]),
        };
        allocation.grants.iter().map(name).collect()
    }

    #[test]
    fn availability_goes_before_content() {
        let lanes = [lane(1, 4, &["content", "availability"])];
        let waiting = BTreeMap::from([(
            lanes[0].target_id,
            Wishes::from([(wish(Section::Content), 1), (wish(Section::Availability), 1)]),
        )]);
        let given = allocate(&lanes, &waiting, &mut BTreeMap::new(), "egress:x", &HashMap::new(), 9);
        assert_eq!(kinds(&given), ["waiting availability", "new availability", "waiting content", "new content"]);
    }

    #[test]
    fn what_has_waited_for_long_enough_is_not_overtaken_any_more() {
        let lanes = [lane(1, 3, &["old content", "content", "availability", "rates"])];
        let given = allocate(&lanes, &BTreeMap::new(), &mut BTreeMap::new(), "egress:x", &HashMap::new(), 9);
        assert_eq!(kinds(&given), ["new content", "new availability", "new rates"]);
    }

    #[test]
    fn a_scarce_shared_scope_is_shared_in_turns_and_never_overdrawn() {
        let lanes = [lane(1, 3, &["rates"; 3]), lane(2, 3, &["rates"; 3])];
        let mut shared = BTreeMap::from([(
            "account:a".to_owned(),
            SharedScope { free: Some(vec![1, 2, 3]), ..SharedScope::default() },
        )]);
        let given = allocate(&lanes, &BTreeMap::new(), &mut shared, "egress:x", &HashMap::new(), 9);
        let of = |id: u128| given.grants.iter().filter(|g| g.hold.target_id.0 == Uuid::from_u128(id)).count();
        assert_eq!((of(1), of(2)), (2, 1));
        assert_eq!(given.rests.len(), 2);
        assert!(given.grants.iter().all(|grant| grant.hold.slots.len() == 2));
    }

    #[test]
    fn all_strangers_of_an_account_together_get_what_is_free_for_them() {
        let mut lanes = [lane(1, 3, &["rates"; 3]), lane(2, 3, &["rates"; 3]), lane(3, 3, &["rates"; 3])];
        for stranger in &mut lanes[..2] {
            stranger.strangers_scopes = Some(["strangers:a", "strangers:a org"].map(str::to_owned));
        }
        let free = |slots: i32| SharedScope { free: Some((1..=slots).collect()), ..SharedScope::default() };
        let mut shared = BTreeMap::from([("account:a".to_owned(), free(9)), ("strangers:a".to_owned(), free(1))]);
        let given = allocate(&lanes, &BTreeMap::new(), &mut shared, "egress:x", &HashMap::new(), 9);
        let of = |id: u128| given.grants.iter().filter(|g| g.hold.target_id.0 == Uuid::from_u128(id)).count();
        assert_eq!([1, 2, 3].map(of), [1, 0, 3]);
        assert_eq!(
            shared["account:a"].free.as_ref().map(Vec::len),
            Some(5),
            "what they are refused is taken from nobody"
        );
    }

    /// The channel issued a token to whoever has one.
    #[test]
    fn a_stranger_waits_for_a_token_and_for_nothing_else() {
        let mut lanes = [lane(1, 5, &["rates"])];
        lanes[0].strangers_scopes = Some(["strangers:a", "strangers:a org"].map(str::to_owned));
        let waits = |for_token, urgency| (Wish { urgency, for_token }, 1);
        let wishes = Wishes::from([waits(true, Section::Availability), waits(false, Section::Content)]);
        let waiting = BTreeMap::from([(lanes[0].target_id, wishes)]);
        let free = |slots: i32| SharedScope { free: Some((1..=slots).collect()), ..SharedScope::default() };
        let mut shared = BTreeMap::from([("account:a".to_owned(), free(9)), ("strangers:a".to_owned(), free(0))]);
        let given = allocate(&lanes, &waiting, &mut shared, "egress:x", &HashMap::new(), 9);
        assert_eq!(kinds(&given), ["waiting content"]);
        assert_eq!(given.rests, [(lanes[0].target_id, STRANGERS_REST)], "what asks for a token looks a second later");
        shared.insert("strangers:a".to_owned(), free(1));
        let given = allocate(&lanes, &waiting, &mut shared, "egress:x", &HashMap::new(), 9);
        assert_eq!(kinds(&given), ["waiting availability", "waiting content"], "one may ask for a token");
    }

    #[test]
    fn what_strangers_wait_for_is_known_to_the_end_of_their_windows() {
        let mut stranger = lane(1, 1, &[]);
        let shown = |next_free_s: &[u64]| SharedScope {
            free: Some(if next_free_s.is_empty() { vec![1] } else { Vec::new() }),
            next_free: next_free_s.first().copied().map(Duration::from_secs),
            ..SharedScope::default()
        };
        let wait = |lane: &Lane, all: &[u64], org: &[u64]| {
            let (all, org) = (("strangers:a".to_owned(), shown(all)), ("strangers:a org".to_owned(), shown(org)));
            let account = ("account:a".to_owned(), shown(&[60]));
            strangers_wait(lane, &BTreeMap::from([account, all, org])).map(|wait| wait.as_secs())
        };
        assert_eq!(wait(&stranger, &[7], &[27]), None, "it is none");
        stranger.strangers_scopes = Some(["strangers:a", "strangers:a org"].map(str::to_owned));
        assert_eq!(wait(&stranger, &[], &[]), None, "its account is full");
        assert_eq!(wait(&stranger, &[7], &[]), Some(7));
        assert_eq!(wait(&stranger, &[], &[27]), Some(27));
        assert_eq!(wait(&stranger, &[7], &[27]), Some(27), "it needs both");
        assert_eq!(wait(&stranger, &[50], &[]), Some(10), "a call is under way in it");
        assert_eq!(wait(&stranger, &[50], &[50]), Some(30));
    }

    #[test]
    fn a_stranger_waits_for_a_full_account_as_all_do() {
        let mut lanes = [lane(1, 3, &["rates"]), lane(2, 3, &["rates"])];
        lanes[0].strangers_scopes = Some(["strangers:a", "strangers:a org"].map(str::to_owned));
        let free = |slots: i32| SharedScope { free: Some((1..=slots).collect()), ..SharedScope::default() };
        for (closed, paused_for) in [("account:a", None), ("egress:x", Some(SCARCE / 2))] {
            let names = ["account:a", "strangers:a", "strangers:a org", "egress:x"];
            let mut shared = BTreeMap::from(names.map(|name| (name.to_owned(), free(1))));
            shared.insert(closed.to_owned(), SharedScope { paused_for, ..free(0) });
            let given = allocate(&lanes, &BTreeMap::new(), &mut shared, "egress:x", &HashMap::new(), 9);
            assert!(given.grants.is_empty(), "{closed}");
            let rest = paused_for.unwrap_or(SCARCE);
            assert_eq!(given.rests, [(lanes[0].target_id, rest), (lanes[1].target_id, rest)], "{closed}");
        }
    }

    #[test]
    fn what_was_begun_is_finished_before_more_is_begun() {
        let lanes = [lane(1, 20, &["rates"; 20])];
        let begun = HashMap::from([(lanes[0].target_id, 8)]);
        let given = allocate(&lanes, &BTreeMap::new(), &mut BTreeMap::new(), "egress:x", &begun, 99);
        assert_eq!(given.grants.len(), 2, "a window of 40 has 10 listings under way");
        assert_eq!(given.rests, [(lanes[0].target_id, FULL)]);
    }

    #[test]
    fn a_lane_rests_for_as_long_as_the_channel_has_its_account_paused() {
        let lanes = [lane(1, 3, &["rates"; 3])];
        let paused_for = Some(Duration::from_secs(40));
        let mut shared =
            BTreeMap::from([("account:a".to_owned(), SharedScope { paused_for, ..SharedScope::default() })]);
        let given = allocate(&lanes, &BTreeMap::new(), &mut shared, "egress:x", &HashMap::new(), 9);
        assert!(given.grants.is_empty());
        assert_eq!(given.rests, [(lanes[0].target_id, Duration::from_secs(40))]);
    }

    #[test]
    fn no_slot_or_no_capacity_gives_nothing_new() {
        let lanes = [lane(1, 0, &["rates"]), lane(2, 2, &["rates"])];
        assert!(
            allocate(&lanes, &BTreeMap::new(), &mut BTreeMap::new(), "egress:x", &HashMap::new(), 0).grants.is_empty()
        );
    }
}
