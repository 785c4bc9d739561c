//! Migrations beside others who use the tables: whoever reads is not held up, and people are told what is waited for.

use std::process::Stdio;
use std::str::FromStr;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor, PgConnection};

use crate::world::World;

/// It changes the journal's table, whatever that is like already.
const CHANGES_THE_JOURNAL: &str = "DELETE FROM _sqlx_migrations WHERE version = 36";

async fn connection(world: &World, application: &str) -> PgConnection {
    PgConnectOptions::from_str(&world.database_url).unwrap().application_name(application).connect().await.unwrap()
}

#[test]
fn a_migration_behind_a_backup_lets_readers_through_says_so_and_is_done_after_it() {
    let world = World::new();
    let (mut backup, mut reader) = world.block_on(async {
        let mut backup = connection(&world, "pg_dump").await;
        backup.execute(CHANGES_THE_JOURNAL).await.unwrap();
        // It reads every table in one transaction.
        backup.execute("BEGIN; LOCK TABLE events IN ACCESS SHARE MODE").await.unwrap();
        let mut reader = connection(&world, "reader").await;
        reader.execute("SET statement_timeout = '5s'").await.unwrap();
        (backup, reader)
    });
    let mut command = world.command();
    command.args(["--output", "json", "migrate"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let migrating = command.spawn().unwrap();
    // It starts, waits for the first time, and gives way.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(8) {
        let read = world.block_on(reader.execute("SELECT FROM events"));
        read.expect("nobody waits behind the migration for as long as the backup takes");
        std::thread::sleep(Duration::from_millis(100));
    }
    world.block_on(backup.execute("ROLLBACK")).unwrap();
    let ended = migrating.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(0), "{said}");
    assert!(said.starts_with("waits for events, held by pg_dump (process "), "{said}");
    let done: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(done["applied"], serde_json::json!(["0036 journal text"]), "{said}");
    world.block_on(async {
        backup.close().await.unwrap();
        reader.close().await.unwrap();
    });
}

fn execute(world: &World, statement: &str) {
    world.block_on(async {
        let mut connection = connection(world, "by hand").await;
        connection.execute(statement).await.unwrap();
        connection.close().await.unwrap();
    });
}

/// A sync whose last attempt ended in a way that there is not.
const ENDED_OTHERWISE: &str = "
INSERT INTO outbound_audit (sync_id, listing_id, idempotency_key, org_id, account_id, target_id, ordinal, cause, revision, snapshot,
    needs, outcome, class, attempts, created_by, credential, correlation_id, requested_at, position, updated_position)
SELECT id, id, '\\x00', 'sunstay', 'bali', id, 1, 'manual', 1, '\\x00', '{rates}', 'pending', 'otherwise', 1, 'tester', 'cli', id, now(),
    1, 1
FROM gen_random_uuid() AS id";

/// A check of all rows under the lock that a change of a table takes would be an outage of as long.
#[test]
fn a_new_class_of_the_audit_reads_no_row_and_what_was_there_is_checked_beside_others() {
    let world = World::new();
    let name = "outbound_audit_class_known";
    execute(&world, "DELETE FROM _sqlx_migrations WHERE version IN (47, 49)");
    execute(&world, &format!("ALTER TABLE outbound_audit DROP CONSTRAINT {name}, ADD CONSTRAINT {name} CHECK (true)"));
    execute(&world, ENDED_OTHERWISE);
    let refused = world.json(&["migrate"]);
    assert!(refused.code == 1 && refused.error_message().contains("migration 49"), "{refused:?}");
    execute(&world, "UPDATE outbound_audit SET class = 'stopped'");

    // A projector in the middle of a batch, and a backup.
    let mut others = world.block_on(connection(&world, "others"));
    world.block_on(others.execute("BEGIN; LOCK TABLE outbound_audit IN ROW EXCLUSIVE MODE")).unwrap();
    let done = world.json(&["migrate"]).ok().json();
    assert_eq!(done["applied"], serde_json::json!(["0049 stopped attempts checked"]));
    world.block_on(others.close()).unwrap();
    let unknown = "SELECT count(*) FROM pg_constraint WHERE NOT convalidated";
    let unknown: i64 = world.block_on(async {
        let mut connection = connection(&world, "by hand").await;
        sqlx::query_scalar(unknown).fetch_one(&mut connection).await.unwrap()
    });
    assert_eq!(unknown, 0);
}

/// States of four streams of three events: of an event that there is, of one that is lost, and two that name one already.
const KEPT_BEFORE: &str = "
INSERT INTO events (event_id, org_id, account_id, aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
SELECT gen_random_uuid(), 'sunstay', 'bali', 'Account', id, sequence, 'Deposited', '1.0', '{}', '{}'
FROM unnest(ARRAY['plain', 'lost', 'named', 'moved']) AS id, generate_series(1, 3) AS sequence;
INSERT INTO aggregate_snapshots (aggregate_type, aggregate_id, sequence, state, event_id)
SELECT 'Account', id, sequence, '{}', (SELECT e.event_id FROM events e WHERE e.aggregate_id = id AND e.sequence = named)
FROM (VALUES ('plain', 2, NULL), ('lost', 4, NULL), ('named', 3, 3), ('moved', 2, 1)) AS kept (id, sequence, named)";

#[test]
fn states_that_were_kept_before_get_the_event_of_their_number() {
    let world = World::new();
    execute(&world, KEPT_BEFORE);
    execute(&world, "DELETE FROM _sqlx_migrations WHERE version = 51");
    let done = world.json(&["migrate"]).ok().json();
    assert_eq!(done["applied"], serde_json::json!(["0051 events of older snapshots"]));
    let names = "SELECT s.aggregate_id, e.sequence FROM aggregate_snapshots s LEFT JOIN events e USING (event_id)
                 WHERE s.aggregate_type = 'Account' ORDER BY s.aggregate_id";
    let names: Vec<(String, Option<i64>)> = world.block_on(async {
        let mut connection = connection(&world, "by hand").await;
        sqlx::query_as(names).fetch_all(&mut connection).await.unwrap()
    });
    let names: Vec<(&str, Option<i64>)> = names.iter().map(|(id, sequence)| (id.as_str(), *sequence)).collect();
    assert_eq!(names, [("lost", None), ("moved", Some(1)), ("named", Some(3)), ("plain", Some(2))]);
}

/// What the doctor says of the schema: status, detail and advice of each line.
fn schema(world: &World) -> Vec<[String; 3]> {
    let report = world.json(&["doctor"]).json();
    let checks = report["checks"].as_array().unwrap().iter().filter(|check| check["check"] == "schema");
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    checks.map(|check| [text(&check["status"]), text(&check["detail"]), text(&check["advice"])]).collect()
}

fn insert(version: i64, success: bool) -> String {
    format!(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES ({version}, 'by hand', {success}, '\\x00', 0)"
    )
}

#[test]
fn what_is_odd_about_migrations_is_told_as_it_is() {
    let world = World::new();
    assert_eq!(schema(&world)[0][0], "ok");
    // It is newer than this build, and that is not what is wrong with it.
    execute(&world, &insert(9999, false));
    let told = schema(&world);
    let [status, detail, advice] = &told[0];
    assert_eq!((told.len(), status.as_str(), detail.as_str()), (1, "fail", "not marked as done: migration 9999"));
    assert!(advice.contains("delete the row"), "{advice}");
    assert_eq!(world.json(&["migrate"]).code, 1, "the doctor says so");
    execute(&world, "DELETE FROM _sqlx_migrations WHERE version = 9999");

    execute(&world, "UPDATE _sqlx_migrations SET success = false WHERE version = 36");
    let told = schema(&world);
    assert_eq!((told.len(), told[0][1].as_str()), (1, "not marked as done: migration 0036"), "{told:?}");
    execute(&world, "UPDATE _sqlx_migrations SET success = true");

    execute(&world, "UPDATE _sqlx_migrations SET checksum = '\\x00' WHERE version = 7");
    let told = schema(&world);
    let [status, detail, advice] = &told[0];
    assert_eq!((told.len(), status.as_str()), (1, "fail"), "{told:?}");
    assert!(detail.ends_with("than this build has: migration 0007"), "{detail}");
    assert!(advice.contains("`distribution migrate` refuses this"), "{advice}");
    let refused = world.json(&["migrate"]);
    assert!(refused.code == 1 && refused.error_message().contains("has been modified"), "{refused:?}");
}

#[test]
fn an_older_build_says_of_a_newer_schema_that_it_is_newer() {
    let world = World::new();
    assert_eq!(world.run(&["migrate"]).ok().stdout.trim(), "the schema is up to date");
    execute(&world, &insert(9999, true));
    for arguments in [&["migrate"][..], &["migrate", "--check"]] {
        let said = world.run(arguments).ok().stdout;
        assert!(said.contains("the schema is newer than this build: 9999"), "{said}");
        let said = world.json(arguments).ok().json();
        assert_eq!((&said["newer"], &said["pending"]), (&serde_json::json!(9999), &serde_json::json!([])));
    }
    assert_eq!(schema(&world)[0][0], "warn");
}
