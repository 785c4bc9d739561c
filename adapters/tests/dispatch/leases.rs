//! Who works on a listing: one dispatcher at a time, and whoever lost it learns so.

use std::time::Duration;

use adapters::dispatch::{Claims, FinishedTry, Lease, Settlement};
use domain::port::Stopped;
use domain::window::RateLimit;

use crate::fixture::{Database, lease, request, target};

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(50);

fn wide() -> RateLimit {
    RateLimit::new(100, 1_000).unwrap()
}

#[tokio::test]
async fn a_lease_that_ran_out_goes_to_another_and_its_holder_is_told() {
    let database = Database::new().await;
    let target = database.target(1, wide()).await;
    let listing = database.job(target, 11).await;
    let (slow, quick) = (database.dispatcher(), database.dispatcher());
    // Long enough that a busy machine asks twice within it.
    let lasts = Duration::from_secs(2);
    let first = lease(&slow, lasts).await;
    assert_eq!(first.len(), 1);
    assert_eq!(slow.extend_leases(&[listing], lasts).await.unwrap().len(), 1, "it is its own still");
    database.due(target).await;
    assert!(lease(&quick, LONG).await.is_empty(), "it is leased");
    tokio::time::sleep(lasts).await;
    database.due(target).await;
    let second = lease(&quick, LONG).await;
    assert_eq!(second.len(), 1);
    assert!(slow.extend_leases(&[listing], LONG).await.unwrap().is_empty(), "it is another's");
    // What the first holder tells now is of no account.
    let late = Settlement {
        finished: vec![FinishedTry { lease: first[0], ordinal: 1, rests: Duration::ZERO }],
        released: first.clone(),
        ..Settlement::default()
    };
    slow.settle(&late).await.unwrap();
    assert_eq!(quick.extend_leases(&[listing], LONG).await.unwrap().len(), 1);
    database.close().await;
}

#[tokio::test]
async fn what_is_done_is_not_claimed_again_and_what_is_released_is() {
    let database = Database::new().await;
    let target = database.target(1, wide()).await;
    let done = database.job(target, 11).await;
    let undone = database.job(target, 12).await;
    let store = database.dispatcher();
    let leases = lease(&store, LONG).await;
    assert_eq!(leases.len(), 2);
    let of = |listing| *leases.iter().find(|lease| lease.listing_id == listing).unwrap();
    let settlement = Settlement {
        finished: vec![FinishedTry { lease: of(done), ordinal: 1, rests: Duration::ZERO }],
        released: vec![of(undone)],
        ..Settlement::default()
    };
    store.settle(&settlement).await.unwrap();
    let again = lease(&store, LONG).await;
    assert_eq!(again.iter().map(|lease| lease.listing_id).collect::<Vec<_>>(), [undone]);
    database.close().await;
}

/// The queue may show another job under the ordinal of one that was done: of a database that was put back to an earlier state.
#[tokio::test]
async fn what_was_done_and_is_in_the_queue_still_is_taken_up_again_after_a_minute() {
    let database = Database::new().await;
    let target = database.target(1, wide()).await;
    let (soon, later) = (database.job(target, 11).await, database.job(target, 12).await);
    let store = database.dispatcher();
    let held = lease(&store, LONG).await;
    let rests = |lease: &Lease| if lease.listing_id == soon { Duration::ZERO } else { LONG };
    let told = |lease: &Lease| FinishedTry { lease: *lease, ordinal: 3, rests: rests(lease) };
    store.settle(&Settlement { finished: held.iter().map(told).collect(), ..Settlement::default() }).await.unwrap();
    let taken = async |seconds: u32| {
        let passes = "UPDATE dispatch_leases SET lease_until = lease_until - make_interval(secs =>";
        database.run(&format!("{passes} {seconds})")).await;
        database.due(target).await;
        let leases = lease(&database.dispatcher(), LONG).await;
        leases.iter().map(|lease| (lease.listing_id, lease.takes_over)).collect::<Vec<_>>()
    };
    assert!(taken(50).await.is_empty(), "the queue may lag");
    assert_eq!(taken(11).await, [(soon, false)], "an attempt was told");
    // The next attempt at the other one is due later, whatever the queue says.
    database.run(&format!("UPDATE dispatch_leases SET lease_until = 'infinity' WHERE listing_id = '{soon}'")).await;
    assert_eq!(taken(20).await, [(later, false)]);
    database.close().await;
}

/// What its holder sent before is unknown, whoever comes next, until an attempt is written down.
#[tokio::test]
async fn a_lease_that_ran_out_is_taken_over_as_one_until_an_attempt_ends() {
    let database = Database::new().await;
    let target = database.target(1, wide()).await;
    let listing = database.job(target, 11).await;
    let taken = async |length: Duration| {
        database.due(target).await;
        let leases = lease(&database.dispatcher(), length).await;
        leases.iter().map(|lease| (lease.takes_over, lease.silent)).collect::<Vec<_>>()
    };
    assert_eq!(taken(SHORT).await, [(false, None)], "nobody had it");
    tokio::time::sleep(SHORT * 2).await;
    let [(true, first)] = taken(SHORT).await[..] else { panic!("nobody told of it") };
    let (since, until) = first.and_then(|first| first.since.zip(first.until)).unwrap();
    assert!(since < until && until - since <= chrono::TimeDelta::from_std(SHORT * 2).unwrap(), "{first:?}");
    tokio::time::sleep(SHORT * 2).await;
    let store = database.dispatcher();
    // A newer job gives it back undone: of that one nothing was sent.
    database.run("UPDATE sync_queue SET ordinal = 2").await;
    database.due(target).await;
    let held = lease(&store, LONG).await;
    store.settle(&Settlement { released: held, ..Settlement::default() }).await.unwrap();
    database.run("UPDATE sync_queue SET ordinal = 1").await;
    database.due(target).await;
    let held = lease(&store, LONG).await;
    assert_eq!(held.iter().map(|lease| (lease.listing_id, lease.takes_over)).collect::<Vec<_>>(), [(listing, true)]);
    let known = held[0].silent.unwrap();
    assert_eq!((known.ordinal, known.last_ordinal, known.since), (1, 1, first.unwrap().since), "that of the first one");
    assert_eq!(known.until, None, "it was let go");
    let told = |held: &[Lease]| {
        let finished = |lease: &Lease| FinishedTry { lease: *lease, ordinal: lease.ordinal, rests: Duration::ZERO };
        Settlement { finished: held.iter().map(finished).collect(), ..Settlement::default() }
    };
    store.settle(&told(&held)).await.unwrap();
    // An older build takes it up next, and writes none of it down.
    database.run("UPDATE dispatch_leases SET done = false, lease_until = now()").await;
    database.due(target).await;
    let held = lease(&store, LONG).await;
    let unknown = held[0].silent.unwrap();
    assert_eq!((unknown.ordinal, unknown.since), (1, None), "nothing of those of whom somebody told");
    store.settle(&told(&held)).await.unwrap();
    database.run("UPDATE sync_queue SET ordinal = 2").await;
    assert_eq!(taken(LONG).await, [(false, None)], "an attempt was told");
    database.close().await;
}

#[tokio::test]
async fn what_is_set_aside_is_nobodys_for_a_while() {
    let database = Database::new().await;
    let target = database.target(1, wide()).await;
    let listing = database.job(target, 11).await;
    let store = database.dispatcher();
    let leases = lease(&store, LONG).await;
    let length = Duration::from_millis(400);
    store.settle(&Settlement { set_aside: vec![(leases[0], length)], ..Settlement::default() }).await.unwrap();
    database.due(target).await;
    assert!(lease(&database.dispatcher(), LONG).await.is_empty());
    tokio::time::sleep(length).await;
    database.due(target).await;
    let later = lease(&database.dispatcher(), LONG).await;
    assert_eq!(later.iter().map(|lease| lease.listing_id).collect::<Vec<_>>(), [listing]);
    database.close().await;
}

#[tokio::test]
async fn calls_that_wait_where_nobody_may_call_are_told_apart_from_lanes_that_are_taken() {
    let database = Database::new().await;
    let mut targets = Vec::new();
    for number in 1..=5 {
        targets.push(database.target(number, wide()).await);
    }
    database.run("UPDATE channel_targets SET lifecycle = 'paused' WHERE channel_account = '1'").await;
    database.run("UPDATE channel_targets SET lifecycle = 'deleted' WHERE channel_account = '2'").await;
    database.run("UPDATE channel_targets SET health = 'unauthorised' WHERE channel_account = '3'").await;
    let (store, other) = (database.dispatcher(), database.dispatcher());
    let taken = other.open_round(&request(&[targets[3]], false)).await.unwrap();
    assert_eq!(taken.lanes.len(), 1);
    targets.push(target(99));
    let round = store.open_round(&request(&targets, false)).await.unwrap();
    let why = [Stopped::Paused, Stopped::Deleted, Stopped::CredentialsRefused, Stopped::Deleted];
    let closed: Vec<_> = [targets[0], targets[1], targets[2], target(99)].into_iter().zip(why).collect();
    assert_eq!(round.closed, closed);
    assert_eq!(round.lanes.iter().map(|lane| lane.target_id).collect::<Vec<_>>(), [targets[4]]);
    drop((round, taken));
    database.close().await;
}

#[tokio::test]
async fn without_room_only_lanes_in_which_calls_wait_are_looked_at() {
    let database = Database::new().await;
    let waits = database.target(1, wide()).await;
    let due = database.target(2, wide()).await;
    database.job(due, 11).await;
    let store = database.dispatcher();
    let round = store.open_round(&request(&[waits], false)).await.unwrap();
    assert_eq!(round.lanes.iter().map(|lane| lane.target_id).collect::<Vec<_>>(), [waits]);
    round.write(&Claims::default(), LONG, LONG).await.unwrap();
    let round = store.open_round(&request(&[waits], true)).await.unwrap();
    assert_eq!(round.lanes.iter().map(|lane| lane.target_id).collect::<Vec<_>>(), [waits, due]);
    drop(round);
    database.close().await;
}

#[tokio::test]
async fn a_lane_that_rests_wakes_when_something_ends() {
    let database = Database::new().await;
    let target = database.target(1, wide()).await;
    database.job(target, 11).await;
    let store = database.dispatcher();
    let leases = lease(&store, LONG).await;
    database.job(target, 12).await;
    database.due(target).await;
    let round = store.open_round(&request(&[], true)).await.unwrap();
    let claims = Claims { rests: vec![(target, Duration::from_secs(5))], ..Claims::default() };
    round.write(&claims, LONG, LONG).await.unwrap();
    assert!(store.next_wake_ms().await.unwrap().unwrap() > 4_000, "it rests");
    store.settle(&Settlement { released: leases, ..Settlement::default() }).await.unwrap();
    assert!(store.next_wake_ms().await.unwrap().unwrap() <= 0, "it is due");
    database.close().await;
}

#[tokio::test]
async fn a_wake_that_comes_during_a_round_is_not_lost() {
    let database = Database::new().await;
    let target = database.target(1, wide()).await;
    let store = database.dispatcher();
    let round = store.open_round(&request(&[], true)).await.unwrap();
    // Waits for nobody, though the round holds the lane.
    database.run(&format!("INSERT INTO dispatch_wakes VALUES ('{target}', now())")).await;
    assert_eq!(
        store.take_wakes(0).await.unwrap().taken,
        0,
        "the lane is in the round's hands, and nobody waits for it"
    );
    round.write(&Claims::default(), LONG, LONG).await.unwrap();
    assert!(store.next_wake_ms().await.unwrap().is_none(), "the round found no work and planned none");
    assert_eq!(store.take_wakes(0).await.unwrap().taken, 1);
    assert!(store.next_wake_ms().await.unwrap().unwrap() <= 0, "it is due");
    assert_eq!(store.take_wakes(0).await.unwrap().taken, 0, "a wake is taken once");
    database.close().await;
}

#[tokio::test]
async fn the_lane_of_a_held_target_rests_until_it_is_woken() {
    let database = Database::new().await;
    let target = database.target(1, wide()).await;
    let store = database.dispatcher();
    database.due(target).await;
    store.rest_closed_lanes().await.unwrap();
    assert!(store.next_wake_ms().await.unwrap().unwrap() <= 0, "nothing holds it");
    database.run(&format!("UPDATE channel_targets SET lifecycle = 'paused' WHERE target_id = '{target}'")).await;
    store.rest_closed_lanes().await.unwrap();
    database.run(&format!("UPDATE channel_targets SET lifecycle = 'active' WHERE target_id = '{target}'")).await;
    assert!(store.next_wake_ms().await.unwrap().unwrap() > 20_000, "it rests");
    database.run(&format!("INSERT INTO dispatch_wakes VALUES ('{target}', now())")).await;
    assert_eq!(store.take_wakes(0).await.unwrap().taken, 1);
    assert!(store.next_wake_ms().await.unwrap().unwrap() <= 0, "it is due");
    database.run(&format!("UPDATE channel_targets SET lifecycle = 'deleted' WHERE target_id = '{target}'")).await;
    store.rest_closed_lanes().await.unwrap();
    database.run(&format!("UPDATE channel_targets SET lifecycle = 'active' WHERE target_id = '{target}'")).await;
    assert!(store.next_wake_ms().await.unwrap().is_none(), "that of a deleted one is never looked at again");
    database.close().await;
}

/// Both come back at the same time after Postgres was away for longer than leases last.
#[tokio::test]
async fn a_lease_that_its_holder_extends_during_a_round_is_not_taken() {
    let database = Database::new().await;
    let target = database.target(1, wide()).await;
    database.job(target, 11).await;
    let (holder, other) = (database.dispatcher(), database.dispatcher());
    let mine = lease(&holder, Duration::ZERO).await;
    database.due(target).await;
    let round = other.open_round(&request(&[], true)).await.unwrap();
    let seen: Vec<_> = round.lanes[0].candidates.iter().map(|candidate| candidate.lease).collect();
    assert_eq!(seen.iter().map(|lease| lease.listing_id).collect::<Vec<_>>(), [mine[0].listing_id], "it has run out");
    let kept = holder.extend_leases(&[mine[0].listing_id], LONG).await.unwrap();
    assert_eq!(kept.len(), 1);
    let claims = Claims { leases: seen, ..Claims::default() };
    assert!(round.write(&claims, LONG, LONG).await.unwrap().is_empty(), "it is its holder's again");
    assert_eq!(holder.extend_leases(&[mine[0].listing_id], LONG).await.unwrap(), kept);
    database.close().await;
}

/// As after hours in which nobody dispatched.
#[tokio::test]
async fn wakes_that_piled_up_are_taken_in_turns_and_none_is_lost() {
    let database = Database::new().await;
    let (first, last) = (database.target(1, wide()).await, database.target(2, wide()).await);
    let store = database.dispatcher();
    let round = store.open_round(&request(&[], true)).await.unwrap();
    round.write(&Claims::default(), LONG, LONG).await.unwrap();
    assert!(store.next_wake_ms().await.unwrap().is_none(), "there is nothing to do yet");
    database.run(&format!("INSERT INTO dispatch_wakes SELECT '{first}', now() FROM generate_series(1, 25000)")).await;
    database.run(&format!("INSERT INTO dispatch_wakes VALUES ('{last}', now())")).await;
    let mut turns = 0;
    while store.take_wakes(0).await.unwrap().taken > 0 {
        turns += 1;
    }
    assert_eq!(turns, 3, "ten thousand at a time");
    // Those of a lane in somebody's hands are passed over, however many they are.
    let frozen = store.open_round(&request(&[first], false)).await.unwrap();
    assert_eq!(frozen.lanes.len(), 1);
    database.run(&format!("INSERT INTO dispatch_wakes SELECT '{first}', now() FROM generate_series(1, 25000)")).await;
    database.run(&format!("INSERT INTO dispatch_wakes VALUES ('{last}', now())")).await;
    let (mut beyond, mut taken) = (0, Vec::new());
    for _ in 0..3 {
        let wakes = store.take_wakes(beyond).await.unwrap();
        (beyond, taken) = (wakes.beyond, [taken, vec![wakes.taken]].concat());
    }
    assert_eq!((beyond, taken), (0, vec![0, 0, 1]), "then from the start again");
    frozen.write(&Claims::default(), LONG, LONG).await.unwrap();
    while store.take_wakes(0).await.unwrap().taken > 0 {}
    let round = store.open_round(&request(&[], true)).await.unwrap();
    let mut due: Vec<_> = round.lanes.iter().map(|lane| lane.target_id).collect();
    due.sort();
    assert_eq!(due, [first, last]);
    drop(round);
    database.close().await;
}

#[tokio::test]
async fn a_lane_with_more_due_work_is_due_again_at_once() {
    let database = Database::new().await;
    let target = database.target(1, wide()).await;
    database.job(target, 11).await;
    let store = database.dispatcher();
    let round = store.open_round(&request(&[], true)).await.unwrap();
    let claims = Claims { more: vec![target], ..Claims::default() };
    round.write(&claims, LONG, LONG).await.unwrap();
    assert!(store.next_wake_ms().await.unwrap().unwrap() <= 0, "it is due");
    database.close().await;
}

/// Lanes and slots are locked in one order by all, so nobody is the victim of a deadlock.
#[tokio::test(flavor = "multi_thread")]
async fn rounds_and_settlements_over_the_same_lanes_never_deadlock() {
    use crate::fixture::first_slot;
    let database = Database::new().await;
    for number in 1..=12 {
        database.target(number, RateLimit::new(5, 100).unwrap()).await;
    }
    let work = |reversed: bool| {
        let store = database.dispatcher();
        async move {
            let mut targets: Vec<_> = (1..=12).map(target).collect();
            for _ in 0..150 {
                if reversed {
                    targets.reverse();
                }
                let round = store.open_round(&request(&targets, true)).await?;
                let holds: Vec<_> = round.lanes.iter().filter_map(first_slot).collect();
                let claims = Claims { holds: holds.clone(), ..Claims::default() };
                round.write(&claims, Duration::ZERO, LONG).await?;
                let (mut unused, answered): (Vec<_>, Vec<_>) =
                    holds.into_iter().enumerate().partition(|(index, _)| index % 3 != 0);
                if reversed {
                    unused.reverse();
                }
                let only = |holds: Vec<(usize, _)>| holds.into_iter().map(|(_, hold)| hold).collect();
                let settlement = Settlement { unused: only(unused), answered: only(answered), ..Settlement::default() };
                store.settle(&settlement).await?;
            }
            Ok::<(), sqlx::Error>(())
        }
    };
    let (one, two, three) = tokio::join!(work(true), work(false), work(true));
    one.unwrap();
    two.unwrap();
    three.unwrap();
    database.close().await;
}
