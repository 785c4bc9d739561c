//! What is read where a plan was made on tables that had no rows yet, as a dispatcher's is that starts with an empty queue.

use std::time::Duration;

use adapters::dispatch::DispatchStore;
use domain::window::RateLimit;
use sqlx::postgres::PgPoolOptions;
use uuid::Uuid;

use crate::fixture::{Database, lease};

const LEASE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_round_reads_no_more_of_a_long_queue_than_it_can_take() {
    let database = Database::new().await;
    // What is analysed is planned anew.
    for table in ["sync_queue", "channel_listings", "dispatch_leases"] {
        database.run(&format!("ALTER TABLE {table} SET (autovacuum_enabled = off)")).await;
    }
    let target = database.target(1, RateLimit::new(12, 1_000).unwrap()).await;
    // A plan belongs to its connection.
    let options = database.pool.connect_options().as_ref().clone();
    let one = PgPoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    let store = DispatchStore::new(one.clone(), Uuid::now_v7());
    assert!(lease(&store, LEASE).await.is_empty());
    database
        .run(
            "WITH made AS (
                 INSERT INTO channel_listings (listing_id, org_id, account_id, unit_id, target_id, state, generation,
                     linked_by, linked_at, version, updated_at, position)
                 SELECT gen_random_uuid(), 'org', 'villas', n::text, target_id, 'active', 1, 'ops', now(), 1, now(), 1
                 FROM channel_targets, generate_series(1, 20000) AS n
                 RETURNING listing_id, target_id, unit_id)
             INSERT INTO sync_queue (listing_id, org_id, account_id, target_id, sync_id, ordinal, tries, snapshot,
                 revision, needs, rank, due_at, requested_at, position)
             SELECT listing_id, 'org', 'villas', target_id, listing_id, 1, 0, '', 1, '{rates}',
                 now() - make_interval(secs => unit_id::int), now() - make_interval(secs => unit_id::int), now(), 1
             FROM made",
        )
        .await;
    database.due(target).await;
    let read = async || {
        sqlx::query("SELECT pg_stat_force_next_flush()").execute(&one).await.unwrap();
        let read = "SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE relname = 'sync_queue'";
        sqlx::query_scalar::<_, i64>(read).fetch_one(&one).await.unwrap()
    };
    let before = read().await;
    assert!(lease(&store, LEASE).await.len() >= 10);
    let read = read().await - before;
    assert!(read <= 100, "{read} entries of indexes were read");
    one.close().await;
    database.close().await;
}
