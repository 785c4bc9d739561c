//! The strict window as the tables keep it, whoever races and whatever comes late.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use adapters::dispatch::{Claims, DispatchStore, LONGEST_HOLD, ScopeLimit, Settlement, Slot, SlotHold};
use domain::ids::TargetId;
use domain::port::LATE_ARRIVAL;
use domain::target::Target;
use domain::window::{RateLimit, Scope};

use crate::fixture::{Database, first_slot, request, settings, take};

const HOLD: Duration = Duration::from_secs(10);

fn limit(requests: u32, window_ms: u32) -> RateLimit {
    RateLimit::new(requests, window_ms).unwrap()
}

fn worst(arrivals: &[Instant], window_ms: u64) -> usize {
    let mut sorted = arrivals.to_vec();
    sorted.sort_unstable();
    let window = Duration::from_millis(window_ms);
    (0..sorted.len())
        .map(|first| sorted[first..].iter().take_while(|at| **at - sorted[first] <= window).count())
        .max()
        .unwrap_or(0)
}

/// Calls in two lanes of one account, of 1 to 60 ms each; they arrive anywhere between their start and their answer.
async fn caller(store: DispatchStore, lanes: [TargetId; 2], account: String, arrivals: Arc<Mutex<Vec<(u8, Instant)>>>) {
    let end = Instant::now() + Duration::from_secs(4);
    while Instant::now() < end {
        let mut round = store.open_round(&request(&lanes, false)).await.unwrap();
        let open = std::mem::take(&mut round.lanes);
        let mut shared = round.shared_scopes(std::slice::from_ref(&account)).await.unwrap();
        let mut free = shared.remove(&account).and_then(|scope| scope.free).unwrap_or_default();
        let mut holds = Vec::new();
        for lane in &open {
            if let (Some(mut hold), Some(number)) = (first_slot(lane), free.pop()) {
                hold.slots.push(Slot { scope: account.clone(), number });
                holds.push(hold);
            }
        }
        let claims = Claims { holds: holds.clone(), ..Claims::default() };
        round.write(&claims, HOLD, HOLD).await.unwrap();
        for hold in holds {
            let (store, arrivals) = (store.clone(), Arc::clone(&arrivals));
            let lane = u8::from(hold.target_id == lanes[0]);
            tokio::spawn(async move {
                let there = u64::from(hold.hold_id.as_bytes()[0]) % 30;
                let back = u64::from(hold.hold_id.as_bytes()[1]) % 30;
                tokio::time::sleep(Duration::from_millis(there)).await;
                arrivals.lock().unwrap().push((lane, Instant::now()));
                tokio::time::sleep(Duration::from_millis(back)).await;
                store.settle(&Settlement { answered: vec![hold], ..Settlement::default() }).await.unwrap();
            });
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn racing_dispatchers_overrun_neither_a_targets_window_nor_its_accounts() {
    let database = Database::new().await;
    let lanes = [database.target(1, limit(4, 200)).await, database.target(2, limit(4, 200)).await];
    let account = "account:hostaway/http://h/1".to_owned();
    let scope = ScopeLimit { scope: Scope::Account("hostaway/http://h/1".to_owned()), limit: Some(limit(6, 200)) };
    database.dispatcher().ensure_scopes(&[scope]).await.unwrap();
    let arrivals = Arc::default();
    let callers: Vec<_> = (0..3)
        .map(|_| tokio::spawn(caller(database.dispatcher(), lanes, account.clone(), Arc::clone(&arrivals))))
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let arrivals = arrivals.lock().unwrap().clone();
    let of = |wanted: u8| -> Vec<Instant> {
        arrivals.iter().filter(|(lane, _)| *lane == wanted).map(|(_, at)| *at).collect()
    };
    assert!(worst(&of(0), 200) <= 4 && worst(&of(1), 200) <= 4, "a target's window");
    let all: Vec<Instant> = arrivals.iter().map(|(_, at)| *at).collect();
    assert!(worst(&all, 200) <= 6, "the account's window");
    // An idle machine gives each some forty; far fewer would be a lane that starves.
    assert!(of(0).len() > 4 && of(1).len() > 4, "{} and {}", of(0).len(), of(1).len());
    database.close().await;
}

#[tokio::test]
async fn what_is_told_late_of_a_slot_that_is_anothers_changes_nothing() {
    let database = Database::new().await;
    let target = database.target(1, limit(1, 100)).await;
    let (slow, quick) = (database.dispatcher(), database.dispatcher());
    let ran_out = take(&slow, target, Duration::ZERO).await.unwrap();
    assert!(take(&quick, target, HOLD).await.is_none(), "the window's only slot is taken");
    tokio::time::sleep(Duration::from_millis(250)).await;
    let held = take(&quick, target, HOLD).await.unwrap();
    assert_eq!(held.slots, ran_out.slots, "it ran out and went to another");
    for late in [
        Settlement { unused: vec![ran_out.clone()], ..Settlement::default() },
        Settlement { answered: vec![ran_out.clone()], ..Settlement::default() },
    ] {
        slow.settle(&late).await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(take(&slow, target, HOLD).await.is_none(), "a call is under way in it");
    }
    quick.settle(&Settlement { unused: vec![held], ..Settlement::default() }).await.unwrap();
    assert!(take(&slow, target, HOLD).await.is_some());
    database.close().await;
}

/// What the system had not brought there by the time-out it may bring later.
#[tokio::test]
async fn the_slot_of_a_call_without_an_answer_comes_back_when_it_cannot_arrive_any_more() {
    let database = Database::new().await;
    let target = database.target(1, limit(2, 100)).await;
    let store = database.dispatcher();
    let (answered, unanswered) = (take(&store, target, HOLD).await.unwrap(), take(&store, target, HOLD).await.unwrap());
    let (answered, unanswered) = (vec![answered], vec![unanswered]);
    store.settle(&Settlement { answered, unanswered, ..Settlement::default() }).await.unwrap();
    let free_in_s = "SELECT extract(epoch FROM max(free_at) - now())::float8 FROM rate_slots";
    let rest: f64 = sqlx::query_scalar(free_in_s).fetch_one(&database.pool).await.unwrap();
    let late = LATE_ARRIVAL.as_secs_f64();
    assert!(rest > late - 4.0 && rest <= late + 0.15, "{rest} s");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(take(&store, target, HOLD).await.is_some(), "that of the other is back");
    assert!(take(&store, target, HOLD).await.is_none());
    database.pass(late).await;
    assert!(take(&store, target, HOLD).await.is_some());
    database.close().await;
}

#[tokio::test]
async fn on_another_server_every_window_counts_as_used_up() {
    let database = Database::new().await;
    let target = database.target(1, limit(3, 100)).await;
    let store = database.dispatcher();
    let held = take(&store, target, HOLD).await.unwrap();
    assert!(take(&store, target, HOLD).await.is_some(), "a server that is noted for the first time is no other one");
    let since = store.on_server_since().await.unwrap();
    // A promoted standby has another timeline, a restored backup another database.
    database.run("UPDATE dispatch_server SET server = 'another/00000001/16384'").await;
    assert!(take(&database.dispatcher(), target, HOLD).await.is_none(), "the third may have been taken there");
    assert!(store.on_server_since().await.unwrap() > since, "every other dispatcher can see that");
    let free_in_s = "SELECT extract(epoch FROM min(free_at) - now())::float8 FROM rate_slots";
    let rest: f64 = sqlx::query_scalar(free_in_s).fetch_one(&database.pool).await.unwrap();
    assert!(rest > LONGEST_HOLD.as_secs_f64() - 1.0, "{rest} s: a call of there may be under way for as long");
    let noted = store.on_server_since().await.unwrap();
    database.run("UPDATE dispatch_server SET server = 'one-more/00000001/16384'").await;
    let again = store.on_server_since().await.unwrap();
    assert!(again > noted, "who takes no slot finds it out as well");
    assert_eq!(store.on_server_since().await.unwrap(), again, "it is noted once");
    // The end of a call that is known here frees its own slot as ever.
    store.settle(&Settlement { answered: vec![held], ..Settlement::default() }).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(take(&store, target, HOLD).await.is_some());
    assert!(take(&store, target, HOLD).await.is_none());
    database.close().await;
}

#[tokio::test]
async fn a_lower_limit_counts_what_is_taken_and_a_longer_window_keeps_it_for_longer() {
    let database = Database::new().await;
    let target = database.target(1, limit(3, 100)).await;
    let store = database.dispatcher();
    let first = take(&store, target, HOLD).await.unwrap();
    take(&store, target, HOLD).await.unwrap();
    let scope = Scope::Target(target.to_string());
    store.ensure_scopes(&[ScopeLimit { scope: scope.clone(), limit: Some(limit(2, 100)) }]).await.unwrap();
    database.run("UPDATE channel_targets SET requests = 2").await;
    assert!(take(&store, target, HOLD).await.is_none(), "two are under way");
    store.settle(&Settlement { answered: vec![first], ..Settlement::default() }).await.unwrap();
    store.ensure_scopes(&[ScopeLimit { scope, limit: Some(limit(2, 1_000)) }]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(take(&store, target, HOLD).await.is_none(), "its answer is less than a window ago");
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert!(take(&store, target, HOLD).await.is_some());
    database.close().await;
}

/// What of the target is in the tables: requests, window and rest.
async fn limit_in_tables(database: &Database) -> Vec<i32> {
    let limit = "SELECT ARRAY[requests, window_ms, rest_ms] FROM rate_scopes WHERE scope LIKE 'target:%'";
    sqlx::query_scalar(limit).fetch_one(&database.pool).await.unwrap()
}

/// A check, a read for a comparison and the gates of several processes load the target first and write later, however slow they are.
#[tokio::test]
async fn a_limit_that_was_loaded_before_it_changed_does_not_come_back() {
    let database = Database::new().await;
    let target = database.target(1, limit(3, 100)).await;
    let store = database.dispatcher();
    let of = |rate_limit| Target { rate_limit, ..settings(target) };
    let before = of(limit(3, 100));
    database.run("UPDATE channel_targets SET requests = 2, window_ms = 60000, version = 2").await;
    store.ensure_limits_of(&[(&of(limit(2, 60_000)), 2)]).await.unwrap();
    store.ensure_limits_of(&[(&before, 1)]).await.unwrap();
    assert_eq!(limit_in_tables(&database).await, [2, 60_000, 60_050]);
    // The journal is ahead of the read model.
    store.ensure_limits_of(&[(&of(limit(4, 500)), 3)]).await.unwrap();
    assert_eq!(limit_in_tables(&database).await, [4, 500, 550]);
    store.ensure_limits_of(&[(&before, 1)]).await.unwrap();
    assert_eq!(limit_in_tables(&database).await, [2, 60_000, 60_050], "the newest that is known here");
    // Back to what it was, by a change of its own.
    database.run("UPDATE channel_targets SET requests = 3, window_ms = 100, version = 4").await;
    store.ensure_limits_of(&[(&before, 4)]).await.unwrap();
    assert_eq!(limit_in_tables(&database).await, [3, 100, 150]);
    database.run("DELETE FROM rate_scopes").await;
    database.run("UPDATE channel_targets SET requests = 5, version = 5").await;
    store.ensure_limits_of(&[(&before, 4)]).await.unwrap();
    assert_eq!(limit_in_tables(&database).await, [5, 100, 150], "of a scope that is new, too");
    database.close().await;
}

/// It has asked for the scope before the change, and gets it after.
#[tokio::test]
async fn a_limit_that_changes_while_an_older_one_waits_for_its_scope_stays() {
    let database = Database::new().await;
    let target = database.target(1, limit(3, 100)).await;
    let mut other = database.pool.begin().await.unwrap();
    let lock = "SELECT 1 FROM rate_scopes WHERE scope LIKE 'target:%' FOR UPDATE";
    sqlx::query(lock).execute(&mut *other).await.unwrap();
    let store = database.dispatcher();
    let before = Target { rate_limit: limit(3, 100), ..settings(target) };
    let late = tokio::spawn(async move { store.ensure_limits_of(&[(&before, 1)]).await });
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while sqlx::query_scalar::<_, i64>(waits).fetch_one(&database.pool).await.unwrap() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    database.run("UPDATE channel_targets SET requests = 2, window_ms = 60000, version = 2").await;
    sqlx::query("UPDATE rate_scopes SET requests = 2, window_ms = 60000, rest_ms = 60050 WHERE scope LIKE 'target:%'")
        .execute(&mut *other)
        .await
        .unwrap();
    other.commit().await.unwrap();
    late.await.unwrap().unwrap();
    assert_eq!(limit_in_tables(&database).await, [2, 60_000, 60_050]);
    database.close().await;
}

/// Whoever names somebody else's account, with credentials that it does not take, sets no limit for it.
#[tokio::test]
async fn an_account_limit_comes_from_targets_whose_credentials_are_accepted() {
    let database = Database::new().await;
    let (own, strange) = (database.target(1, limit(3, 100)).await, database.target(2, limit(3, 100)).await);
    let store = database.dispatcher();
    database.run(&format!("UPDATE channel_targets SET org_id = 'elsewhere' WHERE target_id = '{strange}'")).await;
    let set = async |target, health: &str, requests: u32| {
        let values = format!("health = '{health}', account_requests = {requests}, account_window_ms = 1000");
        let account = "channel_account = '1'";
        database.run(&format!("UPDATE channel_targets SET {values}, {account} WHERE target_id = '{target}'")).await;
        let limits = store.account_limits_of(std::slice::from_ref(&account_scope())).await.unwrap();
        limits.first().and_then(|limit| limit.limit).map(RateLimit::requests)
    };
    set(own, "healthy", 5).await;
    for health in ["unknown", "unauthorised", "degraded", "unreachable"] {
        assert_eq!(set(strange, health, 1).await, Some(5), "{health}");
        assert_eq!(set(strange, health, 100).await, Some(5), "{health}: nor a wider one");
    }
    database.heard(strange, 1, "healthy").await;
    assert_eq!(set(strange, "degraded", 1).await, Some(1), "it was accepted");
    database.heard(strange, 2, "unauthorised").await;
    database.heard(strange, 3, "unknown").await;
    assert_eq!(set(strange, "unknown", 1).await, Some(5), "it was refused since, and another secret is not known yet");
    let third = database.target(3, limit(3, 100)).await;
    assert_eq!(set(third, "unknown", 2).await, Some(2), "the owner's other target counts from the beginning");
    database.run(&format!("UPDATE channel_targets SET lifecycle = 'deleted' WHERE target_id = '{third}'")).await;
    set(strange, "unknown", 1).await;
    database.run("DELETE FROM target_health_changes").await;
    assert_eq!(set(own, "unknown", 5).await, Some(1), "nobody was accepted: the strictest");
    database.heard(own, 4, "healthy").await;
    assert_eq!(set(own, "unknown", 5).await, Some(5), "a rotation leaves accepted who was");
    database.heard_after(own, 5, "healthy", "unauthorised").await;
    assert_eq!(set(own, "unauthorised", 5).await, Some(5), "its secret was changed at the channel first");
    database.heard(strange, 6, "healthy").await;
    assert_eq!(set(own, "unauthorised", 5).await, Some(1), "who is accepted now goes first");
    // Old changes may be deleted: that away from healthy names it as well.
    database.run("DELETE FROM target_health_changes").await;
    database.heard_after(own, 7, "healthy", "degraded").await;
    assert_eq!(set(own, "degraded", 5).await, Some(5));
    database.heard_after(own, 8, "degraded", "unauthorised").await;
    assert_eq!(set(own, "unauthorised", 5).await, Some(5), "nobody else was ever accepted, as far as is known");
    database.close().await;
}

/// Where others may have the account, too, what is told of it hangs on this.
#[tokio::test]
async fn credentials_are_taken_by_what_was_said_of_them_since_they_were_given() {
    let database = Database::new().await;
    let target = database.target(1, limit(3, 100)).await;
    let taken = async |values: &str| -> bool {
        database.run(&format!("UPDATE channel_targets SET {values}")).await;
        let asked = sqlx::query_scalar("SELECT credentials_are_taken($1)").bind(target.0);
        asked.fetch_one(&database.pool).await.unwrap()
    };
    assert!(taken("health = 'healthy'").await);
    for health in ["unknown", "unauthorised", "degraded", "unreachable"] {
        assert!(!taken(&format!("health = '{health}'")).await, "{health}, and never anything else");
    }
    database.heard(target, 1, "healthy").await;
    for (health, is_taken) in [("degraded", true), ("unreachable", true), ("unauthorised", false), ("unknown", false)] {
        assert_eq!(taken(&format!("health = '{health}'")).await, is_taken, "{health}, and healthy before");
    }
    database.heard_after(target, 2, "healthy", "unknown").await;
    database.heard_after(target, 3, "unknown", "degraded").await;
    assert!(!taken("health = 'degraded'").await, "it fails with another secret than was taken");
    database.heard_after(target, 4, "degraded", "unauthorised").await;
    database.heard_after(target, 5, "unauthorised", "unknown").await;
    database.heard_after(target, 6, "unknown", "unreachable").await;
    assert!(!taken("health = 'unreachable'").await, "that they are good again nobody but a person has said");
    // Old changes may be deleted: that away from healthy says it as well.
    database.run("DELETE FROM target_health_changes").await;
    database.heard_after(target, 7, "healthy", "degraded").await;
    assert!(taken("health = 'degraded'").await);
    for (values, why) in [
        ("lifecycle = 'paused', health = 'healthy'", "nobody asks the channel any more"),
        ("lifecycle = 'deleted'", "it has the account no more"),
        ("lifecycle = 'active', health = 'degraded', host_position = 7", "another host has said so"),
    ] {
        assert!(!taken(values).await, "{why}");
    }
    database.close().await;
}

/// The channel counts refused logins as well, so those whose credentials it never took could fill the window of those whose it took.
#[tokio::test]
async fn strangers_have_one_login_in_ten_seconds_at_an_account_together() {
    let database = Database::new().await;
    let own = database.target(1, limit(3, 100)).await;
    let (first, second) = (database.target(2, limit(3, 100)).await, database.target(3, limit(3, 100)).await);
    let of = |target: TargetId, org: &str, health: &str| {
        let values = format!("org_id = '{org}', health = '{health}', channel_account = '1'");
        format!("UPDATE channel_targets SET {values} WHERE target_id = '{target}'")
    };
    let store = database.dispatcher();
    // What is free of a stranger's two scopes; a call that asks for no token falls under neither.
    let free = async |target: TargetId| {
        let mut round = store.open_check(target).await.unwrap();
        let names: Vec<String> = round.lanes[0].shared_scopes().map(str::to_owned).collect();
        assert_eq!(round.lanes[0].shared_scopes_of(false).collect::<Vec<_>>(), [account_scope().to_string()]);
        let shared = round.shared_scopes(&names).await.unwrap();
        let strangers = round.lanes[0].strangers_scopes.clone();
        let found = strangers.map(|names| names.map(|name| shared.get(&name).and_then(|scope| scope.free.clone())));
        round.write(&Claims::default(), HOLD, HOLD).await.unwrap();
        found
    };
    let (one, none) = (Some(vec![1]), Some(Vec::new()));
    database.run(&of(own, "org", "unknown")).await;
    database.run(&of(first, "other", "unknown")).await;
    database.run(&of(second, "third", "unauthorised")).await;
    for target in [own, first, second] {
        assert_eq!(free(target).await, None, "nobody's credentials are taken");
    }
    database.run(&of(own, "org", "healthy")).await;
    assert_eq!(free(first).await, Some([None, None]), "its limits are not in the tables yet");
    let accounts = [account_scope()];
    let mut wanted = store.strangers_limits_of(&accounts).await.unwrap();
    wanted.sort_by(|left, right| left.scope.cmp(&right.scope));
    let scope = |key: &str, window_ms| ScopeLimit {
        scope: Scope::Strangers(format!("hostaway/http://h/1{key}")),
        limit: Some(limit(1, window_ms)),
    };
    let of_each = ["org", "other", "third"].map(|org| scope(&format!(" {org}"), 30_000));
    assert_eq!(wanted, [vec![scope("", 10_000)], of_each.to_vec()].concat());
    store.ensure_scopes(&wanted).await.unwrap();
    assert_eq!(store.strangers_limits_of(&accounts).await.unwrap(), []);
    assert_eq!((free(own).await, free(first).await), (None, Some([one.clone(), one.clone()])));

    let names = ["", " other"].map(|key| scope(key, 10_000).scope.to_string());
    let slots = names.map(|scope| Slot { scope, number: 1 }).to_vec();
    let hold = SlotHold { hold_id: uuid::Uuid::new_v4(), target_id: first, slots };
    let claims = Claims { holds: vec![hold.clone()], ..Claims::default() };
    store.open_check(first).await.unwrap().write(&claims, HOLD, HOLD).await.unwrap();
    assert_eq!(free(second).await, Some([none.clone(), one.clone()]), "it is the other one's");
    store.settle(&Settlement { answered: vec![hold], ..Settlement::default() }).await.unwrap();
    database.pass(9.0).await;
    assert_eq!(free(second).await, Some([none.clone(), one.clone()]));
    database.pass(1.2).await;
    assert_eq!(free(second).await, Some([one.clone(), one.clone()]));
    assert_eq!(free(first).await, Some([one.clone(), none]), "others have their turn");
    database.pass(20.0).await;
    assert_eq!(free(first).await, Some([one.clone(), one.clone()]));

    // A newcomer does not wait for an account's window of an hour.
    let long = ScopeLimit { scope: account_scope(), limit: Some(limit(60, 3_600_000)) };
    store.ensure_scopes(&[long]).await.unwrap();
    assert_eq!(store.strangers_limits_of(&accounts).await.unwrap(), []);
    // Who was taken once stays none while nobody is taken now: the secret was changed at the channel first, and guessers go on.
    database.heard_after(own, 1, "healthy", "unauthorised").await;
    database.run(&of(own, "org", "unauthorised")).await;
    assert_eq!((free(own).await, free(first).await), (None, Some([one.clone(), one.clone()])));
    // With all of its organisation's targets, whosever they are there: one account at a channel may have several owners.
    database.heard(first, 2, "healthy").await;
    database.heard_after(first, 3, "healthy", "unauthorised").await;
    database.run(&of(second, "other", "unknown")).await;
    database.run(&format!("UPDATE channel_targets SET account_id = 'flats' WHERE target_id = '{second}'")).await;
    assert_eq!((free(first).await, free(second).await), (None, None));
    // While the owner's are taken, to have been taken once exempts nobody.
    database.run(&of(own, "org", "healthy")).await;
    let both = Some([one.clone(), one]);
    assert_eq!((free(first).await, free(second).await), (both.clone(), both.clone()));
    database.heard(first, 4, "healthy").await;
    database.run(&of(first, "other", "unknown")).await;
    assert_eq!((free(first).await, free(second).await), (None, None), "another target of theirs is taken");
    database.run(&of(own, "org", "unauthorised")).await;
    assert_eq!(free(own).await, both, "the account is others' now");
    database.close().await;
}

/// A target whose address led to another host before.
#[tokio::test]
async fn what_another_host_has_said_makes_nobody_an_owner_here() {
    let database = Database::new().await;
    let (own, moved) = (database.target(1, limit(3, 100)).await, database.target(2, limit(3, 100)).await);
    let store = database.dispatcher();
    let is_stranger = async |target: TargetId| {
        let round = store.open_check(target).await.unwrap();
        let stranger = round.lanes[0].strangers_scopes.is_some();
        // One that is dropped may hold its lane for a moment more.
        round.write(&Claims::default(), HOLD, HOLD).await.unwrap();
        stranger
    };
    let of =
        |target: TargetId, values: &str| format!("UPDATE channel_targets SET {values} WHERE target_id = '{target}'");
    database.run(&of(moved, "org_id = 'other', health = 'unknown', channel_account = '1'")).await;
    database.heard(moved, 5, "healthy").await;
    database.heard_after(moved, 6, "healthy", "unknown").await;
    assert!(!is_stranger(moved).await, "its secret was changed since it was taken");
    database.run(&of(moved, "host_position = 7")).await;
    assert!(is_stranger(moved).await);
    database.heard_after(own, 8, "healthy", "unauthorised").await;
    database.run(&of(own, "health = 'unauthorised'")).await;
    assert!(is_stranger(moved).await, "while nobody's are taken here, too");
    database.heard(moved, 9, "healthy").await;
    assert!(!is_stranger(moved).await, "this host has said so");
    database.close().await;
}

fn account_scope() -> Scope {
    Scope::Account("hostaway/http://h/1".to_owned())
}

/// The lane of a paused target is not looked at, yet its word on the account counts for all who share it.
#[tokio::test]
async fn an_account_limit_counts_whichever_target_gave_it() {
    let database = Database::new().await;
    database.target(1, limit(3, 100)).await;
    let store = database.dispatcher();
    let account = Scope::Account("hostaway/http://h/1".to_owned());
    assert_eq!(store.changed_account_limits().await.unwrap(), [], "nobody has seen it");
    let seen = store.account_limits_of(std::slice::from_ref(&account)).await.unwrap();
    assert_eq!(seen, [ScopeLimit { scope: account.clone(), limit: None }]);
    store.ensure_scopes(&seen).await.unwrap();
    assert_eq!(store.changed_account_limits().await.unwrap(), []);
    database
        .run("UPDATE channel_targets SET lifecycle = 'paused', account_requests = 2, account_window_ms = 500")
        .await;
    let changed = store.changed_account_limits().await.unwrap();
    assert_eq!(changed, [ScopeLimit { scope: account, limit: Some(limit(2, 500)) }]);
    store.ensure_scopes(&changed).await.unwrap();
    assert_eq!(store.changed_account_limits().await.unwrap(), []);
    database.run("UPDATE channel_targets SET lifecycle = 'deleted'").await;
    assert_eq!(store.changed_account_limits().await.unwrap(), [], "nobody is left whom it concerns");
    database.close().await;
}

#[tokio::test]
async fn a_dispatcher_without_a_limit_leaves_what_others_gave_their_address() {
    let database = Database::new().await;
    let store = database.dispatcher();
    let egress = Scope::Egress("default".to_owned());
    store.know_scope(&egress).await.unwrap();
    store.ensure_scopes(&[ScopeLimit { scope: egress.clone(), limit: Some(limit(7, 1_000)) }]).await.unwrap();
    database.dispatcher().know_scope(&egress).await.unwrap();
    let requests: Option<i32> =
        sqlx::query_scalar("SELECT requests FROM rate_scopes").fetch_one(&database.pool).await.unwrap();
    assert_eq!(requests, Some(7));
    database.close().await;
}

#[tokio::test]
async fn a_pause_closes_a_scope_for_as_long_as_the_channel_asked() {
    let database = Database::new().await;
    let lane = database.target(1, limit(3, 100)).await;
    let store = database.dispatcher();
    let scope = Scope::Account("hostaway/http://h/1".to_owned());
    let until = Instant::now() + Duration::from_millis(400);
    store.settle(&Settlement { paused: vec![(scope.clone(), until)], ..Settlement::default() }).await.unwrap();
    let earlier = Instant::now() + Duration::from_millis(100);
    store.settle(&Settlement { paused: vec![(scope.clone(), earlier)], ..Settlement::default() }).await.unwrap();
    let paused_for = async || {
        let mut round = store.open_round(&request(&[lane], false)).await.unwrap();
        round.shared_scopes(&[scope.to_string()]).await.unwrap()[&scope.to_string()].paused_for
    };
    let left = paused_for().await.unwrap();
    assert!(left > Duration::from_millis(150) && left <= Duration::from_millis(400), "{left:?}");
    tokio::time::sleep(Duration::from_millis(450)).await;
    assert_eq!(paused_for().await, None);
    database.close().await;
}
