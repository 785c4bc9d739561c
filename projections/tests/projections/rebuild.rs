//! A rebuilt read model equals the live one, row for row and name for name.

use std::time::Duration;

use projections::Error;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use sqlx::Executor;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};

use crate::database::in_database;
use crate::random_history::{steps, tell};
use crate::scene::{Scene, tables};

async fn random_scene(pool: PgPool) -> Scene {
    let mut scene = Scene::new(pool);
    let history = steps(1_500).new_tree(&mut TestRunner::deterministic()).unwrap().current();
    tell(&mut scene.story, &history);
    scene.play().await;
    scene
}

/// Everything about the tables that a later migration may name or rely on.
async fn shape(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar(
        "WITH t AS (SELECT * FROM pg_class
                    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname = ANY($1))
         SELECT concat_ws(' ', relname, reloptions::text, relrowsecurity, obj_description(oid, 'pg_class')) FROM t
         UNION ALL SELECT concat_ws(' ', relname, conname, pg_get_constraintdef(c.oid))
             FROM t JOIN pg_constraint c ON conrelid = t.oid
         UNION ALL SELECT concat_ws(' ', relname, pg_get_indexdef(indexrelid)) FROM t JOIN pg_index ON indrelid = t.oid
         UNION ALL SELECT concat_ws(' ', relname, attnum, attname, atttypid::regtype, attnotnull,
                 col_description(t.oid, attnum), pg_get_expr(adbin, adrelid))
             FROM t JOIN pg_attribute ON attrelid = t.oid AND attnum > 0
             LEFT JOIN pg_attrdef ON adrelid = t.oid AND adnum = attnum
         UNION ALL SELECT concat_ws(' ', tablename, policyname, roles::text, cmd, qual) FROM pg_policies
         UNION ALL SELECT concat_ws(' ', table_name, grantee, privilege_type) FROM information_schema.table_privileges
             WHERE table_schema = 'public'
         ORDER BY 1",
    )
    .bind(tables())
    .fetch_all(pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn a_rebuilt_read_model_equals_the_live_one() {
    in_database(|pool| async move {
        let scene = random_scene(pool).await;
        // A policy and a grant, to see that they outlive the swap.
        scene
            .pool
            .execute(
                "ALTER TABLE sync_queue ENABLE ROW LEVEL SECURITY;
             CREATE POLICY of_org ON sync_queue FOR SELECT TO PUBLIC USING (org_id = current_setting('app.org'));
             GRANT SELECT ON sync_queue TO PUBLIC",
            )
            .await
            .unwrap();
        let (rows, shape_before) = (scene.rows().await, shape(&scene.pool).await);
        let wakes =
            scene.field("dispatch_wakes", "true", true, "count(*) || ' ' || sum(extract(epoch FROM wake_at))").await;
        let journal = scene.journal.all().await;
        for projection in projections::all() {
            let (name, types) = (projection.name(), projection.reads());
            let read = journal.iter().filter(|event| types.is_none_or(|of| of.contains(&event.event.type_name())));
            let read = (read.count() as u64, journal.last().unwrap().position);
            for difference in scene.runner.verify(name).await.unwrap() {
                assert_eq!((difference.missing, difference.unexpected), (0, 0), "{}", difference.table);
            }
            // Twice: the second one starts from tables that the first one made.
            for _ in 0..2 {
                let rebuilt = scene.runner.rebuild(name).await.unwrap();
                assert_eq!((rebuilt.events, rebuilt.position), read, "{name}");
            }
        }
        assert_eq!(scene.rows().await, rows);
        assert_eq!(shape(&scene.pool).await, shape_before);
        let wakes_after =
            scene.field("dispatch_wakes", "true", true, "count(*) || ' ' || sum(extract(epoch FROM wake_at))").await;
        assert_eq!(wakes_after, wakes, "a rebuild wakes nobody");
        assert_eq!(scene.count("pg_namespace WHERE nspname LIKE 'rebuild%'").await, 0);
    })
    .await;
}

#[tokio::test]
async fn the_live_one_goes_on_after_a_swap() {
    in_database(|pool| async move {
        let mut scene = random_scene(pool).await;
        for table in ["outbound_audit", "sync_queue"] {
            scene.runner.rebuild(table).await.unwrap();
        }
        let further = steps(500).new_tree(&mut TestRunner::deterministic()).unwrap().current();
        tell(&mut scene.story, &further);
        scene.play().await;
        let rows = scene.rows().await;
        scene.forget().await;
        scene.runner.catch_up().await.unwrap();
        assert_eq!(scene.rows().await, rows);
    })
    .await;
}

#[tokio::test]
async fn verify_counts_the_rows_that_differ_and_a_rebuild_mends_them() {
    in_database(|pool| async move {
        let scene = random_scene(pool).await;
        let rows = scene.rows().await;
        scene.pool.execute("DELETE FROM outbound_attempts WHERE request_id = (SELECT min(request_id::text)::uuid FROM outbound_attempts);
             UPDATE outbound_audit SET detail = 'forged' WHERE sync_id = (SELECT min(sync_id::text)::uuid FROM outbound_audit)").await.unwrap();
        let found = scene.runner.verify("outbound_audit").await.unwrap();
        let found: Vec<_> = found.iter().map(|d| (d.table.as_str(), d.missing, d.unexpected)).collect();
        assert_eq!(found, [("outbound_audit", 1, 1), ("outbound_attempts", 1, 0), ("sync_activity", 0, 0)]);
        scene.runner.rebuild("outbound_audit").await.unwrap();
        assert_eq!(scene.rows().await, rows);
    })
    .await;
}

#[tokio::test]
async fn a_name_that_is_none_and_a_rebuild_that_runs_already_are_refused() {
    in_database(|pool| async move {
        let scene = Scene::new(pool);
        let unknown = scene.runner.rebuild("audit").await.unwrap_err();
        assert!(matches!(unknown, Error::UnknownProjection { .. }));
        assert!(unknown.to_string().contains("outbound_audit, target_health"), "{unknown}");

        let mut other = scene.pool.acquire().await.unwrap();
        sqlx::query("SELECT pg_advisory_lock(hashtextextended('projections.rebuild/sync_queue', 0))")
            .execute(&mut *other)
            .await
            .unwrap();
        let running = scene.runner.rebuild("sync_queue").await.unwrap_err();
        assert!(matches!(running, Error::RebuildRunning(_)), "{running}");
        scene.runner.rebuild("target_health").await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn what_a_crashed_rebuild_left_is_dropped() {
    in_database(|pool| async move {
        let scene = random_scene(pool).await;
        let rows = scene.rows().await;
        scene
            .pool
            .execute("CREATE SCHEMA rebuild_sync_queue; CREATE TABLE rebuild_sync_queue.sync_queue (half int)")
            .await
            .unwrap();
        scene.runner.rebuild("sync_queue").await.unwrap();
        assert_eq!(scene.rows().await, rows);
    })
    .await;
}

/// Returns when a session of this database waits for a lock of this kind.
async fn somebody_waits_for(pool: &PgPool, kind: &str) {
    let waits = "SELECT EXISTS (SELECT FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
        WHERE a.datname = current_database() AND NOT l.granted AND l.locktype = $1)";
    for _ in 0..3_000 {
        if sqlx::query_scalar(waits).bind(kind).fetch_one(pool).await.unwrap() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("nobody waits for a lock of the kind {kind}");
}

async fn run(connection: &mut PgConnection, sql: &str) {
    connection.execute(sql).await.unwrap();
}

const CHECK: &str = "outbound_audit_class_known";

async fn check(scene: &Scene) -> String {
    scene.field("pg_constraint", "conname", CHECK, "pg_get_constraintdef(oid)").await.unwrap()
}

/// The rebuild, which has made its copies, waits for the projector, and then for a migration that has changed its table and of which
/// nobody is told before it ends.
async fn overtake(pool: &PgPool, projector: Transaction<'static, Postgres>) {
    somebody_waits_for(pool, "transactionid").await;
    let mut migration = pool.begin().await.unwrap();
    let change = format!(
        "ALTER TABLE outbound_audit DROP CONSTRAINT {CHECK};
         ALTER TABLE outbound_audit ADD CONSTRAINT {CHECK} CHECK (class <> 'unheard-of') NOT VALID;
         INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (9999, 'a newer class', true, '\\x00', 0)"
    );
    run(&mut migration, &change).await;
    projector.rollback().await.unwrap();
    somebody_waits_for(pool, "relation").await;
    migration.commit().await.unwrap();
}

/// Else the new tables would have the check of before, and the first row of a new class would stop the projector.
#[tokio::test]
async fn a_rebuild_that_a_migration_has_overtaken_is_refused_and_nothing_is_lost() {
    in_database(|pool| async move {
        let scene = random_scene(pool).await;
        let rows = scene.rows().await;
        let mut projector = scene.pool.begin().await.unwrap();
        run(&mut projector, "SELECT FROM projection_checkpoints WHERE name = 'outbound_audit' FOR UPDATE").await;
        let (rebuilt, ()) = futures::join!(scene.runner.rebuild("outbound_audit"), overtake(&scene.pool, projector));
        let refused = rebuilt.unwrap_err();
        assert!(matches!(refused, Error::MigratedMeanwhile { now: 9999, .. }), "{refused}");
        assert!(refused.to_string().contains("rebuild it again"), "{refused}");
        assert_eq!(scene.rows().await, rows);
        assert_eq!(check(&scene).await, "CHECK ((class <> 'unheard-of'::text)) NOT VALID");
        assert_eq!(scene.count("pg_namespace WHERE nspname LIKE 'rebuild%'").await, 0);

        // Tables that were empty when they got a check need no further look.
        scene.runner.rebuild("outbound_audit").await.unwrap();
        assert_eq!(scene.rows().await, rows);
        assert_eq!(check(&scene).await, "CHECK ((class <> 'unheard-of'::text))");
        let validate = format!("ALTER TABLE outbound_audit VALIDATE CONSTRAINT {CHECK}");
        scene.pool.execute(validate.as_str()).await.unwrap();
    })
    .await;
}
