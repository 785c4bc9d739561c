//! Who gets the places that a dispatcher has for checks, and what it reads for that.

use std::time::Duration;

use adapters::dispatch::{CheckRoom, DispatchStore, DueCheck};
use sqlx::postgres::PgPoolOptions;
use uuid::Uuid;

use crate::fixture::{Database, room};

const LEASE: Duration = Duration::from_secs(20);

/// Targets of an organisation whose checks have been due for so long, the last one for a little less than the first.
async fn due(database: &Database, org: &str, targets: i32, seconds: f64) {
    sqlx::query(
        "WITH made AS (
             INSERT INTO channel_targets (target_id, org_id, account_id, name, channel, base_url, channel_account,
                 credential, requests, window_ms, lifecycle, health, health_since, version, created_by, created_at,
                 updated_at, position)
             SELECT gen_random_uuid(), $1, 'villas', 'T', 'hostaway', 'http://h', n::text, 'env:X', 12, 1000, 'active',
                 'healthy', now(), 1, 'ops', now(), now(), 1
             FROM generate_series(1, $2) AS n
             RETURNING target_id, channel_account)
         INSERT INTO dispatch_checks (target_id, due_at)
         SELECT target_id, now() - make_interval(secs => $3 - channel_account::float8 / 10000) FROM made",
    )
    .bind(org)
    .bind(targets)
    .bind(seconds)
    .execute(&database.pool)
    .await
    .unwrap();
}

/// Places that are free beside those that these have.
fn beside(free: usize, under_way: &[(&str, usize)]) -> CheckRoom {
    let under_way = under_way.iter().map(|(org_id, count)| ((*org_id).to_owned(), *count)).collect();
    CheckRoom { under_way, ..room(free) }
}

fn of(org: &str, taken: &[DueCheck]) -> usize {
    taken.iter().filter(|check| check.org_id == org).count()
}

#[tokio::test]
async fn an_organisation_gets_a_place_for_a_check_only_while_more_are_free_than_it_has() {
    let database = Database::new().await;
    let store = database.dispatcher();
    due(&database, "slow", 100, 60.0).await;
    let take = async |mut room: CheckRoom| store.take_checks(&mut room, LEASE).await.unwrap();
    assert_eq!(of("slow", &take(room(64)).await), 32, "alone it has half of them");
    assert_eq!(take(beside(32, &[("slow", 32)])).await.len(), 0, "the others are for whoever comes next");

    due(&database, "other", 40, 1.0).await;
    let taken = take(beside(32, &[("slow", 32)])).await;
    assert_eq!((of("other", &taken), taken.len()), (16, 16));
    due(&database, "third", 1, 1.0).await;
    let taken = take(beside(16, &[("slow", 32), ("other", 16)])).await;
    assert_eq!((of("third", &taken), taken.len()), (1, 1), "whoever has none gets one, however many wait before it");
    let taken = take(room(64)).await;
    assert_eq!((of("slow", &taken), of("other", &taken)), (22, 21), "two have a third each");
    database.close().await;
}

/// The plan is made on tables that have no rows yet, as that of a dispatcher is which starts first.
#[tokio::test]
async fn what_is_due_behind_thousands_of_one_organisation_is_found_and_a_look_reads_a_thousand() {
    let database = Database::new().await;
    // What is analysed is planned anew.
    for table in ["dispatch_checks", "channel_targets"] {
        database.run(&format!("ALTER TABLE {table} SET (autovacuum_enabled = off)")).await;
    }
    // A plan belongs to its connection.
    let options = database.pool.connect_options().as_ref().clone();
    let one = PgPoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    let store = DispatchStore::new(one.clone(), Uuid::now_v7());
    assert!(store.take_checks(&mut room(64), LEASE).await.unwrap().is_empty());
    due(&database, "slow", 2_500, 60.0).await;
    due(&database, "other", 1, 1.0).await;
    let read = async || {
        sqlx::query("SELECT pg_stat_force_next_flush()").execute(&one).await.unwrap();
        let read = "SELECT (sum(i.idx_tup_read) + max(t.seq_tup_read))::bigint
             FROM pg_stat_user_indexes i JOIN pg_stat_user_tables t USING (relid) WHERE t.relname = 'dispatch_checks'";
        sqlx::query_scalar::<_, i64>(read).fetch_one(&one).await.unwrap()
    };
    let mut room = beside(32, &[("slow", 32)]);
    let mut taken = Vec::new();
    let mut before = read().await;
    for _ in 0..3 {
        taken = store.take_checks(&mut room, LEASE).await.unwrap();
        let after = read().await;
        assert!(after - before <= 1_100, "{} rows were read in one look", after - before);
        before = after;
    }
    assert_eq!((of("other", &taken), taken.len()), (1, 1), "the third look comes to it");
    assert_eq!(room.after, None, "and the next one begins again");
    one.close().await;
    database.close().await;
}
