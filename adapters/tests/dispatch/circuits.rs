//! Circuits and checks as the tables keep them, whichever dispatcher tells and asks.

use std::time::Duration;

use adapters::dispatch::{BY_CIRCUIT, DispatchStore, DueCheck, Settlement};
use chrono::{DateTime, TimeDelta, Utc};
use domain::call::{CallPurpose, CallRecord};
use domain::ids::TargetId;
use domain::metadata::Actor;
use domain::outcome::OutcomeClass;
use domain::port::{CheckReport, Stopped};
use domain::window::RateLimit;
use uuid::Uuid;

use crate::fixture::{Database, lease, request, room, settings, take};

const LONG: Duration = Duration::from_secs(20);

async fn pushes(store: &DispatchStore, target: TargetId, failed: &[bool]) {
    let ended = failed.iter().map(|failed| (target, *failed)).collect();
    store.settle(&Settlement { ended, ..Settlement::default() }).await.unwrap();
}

async fn field<T>(database: &Database, sql: &str) -> T
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
{
    sqlx::query_scalar(sql).fetch_one(&database.pool).await.unwrap()
}

#[tokio::test]
async fn five_failures_in_a_row_of_all_dispatchers_close_the_lane_and_an_answer_opens_it() {
    let database = Database::new().await;
    let target = database.target(1, RateLimit::new(100, 1_000).unwrap()).await;
    database.job(target, 11).await;
    let (one, other) = (database.dispatcher(), database.dispatcher());
    pushes(&one, target, &[true, true, false, true]).await;
    pushes(&other, target, &[true, true, true]).await;
    assert_eq!(field::<i32>(&database, "SELECT failures FROM dispatch_circuits").await, 4);
    assert!(take(&one, target, LONG).await.is_some(), "four in a row are not enough");
    pushes(&one, target, &[true]).await;
    database.due(target).await;
    assert!(lease(&other, LONG).await.is_empty(), "its work is not claimed");
    let round = other.open_round(&request(&[target], true)).await.unwrap();
    let closed = [(target, Stopped::CircuitOpen)];
    assert_eq!((round.lanes.len(), round.closed.as_slice()), (0, &closed[..]), "calls that wait are told why");
    drop(round);
    let wait = "SELECT extract(epoch FROM due_at - now())::float8 FROM dispatch_checks";
    let first: f64 = field(&database, wait).await;
    assert!((2.0..=5.0).contains(&first), "the first check comes soon: {first}");
    // What had begun before and fails later changes nothing of that.
    pushes(&one, target, &[true, true]).await;
    assert!(field::<f64>(&database, wait).await <= first);
    pushes(&other, target, &[false]).await;
    let still = "SELECT count(*) FROM circuit_openings WHERE closed_at IS NOT NULL AND closed_at >= opened_at";
    assert_eq!(lease(&one, LONG).await.len(), 1, "an answer opens it at once");
    assert_eq!(field::<i64>(&database, still).await, 1, "from when to when it was open is kept, once");
    assert_eq!(field::<i64>(&database, "SELECT count(*) FROM circuit_openings").await, 1);
    one.forget_openings(Duration::ZERO).await.unwrap();
    assert_eq!(field::<i64>(&database, "SELECT count(*) FROM circuit_openings").await, 0);
    database.close().await;
}

/// Its commit came through, and the answer did not: the gate tells all of it again.
#[tokio::test]
async fn what_is_told_twice_changes_nothing_but_what_a_circuit_counts() {
    let database = Database::new().await;
    let target = database.target(1, RateLimit::new(2, 60_000).unwrap()).await;
    let store = database.dispatcher();
    let (answered, unused) = (take(&store, target, LONG).await.unwrap(), take(&store, target, LONG).await.unwrap());
    let told = Settlement {
        answered: vec![answered],
        unused: vec![unused],
        ended: vec![(target, true)],
        ..Settlement::default()
    };
    let slots = "SELECT string_agg(concat_ws(' ', slot, free_at, hold_id), ', ' ORDER BY slot) FROM rate_slots";
    let failures = "SELECT failures FROM dispatch_circuits";
    store.settle(&told).await.unwrap();
    let (free, failed) = (field::<String>(&database, slots).await, field::<i32>(&database, failures).await);
    store.settle(&told).await.unwrap();
    assert_eq!(field::<String>(&database, slots).await, free, "slots come back once, and when they did at first");
    assert_eq!((failed, field::<i32>(&database, failures).await), (1, 2), "so many are not enough to open it");
    database.close().await;
}

#[tokio::test]
async fn the_plan_leaves_the_check_of_an_open_circuit_at_its_time_and_a_person_need_not_wait_for_it() {
    let database = Database::new().await;
    let target = database.target(1, RateLimit::new(100, 1_000).unwrap()).await;
    let store = database.dispatcher();
    let interval = Duration::from_secs(10);
    let turn = "UPDATE dispatch_checks SET next_at = now() - interval '1 second'";
    store.plan_checks(interval).await.unwrap();
    // Four in a row are none that opens it: its turn is its turn.
    pushes(&store, target, &[true; 4]).await;
    database.run(turn).await;
    assert_eq!(store.plan_checks(interval).await.unwrap(), 1);
    database.run("UPDATE dispatch_checks SET due_at = 'infinity'").await;
    pushes(&store, target, &[true]).await;
    let due = "SELECT due_at::text FROM dispatch_checks";
    let named: String = field(&database, due).await;
    assert_ne!(named, "infinity");
    database.run(turn).await;
    assert_eq!(store.plan_checks(interval).await.unwrap(), 0);
    assert_eq!(field::<String>(&database, due).await, named);
    let turns = "SELECT count(*) FROM dispatch_checks WHERE next_at > now()";
    assert_eq!(field::<i64>(&database, turns).await, 1, "its turn is over all the same");
    assert!(store.take_checks(&mut room(10), LONG).await.unwrap().is_empty());
    store.ask_check(target, &Actor::cli("ops@example.org")).await.unwrap();
    assert_eq!(store.take_checks(&mut room(10), LONG).await.unwrap().len(), 1);
    database.close().await;
}

#[tokio::test]
async fn a_check_is_made_by_one_and_the_next_comes_later_after_each_failure() {
    let database = Database::new().await;
    let target = database.target(1, RateLimit::new(100, 1_000).unwrap()).await;
    let (one, other) = (database.dispatcher(), database.dispatcher());
    pushes(&one, target, &[true; 5]).await;
    let asked = one.ask_check(target, &Actor::cli("ops@example.org")).await.unwrap();
    let (mut here, mut there) = (room(10), room(10));
    let (mine, theirs) = tokio::join!(one.take_checks(&mut here, LONG), other.take_checks(&mut there, LONG));
    let taken = [mine.unwrap(), theirs.unwrap()].concat();
    assert_eq!(taken.len(), 1, "one of them makes it");
    assert_eq!((taken[0].check_id, taken[0].asked_by.as_str()), (asked, "ops@example.org"));
    let meanwhile = other.ask_check(target, &Actor::cli("another")).await.unwrap();
    assert_eq!(meanwhile, asked, "who asks meanwhile gets the same");
    let mut waits = Vec::new();
    let own = DueCheck { asked_by: BY_CIRCUIT.to_owned(), ..taken[0].clone() };
    for failures in 6..=9 {
        assert_eq!(one.note_check(&own, OutcomeClass::Transient).await.unwrap(), failures);
        waits.push(field::<i32>(&database, "SELECT opened FROM dispatch_circuits").await);
    }
    assert_eq!(waits, [2, 3, 4, 5]);
    assert_eq!(one.note_check(&own, OutcomeClass::Throttled).await.unwrap(), 0);
    assert_eq!(field::<i64>(&database, "SELECT count(*) FROM dispatch_circuits").await, 1, "a 429 tells nothing");
    let openings = |closed| format!("SELECT count(*) FROM circuit_openings WHERE (closed_at IS NOT NULL) = {closed}");
    assert_eq!(field::<i64>(&database, &openings(false)).await, 1, "a failed check opens none that is open");
    one.note_check(&own, OutcomeClass::Accepted).await.unwrap();
    assert_eq!(field::<i64>(&database, &openings(true)).await, 1);
    assert_eq!(field::<i64>(&database, "SELECT count(*) FROM dispatch_circuits").await, 0);
    database.close().await;
}

/// A check of so many calls.
fn report(class: OutcomeClass, calls: usize) -> CheckReport {
    let call = |_| CallRecord {
        request_id: Uuid::now_v7(),
        purpose: CallPurpose::Probe,
        method: "GET".to_owned(),
        path: "/v1/listings?limit=1".to_owned(),
        started_at: Utc::now(),
        duration_ms: 5,
        status: class.succeeded().then_some(200),
        class,
        detail: None,
        answer: None,
    };
    CheckReport { class, detail: None, calls: (0..calls).map(call).collect(), credentials_refused: false }
}

/// Whoever wants to know keeps nobody waiting: the work of an open circuit waits for its own check.
#[tokio::test]
async fn a_check_that_a_person_asked_for_and_that_fails_leaves_an_open_circuit_its_time() {
    let database = Database::new().await;
    let target = database.target(1, RateLimit::new(100, 1_000).unwrap()).await;
    let (store, settings) = (database.dispatcher(), settings(target));
    pushes(&store, target, &[true; 5]).await;
    let (due, opened) = ("SELECT due_at FROM dispatch_checks", "SELECT opened FROM dispatch_circuits");
    // A minute on, so that its time does not come while this goes on.
    database.run("UPDATE circuit_openings SET opened_at = opened_at + interval '1 minute'").await;
    database.run("UPDATE dispatch_checks SET due_at = due_at + interval '1 minute'").await;
    let named: DateTime<Utc> = field(&database, due).await;
    for (class, failures) in [(OutcomeClass::Transient, 6), (OutcomeClass::Throttled, 0), (OutcomeClass::Unknown, 7)] {
        store.ask_check(target, &Actor::cli("ops@example.org")).await.unwrap();
        let taken = store.take_checks(&mut room(10), LONG).await.unwrap();
        assert_eq!(store.note_check(&taken[0], class).await.unwrap(), failures);
        store.finish_check(&taken[0], &settings, &report(class, 1)).await.unwrap();
        let next: DateTime<Utc> = field(&database, due).await;
        assert!(next <= named && named - next < TimeDelta::seconds(2), "{class}: {next} instead of {named}");
        assert_eq!(field::<i32>(&database, opened).await, 1);
    }
    // Where neither is kept any more from which its time would be known, it is not due at once.
    database.run("DELETE FROM circuit_openings").await;
    database.run("DELETE FROM health_checks").await;
    store.ask_check(target, &Actor::cli("ops@example.org")).await.unwrap();
    let taken = store.take_checks(&mut room(10), LONG).await.unwrap();
    let asked_at = Utc::now();
    store.finish_check(&taken[0], &settings, &report(OutcomeClass::Transient, 1)).await.unwrap();
    let next: DateTime<Utc> = field(&database, due).await;
    assert!(next - asked_at > TimeDelta::seconds(1), "{next} after {asked_at}");
    // The one of the circuit itself, also where somebody asks when it is due.
    database.run("UPDATE dispatch_checks SET due_at = now() - interval '1 second'").await;
    store.ask_check(target, &Actor::cli("ops@example.org")).await.unwrap();
    let taken = store.take_checks(&mut room(10), LONG).await.unwrap();
    assert_eq!(taken[0].asked_by, BY_CIRCUIT);
    assert_eq!(store.note_check(&taken[0], OutcomeClass::Transient).await.unwrap(), 8);
    store.finish_check(&taken[0], &settings, &report(OutcomeClass::Transient, 1)).await.unwrap();
    assert_eq!(field::<i32>(&database, opened).await, 2);
    let wait: f64 = field(&database, "SELECT extract(epoch FROM due_at - now())::float8 FROM dispatch_checks").await;
    assert!((6.0..=10.0).contains(&wait), "twice as late: {wait}");
    database.close().await;
}

/// One of them was stopped for longer than its lease, and goes on.
#[tokio::test]
async fn the_calls_of_a_check_that_two_have_made_are_all_told() {
    let database = Database::new().await;
    let target = database.target(1, RateLimit::new(100, 1_000).unwrap()).await;
    let (late, other) = (database.dispatcher(), database.dispatcher());
    late.ask_check(target, &Actor::cli("ops")).await.unwrap();
    let first = late.take_checks(&mut room(10), Duration::ZERO).await.unwrap();
    let again = other.take_checks(&mut room(10), LONG).await.unwrap();
    assert_eq!(first, again, "its lease ran out");
    let settings = settings(target);
    other.finish_check(&again[0], &settings, &report(OutcomeClass::Accepted, 2)).await.unwrap();
    late.finish_check(&first[0], &settings, &report(OutcomeClass::Throttled, 0)).await.unwrap();
    let told = "SELECT format('%s %s %s %s %s',
                    calls, cardinality(calls_started_at), cardinality(calls_took_ms), class, status) FROM health_checks";
    assert_eq!(field::<String>(&database, told).await, "2 2 2 accepted 200", "who made no call has nothing to tell");
    late.finish_check(&first[0], &settings, &report(OutcomeClass::Transient, 1)).await.unwrap();
    assert_eq!(field::<String>(&database, told).await, "3 3 3 transient ");
    database.close().await;
}

#[tokio::test]
async fn a_check_under_way_has_a_slot_of_a_busy_window_to_itself() {
    let database = Database::new().await;
    let target = database.target(1, RateLimit::new(2, 1_000).unwrap()).await;
    let store = database.dispatcher();
    store.ask_check(target, &Actor::cli("ops")).await.unwrap();
    assert_eq!(store.take_checks(&mut room(10), LONG).await.unwrap().len(), 1);
    assert!(take(&store, target, LONG).await.is_some());
    assert!(take(&store, target, LONG).await.is_none(), "the second slot is the check's");
    let round = store.open_check(target).await.unwrap();
    assert_eq!(round.lanes[0].free.len(), 1);
    // It holds a connection, for which the pool would wait.
    drop(round);
    database.close().await;
}

#[tokio::test]
async fn each_active_target_is_asked_for_once_in_an_interval_and_what_is_seen_to_work_is_not() {
    let database = Database::new().await;
    let (idle, busy, paused) = {
        let limit = RateLimit::new(100, 1_000).unwrap();
        (database.target(1, limit).await, database.target(2, limit).await, database.target(3, limit).await)
    };
    database.run(&format!("UPDATE channel_targets SET lifecycle = 'paused' WHERE target_id = '{paused}'")).await;
    database
        .run(&format!(
            "INSERT INTO target_health (target_id, org_id, account_id, health, since, last_success_at, position)
             VALUES ('{busy}', 'org', 'villas', 'healthy', now(), now() - interval '1 minute', 1)"
        ))
        .await;
    let store = database.dispatcher();
    let interval = Duration::from_secs(300);
    store.plan_checks(interval).await.unwrap();
    database.run("UPDATE dispatch_checks SET next_at = now() - interval '1 second'").await;
    assert_eq!(store.plan_checks(interval).await.unwrap(), 1);
    assert_eq!(store.plan_checks(interval).await.unwrap(), 0, "not again before its time");
    let due = store.take_checks(&mut room(10), LONG).await.unwrap();
    assert_eq!(due.iter().map(|check| check.target_id).collect::<Vec<_>>(), [idle]);
    database.close().await;
}
