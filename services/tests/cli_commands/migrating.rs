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
