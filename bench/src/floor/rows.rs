//! The rows of syncs, written again into tables of the same shape with the same indexes: inside Postgres, in statements
//! over whole batches, from copies that lie there in the right order. Nothing is parsed, looked for or locked but what the
//! rows themselves ask for.

use std::time::{Duration, Instant};

use sqlx::PgConnection;

use crate::figures::float;
use crate::world::World;

/// Tables that get rows, and tables whose rows change.
const TABLES: [&str; 9] = [
    "events",
    "unit_snapshots",
    "units",
    "sync_queue",
    "channel_listings",
    "outbound_audit",
    "outbound_attempts",
    "dispatch_leases",
    "rate_slots",
];

/// Tables that have their rows before.
const KNOWN: [&str; 4] = ["units", "channel_listings", "dispatch_leases", "rate_slots"];

/// Copies of what syncs left behind. `n` counts the syncs from 1, in the order in which they were asked for.
const COPIES: [(&str, &str); 9] = [
    ("asked", "SELECT m.n, e.* FROM floor.made m JOIN events e ON e.position = m.asked"),
    ("ended", "SELECT m.n, e.* FROM floor.made m JOIN events e ON e.position = m.ended"),
    ("snapshots", "SELECT m.n, s.* FROM floor.made m JOIN unit_snapshots s ON s.hash = m.snapshot"),
    (
        "queued",
        "SELECT m.n, a.listing_id, a.org_id, a.account_id, a.target_id, a.sync_id, a.ordinal, 0 AS tries, a.snapshot,
             a.revision, a.needs, a.requested_at AS rank, a.requested_at AS due_at, a.requested_at,
             a.behind_since, a.position
         FROM floor.made m JOIN outbound_audit a USING (sync_id)",
    ),
    ("listings", "SELECT m.n, l.listing_id FROM floor.made m JOIN channel_listings l USING (listing_id)"),
    ("jobs", "SELECT m.n, a.* FROM floor.made m JOIN outbound_audit a USING (sync_id)"),
    ("calls", "SELECT m.n, c.* FROM floor.made m JOIN outbound_attempts c USING (sync_id)"),
    ("leases", "SELECT m.n, l.listing_id FROM floor.made m JOIN dispatch_leases l USING (listing_id)"),
    (
        "slots",
        "SELECT m.n, s.scope, s.slot FROM floor.made m JOIN (
             SELECT scope, slot, row_number() OVER (ORDER BY scope, slot) AS nth, count(*) OVER () AS slots
             FROM rate_slots) s ON s.nth = m.n % s.slots + 1",
    ),
];

enum Step {
    /// Rows of a table, from a copy.
    Insert(&'static str, &'static str),
    /// Anything else, over the syncs from `$1` to `$2`.
    Change(&'static str),
}
use Step::{Change, Insert};

/// Whose rows they are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// The intake, the journal and the dispatchers.
    Others,
    /// The projector.
    Projector,
}
use Owner::{Others, Projector};

const LISTING: Step = Change(
    "UPDATE floor.channel_listings l SET version = l.version + 1, position = l.position + 1, updated_at = clock_timestamp()
     FROM floor.from_listings c WHERE c.n BETWEEN $1 AND $2 AND l.listing_id = c.listing_id",
);
const LEASE: Step = Change(
    "UPDATE floor.dispatch_leases l SET lease_until = clock_timestamp(), done = NOT done
     FROM floor.from_leases c WHERE c.n BETWEEN $1 AND $2 AND l.listing_id = c.listing_id",
);
const SLOT: Step = Change(
    "UPDATE floor.rate_slots l SET free_at = clock_timestamp(), hold_id = gen_random_uuid()
     FROM floor.from_slots c WHERE c.n BETWEEN $1 AND $2 AND l.scope = c.scope AND l.slot = c.slot",
);

/// What a request leaves behind at the intake, in the read models and in the tables of the dispatchers.
const ASKED: [(Owner, Step); 8] = [
    (Others, Insert("unit_snapshots", "snapshots")),
    (
        Others,
        Change(
            "UPDATE floor.units u SET revision = u.revision + 1, hash = c.hash, recorded_at = clock_timestamp()
             FROM floor.from_snapshots c WHERE c.n BETWEEN $1 AND $2 AND u.org_id = c.org_id AND u.unit_id = c.unit_id",
        ),
    ),
    (Others, Insert("events", "asked")),
    (Projector, Insert("sync_queue", "queued")),
    (Projector, LISTING),
    (Projector, Insert("outbound_audit", "jobs")),
    (Others, LEASE),
    (Others, SLOT),
];

/// The same of an outcome.
const ENDED: [(Owner, Step); 7] = [
    (Others, Insert("events", "ended")),
    (
        Projector,
        Change(
            "DELETE FROM floor.sync_queue q USING floor.from_queued c
             WHERE c.n BETWEEN $1 AND $2 AND q.listing_id = c.listing_id",
        ),
    ),
    (Projector, LISTING),
    (
        Projector,
        Change(
            "UPDATE floor.outbound_audit a SET finished_at = clock_timestamp(), updated_position = a.updated_position + 1
             FROM floor.from_jobs c WHERE c.n BETWEEN $1 AND $2 AND a.sync_id = c.sync_id",
        ),
    ),
    (Projector, Insert("outbound_attempts", "calls")),
    (Others, SLOT),
    (Others, LEASE),
];

/// As the product's own statements are planned: keys are looked up.
const TUNE: &str = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_hashjoin = off;
    SET enable_mergejoin = off; SET jit = off";

/// Rows that are ready to be written.
pub struct Rows {
    syncs: i64,
    batch: i64,
    asked: Vec<(Owner, String)>,
    ended: Vec<(Owner, String)>,
}

impl Rows {
    /// Copies what the accepted syncs after a position left behind.
    pub async fn of(world: &World, since: i64, batch: usize) -> anyhow::Result<Self> {
        let mut connection = world.pool.acquire().await?;
        sqlx::raw_sql("DROP SCHEMA IF EXISTS floor CASCADE; CREATE SCHEMA floor").execute(&mut *connection).await?;
        sqlx::query(
            "CREATE TABLE floor.made AS SELECT row_number() OVER (ORDER BY position) AS n, sync_id, listing_id, snapshot,
                 position AS asked, updated_position AS ended
             FROM outbound_audit WHERE position > $1::bigint AND outcome = 'accepted'",
        )
        .bind(since)
        .execute(&mut *connection)
        .await?;
        for table in TABLES {
            let sql = format!("CREATE TABLE floor.{table} (LIKE public.{table} INCLUDING ALL)");
            sqlx::raw_sql(&sql).execute(&mut *connection).await?;
        }
        for table in KNOWN {
            let sql = format!("INSERT INTO floor.{table} SELECT * FROM public.{table}");
            sqlx::raw_sql(&sql).execute(&mut *connection).await?;
        }
        for (name, select) in COPIES {
            let sql = format!(
                "CREATE TABLE floor.from_{name} AS {select} ORDER BY 1; CREATE INDEX ON floor.from_{name} (n);"
            );
            sqlx::raw_sql(&sql).execute(&mut *connection).await?;
        }
        let mut statements = Vec::new();
        for (owner, step) in ASKED.iter().chain(&ENDED) {
            statements.push((*owner, step.statement(&mut connection).await?));
        }
        let ended = statements.split_off(ASKED.len());
        sqlx::raw_sql("VACUUM ANALYZE").execute(&mut *connection).await?;
        let syncs = sqlx::query_scalar("SELECT count(*) FROM floor.made").fetch_one(&mut *connection).await?;
        Ok(Self { syncs, batch: i64::try_from(batch.max(1))?, asked: statements, ended })
    }

    /// Writes the rows of the read models alone, by so many connections that have syncs of their own, and gives the events a second of
    /// which they do it.
    pub async fn write_read_models(&self, world: &World, connections: usize) -> anyhow::Result<f64> {
        let began = Instant::now();
        let share = async |nth: usize| {
            let mut connection = world.pool.acquire().await?.detach();
            sqlx::raw_sql(TUNE).execute(&mut connection).await?;
            for first in (1..=self.syncs).step_by(usize::try_from(self.batch)?).skip(nth).step_by(connections) {
                for statements in [&self.asked, &self.ended] {
                    let mut transaction = sqlx::Connection::begin(&mut connection).await?;
                    for (_, sql) in statements.iter().filter(|(owner, _)| *owner == Projector) {
                        sqlx::query(sql).bind(first).bind(first + self.batch - 1).execute(&mut *transaction).await?;
                    }
                    transaction.commit().await?;
                }
            }
            sqlx::Connection::close(connection).await?;
            anyhow::Ok(())
        };
        futures::future::try_join_all((0..connections).map(share)).await?;
        Ok(2.0 * float(usize::try_from(self.syncs)?) / began.elapsed().as_secs_f64())
    }

    /// Writes them, a batch of requests and its outcomes after the other, each in a transaction. Gives the events a second of
    /// which one connection writes the read models and does nothing else.
    pub async fn write(self, world: &World) -> anyhow::Result<f64> {
        let mut connection = world.pool.acquire().await?.detach();
        sqlx::raw_sql(TUNE).execute(&mut connection).await?;
        let mut first = 1;
        let mut of_read_models = Duration::ZERO;
        while first <= self.syncs {
            for statements in [&self.asked, &self.ended] {
                let mut transaction = sqlx::Connection::begin(&mut connection).await?;
                for (owner, sql) in statements {
                    let began = Instant::now();
                    sqlx::query(sql).bind(first).bind(first + self.batch - 1).execute(&mut *transaction).await?;
                    if *owner == Projector {
                        of_read_models += began.elapsed();
                    }
                }
                transaction.commit().await?;
            }
            first += self.batch;
        }
        Ok(2.0 * float(usize::try_from(self.syncs)?) / of_read_models.as_secs_f64())
    }
}

impl Step {
    async fn statement(&self, connection: &mut PgConnection) -> anyhow::Result<String> {
        let (table, copy) = match self {
            Change(sql) => return Ok((*sql).to_owned()),
            Insert(table, copy) => (table, copy),
        };
        let columns: String = sqlx::query_scalar(
            "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
             WHERE attrelid = ('floor.' || $1)::regclass AND attnum > 0 AND NOT attisdropped",
        )
        .bind(table)
        .fetch_one(connection)
        .await?;
        Ok(format!(
            "INSERT INTO floor.{table} ({columns}) OVERRIDING SYSTEM VALUE
             SELECT {columns} FROM floor.from_{copy} WHERE n BETWEEN $1 AND $2"
        ))
    }
}
