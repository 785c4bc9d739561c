//! The journal on real Postgres: it writes and reads what postgres-es does, answers each of many concurrent commands
//! by itself, and its reader never misses an event.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{HashMap, HashSet};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use adapters::event_store::{Journal, JournalOptions, PgEventLog, metadata_key};
use adapters::postgres::MIGRATOR;
use cqrs_es::persist::{PersistedEventRepository, SerializedEvent};
use cqrs_es::{
    Aggregate, AggregateContext, AggregateError, CqrsFramework, DomainEvent, EventStore, event_sink::EventSink,
};
use domain::recorded::Position;
use postgres_es::PostgresEventRepository;
use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, PgPool};
use uuid::Uuid;

/// An account with a balance: the smallest aggregate in which an event that is applied twice shows.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
struct Account {
    balance: i64,
    events: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum AccountEvent {
    Deposited { amount: i64 },
}

impl DomainEvent for AccountEvent {
    fn event_type(&self) -> String {
        "Deposited".to_owned()
    }
    fn event_version(&self) -> String {
        "1.0".to_owned()
    }
}

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("refused")]
struct Refused;

impl Aggregate for Account {
    const TYPE: &'static str = "Account";
    type Command = Vec<i64>;
    type Event = AccountEvent;
    type Error = Refused;
    type Services = ();

    async fn handle(&mut self, amounts: Vec<i64>, (): &(), sink: &EventSink<Self>) -> Result<(), Refused> {
        for amount in amounts {
            sink.write(AccountEvent::Deposited { amount }, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: AccountEvent) {
        let AccountEvent::Deposited { amount } = event;
        self.balance += amount;
        self.events += 1;
    }
}

struct Database {
    pool: PgPool,
    name: String,
    server: PgConnectOptions,
}

impl Database {
    async fn new() -> Self {
        let url = std::env::var("DATABASE_URL").expect("DATABASE_URL: run the tests by ./justw test");
        let server = PgConnectOptions::from_str(&url).unwrap();
        let name = format!("journal_{}", Uuid::now_v7().simple());
        let mut admin = server.connect().await.unwrap();
        let template = std::env::var("TEST_TEMPLATE").map(|name| format!(" TEMPLATE {name}")).unwrap_or_default();
        sqlx::query(&format!("CREATE DATABASE {name}{template}")).execute(&mut admin).await.unwrap();
        let pool = PgPoolOptions::new().max_connections(24).connect_with(server.clone().database(&name)).await.unwrap();
        MIGRATOR.run(&pool).await.unwrap();
        Self { pool, name, server }
    }

    fn journal(&self, options: JournalOptions) -> Journal {
        Journal::new(self.pool.clone(), options)
    }

    /// The journal as it was when there were so many events, as by a restore: what came after that is lost, snapshots of it too.
    async fn put_back(&self, events: i64) {
        for statement in [
            "DELETE FROM events WHERE position > (SELECT position FROM events ORDER BY position OFFSET $1 - 1 LIMIT 1)",
            "DELETE FROM aggregate_snapshots WHERE sequence > $1",
        ] {
            sqlx::query(statement).bind(events).execute(&self.pool).await.unwrap();
        }
    }

    async fn drop(self) {
        self.pool.close().await;
        let mut admin = self.server.connect().await.unwrap();
        sqlx::query(&format!("DROP DATABASE {} WITH (FORCE)", self.name)).execute(&mut admin).await.unwrap();
    }
}

fn metadata() -> HashMap<String, String> {
    HashMap::from([("org_id".to_owned(), "tvl".to_owned()), ("account_id".to_owned(), "villas".to_owned())])
}

async fn balance(journal: &Journal, id: &str) -> Account {
    EventStore::<Account>::load_aggregate(journal, id).await.unwrap().into_parts().0
}

#[tokio::test]
async fn rows_and_reads_are_those_of_postgres_es() {
    let database = Database::new().await;
    let journal = database.journal(JournalOptions::default());
    let framework = CqrsFramework::<Account, _>::new(journal.clone(), vec![], ());
    framework.execute_with_metadata("ours", vec![1, 10, 100], metadata()).await.unwrap();
    let theirs = PostgresEventRepository::new(database.pool.clone());
    let read = theirs.get_events::<Account>("ours").await.unwrap();
    let want: Vec<SerializedEvent> = [1, 10, 100]
        .iter()
        .enumerate()
        .map(|(index, amount)| {
            let payload = serde_json::to_value(AccountEvent::Deposited { amount: *amount }).unwrap();
            let metadata = serde_json::to_value(metadata()).unwrap();
            let (id, kind) = ("ours".to_owned(), "Account".to_owned());
            SerializedEvent::new(id, index + 1, kind, "Deposited".to_owned(), "1.0".to_owned(), payload, metadata)
        })
        .collect();
    assert_eq!(read, want);

    // What postgres-es would write, ours reads: its columns are a part of ours.
    let rows: i64 = sqlx::query_scalar(
        "INSERT INTO events (event_id, org_id, account_id, aggregate_type, aggregate_id, sequence, event_type,
                             event_version, payload, metadata)
         SELECT gen_random_uuid(), 'tvl', 'villas', aggregate_type, 'theirs', sequence, event_type, event_version,
                payload, metadata FROM events WHERE aggregate_id = 'ours' RETURNING position",
    )
    .fetch_all(&database.pool)
    .await
    .map(|rows: Vec<i64>| rows.len().try_into().unwrap())
    .unwrap();
    assert_eq!(rows, 3);
    assert_eq!(balance(&journal, "theirs").await, Account { balance: 111, events: 3 });
    let envelopes = EventStore::<Account>::load_events(&journal, "theirs").await.unwrap();
    assert_eq!(envelopes.iter().map(|e| e.sequence).collect::<Vec<_>>(), [1, 2, 3]);
    database.drop().await;
}

#[tokio::test]
async fn no_event_is_applied_twice_and_snapshots_are_only_a_cache() {
    let database = Database::new().await;
    let options = JournalOptions { snapshot_every: 2, cached_aggregates: 10 };
    let framework = CqrsFramework::<Account, _>::new(database.journal(options), vec![], ());
    for _ in 0..3 {
        framework.execute_with_metadata("a", vec![100], metadata()).await.unwrap();
    }
    assert_eq!(balance(&database.journal(options), "a").await, Account { balance: 300, events: 3 });
    let kept = || sqlx::query_scalar::<_, i64>("SELECT count(*) FROM aggregate_snapshots").fetch_one(&database.pool);
    for _ in 0..100 {
        if kept().await.unwrap() == 1 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(kept().await.unwrap(), 1);
    assert_eq!(balance(&database.journal(options), "a").await, Account { balance: 300, events: 3 });
    sqlx::query("UPDATE aggregate_snapshots SET state = '{\"of\": \"an older build\"}'")
        .execute(&database.pool)
        .await
        .unwrap();
    assert_eq!(balance(&database.journal(options), "a").await, Account { balance: 300, events: 3 });
    sqlx::query("DELETE FROM aggregate_snapshots").execute(&database.pool).await.unwrap();
    assert_eq!(balance(&database.journal(options), "a").await, Account { balance: 300, events: 3 });
    database.drop().await;
}

#[tokio::test]
async fn a_stream_that_took_many_events_to_read_has_a_snapshot_after_that() {
    let database = Database::new().await;
    let options = JournalOptions { snapshot_every: 1_000, cached_aggregates: 10 };
    let framework = CqrsFramework::<Account, _>::new(database.journal(options), vec![], ());
    framework.execute_with_metadata("a", vec![1; 40], metadata()).await.unwrap();
    framework.execute_with_metadata("short", vec![1; 32], metadata()).await.unwrap();
    let kept = || {
        let kept = "SELECT s.aggregate_id, s.sequence FROM aggregate_snapshots s JOIN events e
                    USING (aggregate_type, aggregate_id, sequence, event_id)";
        sqlx::query_as::<_, (String, i64)>(kept).fetch_all(&database.pool)
    };
    assert!(kept().await.unwrap().is_empty());
    let journal = database.journal(JournalOptions::default());
    assert_eq!(balance(&journal, "short").await, Account { balance: 32, events: 32 });
    assert_eq!(balance(&journal, "a").await, Account { balance: 40, events: 40 });
    for _ in 0..100 {
        if !kept().await.unwrap().is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(kept().await.unwrap(), [("a".to_owned(), 40)]);
    let marked = "UPDATE aggregate_snapshots SET state = '{\"balance\": 4000, \"events\": 40}'";
    sqlx::query(marked).execute(&database.pool).await.unwrap();
    assert_eq!(balance(&database.journal(JournalOptions::default()), "a").await.balance, 4_000, "it is begun with");
    database.drop().await;
}

/// Two processes outlive the restore; the numbers of what is lost are given to other events meanwhile.
#[tokio::test]
async fn nothing_is_decided_on_what_a_journal_lost_that_was_put_back() {
    let database = Database::new().await;
    let journals = [database.journal(JournalOptions::default()), database.journal(JournalOptions::default())];
    let frameworks = journals.clone().map(|journal| CqrsFramework::<Account, _>::new(journal, vec![], ()));
    let deposit = async |process: usize, amount: i64| {
        frameworks[process].execute_with_metadata("a", vec![amount], metadata()).await.unwrap();
    };
    for amount in [1, 10, 100, 1_000] {
        deposit(0, amount).await;
        assert_eq!(balance(&journals[1], "a").await, balance(&journals[0], "a").await);
    }
    let mut late = EventStore::<Account>::load_aggregate(&journals[0], "a").await.unwrap();
    let mut hasty = EventStore::<Account>::load_aggregate(&journals[0].hasty(), "a").await.unwrap();
    database.put_back(2).await;
    assert_eq!(balance(&journals[0], "a").await, Account { balance: 11, events: 2 }, "its end is gone");
    deposit(0, 7).await;
    deposit(0, 70).await;
    for context in [&mut late, &mut hasty] {
        context.aggregate().apply(AccountEvent::Deposited { amount: 10_000 });
    }
    for context in [late, hasty] {
        let events = vec![AccountEvent::Deposited { amount: 10_000 }];
        let refused = EventStore::<Account>::commit(&journals[0], events, context, metadata()).await;
        assert!(matches!(refused, Err(AggregateError::AggregateConflict)), "event 4 is another one: {refused:?}");
    }
    // What this one has at hand ends at the same number.
    let seen = EventStore::<Account>::load_aggregate(&journals[1], "a").await.unwrap().into_parts();
    assert_eq!(seen, (Account { balance: 88, events: 4 }, 4));
    deposit(1, 700).await;
    assert_eq!(balance(&journals[0], "a").await, Account { balance: 788, events: 5 });
    assert_eq!(balance(&database.journal(JournalOptions::default()), "a").await.balance, 788);
    database.drop().await;
}

#[tokio::test]
async fn a_snapshot_of_what_the_journal_lost_is_of_no_use_and_gives_way() {
    let database = Database::new().await;
    let options = JournalOptions { snapshot_every: 2, cached_aggregates: 10 };
    let framework = CqrsFramework::<Account, _>::new(database.journal(options), vec![], ());
    framework.execute_with_metadata("a", vec![1], metadata()).await.unwrap();
    // A process that outlived the restore has written it.
    let lost = "INSERT INTO aggregate_snapshots (aggregate_type, aggregate_id, sequence, state, event_id)
                VALUES ('Account', 'a', 4, '{\"balance\": 1000, \"events\": 4}', gen_random_uuid())";
    sqlx::query(lost).execute(&database.pool).await.unwrap();
    assert_eq!(balance(&database.journal(options), "a").await, Account { balance: 1, events: 1 });
    framework.execute_with_metadata("a", vec![10], metadata()).await.unwrap();
    let kept = || {
        let kept = "SELECT sequence, (state ->> 'balance')::bigint FROM aggregate_snapshots";
        sqlx::query_as::<_, (i64, i64)>(kept).fetch_one(&database.pool)
    };
    for _ in 0..100 {
        if kept().await.unwrap().0 == 2 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(kept().await.unwrap(), (2, 11));
    assert_eq!(balance(&database.journal(options), "a").await, Account { balance: 11, events: 2 });
    database.drop().await;
}

/// The journal has another event of the number with which it ends. Builds that do not name the event leave none, or that of the state
/// which they moved on.
#[tokio::test]
async fn a_snapshot_beside_another_event_of_its_number_is_of_no_use() {
    let database = Database::new().await;
    let options = JournalOptions { snapshot_every: 1_000, cached_aggregates: 10 };
    let framework = CqrsFramework::<Account, _>::new(database.journal(options), vec![], ());
    for amount in [1, 10, 100] {
        framework.execute_with_metadata("a", vec![amount], metadata()).await.unwrap();
    }
    let mut loaded = Vec::new();
    for named in ["gen_random_uuid()".to_owned(), "NULL".to_owned(), event_id(1), event_id(2)] {
        let kept = format!(
            "INSERT INTO aggregate_snapshots (aggregate_type, aggregate_id, sequence, state, event_id)
             VALUES ('Account', 'a', 2, '{{\"balance\": 2000, \"events\": 2}}', {named})
             ON CONFLICT (aggregate_type, aggregate_id) DO UPDATE SET event_id = excluded.event_id"
        );
        sqlx::query(&kept).execute(&database.pool).await.unwrap();
        loaded.push(balance(&database.journal(options), "a").await.balance);
    }
    assert_eq!(loaded, [111, 111, 111, 2_100], "beside its own event it is taken as it is");
    database.drop().await;
}

fn event_id(sequence: i64) -> String {
    format!("(SELECT event_id FROM events WHERE aggregate_id = 'a' AND sequence = {sequence})")
}

#[tokio::test]
async fn an_organisation_whose_first_target_is_lost_is_not_known_any_more() {
    let database = Database::new().await;
    let journal = database.journal(JournalOptions::default());
    let framework = CqrsFramework::<Account, _>::new(journal.clone(), vec![], ());
    framework.execute_with_metadata("a", vec![1], metadata()).await.unwrap();
    framework.execute_with_metadata("a", vec![10], metadata()).await.unwrap();
    // By the type of the event, whatever it is one of.
    let created = "UPDATE events SET event_type = 'TargetCreated' WHERE sequence = 2";
    sqlx::query(created).execute(&database.pool).await.unwrap();
    let known = async || journal.known_orgs(HashSet::from(["tvl".to_owned()])).await.unwrap().len();
    assert_eq!(known().await, 1);
    database.put_back(1).await;
    assert_eq!(balance(&journal, "a").await, Account { balance: 1, events: 1 });
    assert_eq!(known().await, 0);
    database.drop().await;
}

#[tokio::test]
async fn a_command_without_events_writes_nothing_and_positions_come_back() {
    let database = Database::new().await;
    let journal = database.journal(JournalOptions::default());
    let context = EventStore::<Account>::load_aggregate(&journal, "a").await.unwrap();
    let none = EventStore::<Account>::commit(&journal, vec![], context, metadata()).await.unwrap();
    assert!(none.is_empty());
    let mut context = EventStore::<Account>::load_aggregate(&journal, "a").await.unwrap();
    let events = vec![AccountEvent::Deposited { amount: 5 }, AccountEvent::Deposited { amount: 7 }];
    events.iter().for_each(|event| context.aggregate().apply(event.clone()));
    let written = EventStore::<Account>::commit(&journal, events, context, metadata()).await.unwrap();
    let positions: Vec<i64> = written.iter().map(|e| e.metadata[metadata_key::POSITION].parse().unwrap()).collect();
    assert_eq!(positions, [1, 2]);
    assert_eq!(written.iter().map(|e| e.sequence).collect::<Vec<_>>(), [1, 2]);
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM events").fetch_one(&database.pool).await.unwrap();
    assert_eq!(rows, 2);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_saw_the_same_version_one_wins_whole() {
    let database = Database::new().await;
    // Two journals are two processes: they meet at the unique key, not in one queue.
    let journals = [database.journal(JournalOptions::default()), database.journal(JournalOptions::default())];
    for round in 0..50 {
        let id = format!("a{round}");
        let commits = journals.iter().map(|journal| async {
            let mut context = EventStore::<Account>::load_aggregate(journal, &id).await.unwrap();
            let events = vec![AccountEvent::Deposited { amount: 1 }; 3];
            events.iter().for_each(|event| context.aggregate().apply(event.clone()));
            EventStore::<Account>::commit(journal, events, context, metadata()).await
        });
        let outcomes = futures::future::join_all(commits).await;
        let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        let lost = outcomes.iter().filter(|o| matches!(o, Err(AggregateError::AggregateConflict))).count();
        assert!(won >= 1 && won + lost == 2, "round {round}: {won} won, {lost} lost");
        let expected = i64::try_from(won * 3).unwrap();
        assert_eq!(balance(&journals[0], &id).await, Account { balance: expected, events: expected });
        assert_eq!(balance(&journals[1], &id).await, Account { balance: expected, events: expected });
    }
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_cannot_be_stored_fails_alone() {
    let database = Database::new().await;
    let journal = database.journal(JournalOptions::default());
    for round in 0..5 {
        // They go into one statement: the first holds the writer busy while the others gather.
        // Postgres refuses every tenth, as the longest key of an index has 2,704 bytes.
        let id = |number| if number % 10 == 5 { hardly_compressed(4_000) } else { format!("a{round}-{number}") };
        let ids: Vec<String> = (0..40).map(id).collect();
        let commits = ids.iter().map(|id| {
            let journal = journal.clone();
            async move {
                let mut context = EventStore::<Account>::load_aggregate(&journal, id).await.unwrap();
                let events = vec![AccountEvent::Deposited { amount: 1 }; 2];
                events.iter().for_each(|event| context.aggregate().apply(event.clone()));
                EventStore::<Account>::commit(&journal, events, context, metadata()).await
            }
        });
        let outcomes = futures::future::join_all(commits).await;
        for (number, (id, outcome)) in ids.iter().zip(&outcomes).enumerate() {
            let written = if number % 10 == 5 { 0 } else { 2 };
            assert_eq!(outcome.is_ok(), written > 0, "commit {number} of round {round}: {outcome:?}");
            let stored = Account { balance: written, events: written };
            assert_eq!(balance(&journal, id).await, stored);
        }
    }
    database.drop().await;
}

/// Letters and digits that look like any others.
fn hardly_compressed(length: usize) -> String {
    std::iter::repeat_with(|| Uuid::new_v4().simple().to_string())
        .flat_map(String::into_bytes)
        .map(char::from)
        .take(length)
        .collect()
}

/// Postgres would keep it as JSON, and fail whoever asks for a part of that JSON.
#[tokio::test]
async fn what_postgres_makes_no_text_of_is_not_appended() {
    let database = Database::new().await;
    let journal = database.journal(JournalOptions::default());
    let mut context = EventStore::<Account>::load_aggregate(&journal, "a").await.unwrap();
    let events = vec![AccountEvent::Deposited { amount: 1 }];
    events.iter().for_each(|event| context.aggregate().apply(event.clone()));
    let mut metadata = metadata();
    metadata.insert("traceparent".to_owned(), "no text has \0".to_owned());
    let refused = EventStore::<Account>::commit(&journal, events, context, metadata).await;
    assert!(refused.is_err_and(|error| error.to_string().contains("U+0000")));
    assert_eq!(balance(&journal, "a").await, Account { balance: 0, events: 0 });
    database.drop().await;
}

/// Each of them alone would wait for as long as all of them together.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_time_is_waited_for_once_and_not_once_per_commit() {
    let database = Database::new().await;
    let options = database.pool.connect_options().as_ref().clone().options([("statement_timeout", "200ms")]);
    let hurried = PgPoolOptions::new().connect_with(options).await.unwrap();
    let journal = Journal::new(hurried.clone(), JournalOptions::default());
    let mut held = database.pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE events IN SHARE MODE").execute(&mut *held).await.unwrap();
    let deposit = |number: usize| {
        let journal = journal.clone();
        async move {
            let mut context = EventStore::<Account>::load_aggregate(&journal, &format!("a{number}")).await.unwrap();
            let events = vec![AccountEvent::Deposited { amount: 1 }];
            events.iter().for_each(|event| context.aggregate().apply(event.clone()));
            EventStore::<Account>::commit(&journal, events, context, metadata()).await
        }
    };
    let began = std::time::Instant::now();
    let outcomes = futures::future::join_all((0..40).map(&deposit)).await;
    let took = began.elapsed();
    assert!(outcomes.iter().all(Result::is_err), "{outcomes:?}");
    let said = format!("{:?}", outcomes[0]);
    assert!(said.contains("statement timeout"), "{said}");
    assert!(took < std::time::Duration::from_secs(4), "40 commits waited for {took:?}");
    held.rollback().await.unwrap();
    let outcomes = futures::future::join_all((0..40).map(&deposit)).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(balance(&journal, "a39").await, Account { balance: 1, events: 1 }, "what timed out was not written");
    hurried.close().await;
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_follows_settled_positions_misses_nothing() {
    let database = Database::new().await;
    let done = Arc::new(AtomicBool::new(false));
    let reader = {
        let (log, done) = (PgEventLog::new(database.pool.clone()), done.clone());
        tokio::spawn(async move {
            let (mut seen, mut last, mut sequences) = (HashSet::new(), Position(0), HashMap::new());
            loop {
                let finished = done.load(Ordering::SeqCst);
                let settled = log.settled_position().await.unwrap();
                while last < settled {
                    let events = log.stored(last, settled, 100).await.unwrap();
                    let Some(end) = events.last().map(|event| Position(event.position)) else { break };
                    for event in events {
                        assert!(seen.insert(event.event_id), "an event came twice");
                        let sequence = sequences.entry(event.aggregate_id).or_insert(0);
                        assert_eq!(event.sequence, *sequence + 1, "order of positions is order per aggregate");
                        *sequence = event.sequence;
                    }
                    last = end;
                }
                if finished {
                    return seen.len();
                }
            }
        })
    };
    // Several journals, several statements under way at once: positions become visible out of order.
    let mut writers = Vec::new();
    for writer in 0..8 {
        let framework = CqrsFramework::<Account, _>::new(database.journal(JournalOptions::default()), vec![], ());
        writers.push(tokio::spawn(async move {
            let commands = (0..40).map(|task| {
                let id = format!("w{writer}-{task}");
                let framework = &framework;
                async move {
                    for _ in 0..5 {
                        framework.execute_with_metadata(&id, vec![1, 2], metadata()).await.unwrap();
                    }
                }
            });
            futures::future::join_all(commands).await;
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    done.store(true, Ordering::SeqCst);
    assert_eq!(reader.await.unwrap(), 8 * 40 * 5 * 2);
    database.drop().await;
}
