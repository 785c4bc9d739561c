//! Unit snapshots, the newest revision of each unit, and the tally of what the intake did.

mod loader;

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::canonical::canonical_json;
use domain::hash::SnapshotHash;
use domain::ids::{AccountId, OrgId, UnitId};
use domain::unit::UnitChanged;
use sqlx::{Connection as _, PgPool};

pub use crate::grouped::NotLoaded;
pub use loader::{Found, SnapshotLoader};

/// A unit as a message showed it.
#[derive(Debug, Clone, PartialEq)]
pub struct UnitSnapshot {
    /// SHA-256 of the canonical JSON of `body`.
    pub hash: SnapshotHash,
    /// The tenant.
    pub org_id: OrgId,
    /// The account inside it.
    pub account_id: AccountId,
    /// The unit.
    pub unit_id: UnitId,
    /// Its revision.
    pub revision: u64,
    /// The whole message body as canonical JSON, unknown fields included.
    pub body: String,
}

impl UnitSnapshot {
    /// The snapshot of a unit.
    pub fn of(unit: &UnitChanged) -> Self {
        let body = canonical_json(&unit.raw);
        Self {
            hash: SnapshotHash::of_bytes(body.as_bytes()),
            org_id: unit.org_id.clone(),
            account_id: unit.account_id.clone(),
            unit_id: unit.unit_id.clone(),
            revision: unit.revision.get(),
            body,
        }
    }
}

/// A line of the intake's tally.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Tally {
    /// The tenant, `-` where the message named none.
    pub org_id: String,
    /// What became of the messages.
    pub outcome: String,
    /// How many.
    pub count: i64,
    /// When the last one came, UTC.
    pub last_at: DateTime<Utc>,
}

/// The text is made once for both.
const USUAL_BY_HASHES: &str = "
SELECT hash, org_id, account_id, unit_id, revision, octet_length(body), CASE WHEN octet_length(body) <= $2 THEN body END
FROM (
    SELECT hash, org_id, account_id, unit_id, revision, body::text AS body FROM unit_snapshots WHERE hash = ANY ($1) OFFSET 0
) AS found";

/// The units tables.
#[derive(Debug, Clone)]
pub struct UnitStore {
    pool: PgPool,
}

fn db_revision(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

impl UnitStore {
    /// The store over `pool`.
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// Keeps snapshots and moves each unit to its newest revision. One statement, idempotent, any order.
    ///
    /// The commit does not wait for the disk. Whoever tells others that a unit is kept commits something after it, such
    /// as the tally: the log is written in order.
    pub async fn keep<S: Borrow<UnitSnapshot>>(&self, snapshots: &[S]) -> Result<(), sqlx::Error> {
        // A fixed order, so that two intakes that keep the same units never wait for each other in a circle.
        let mut sorted: Vec<&UnitSnapshot> = snapshots.iter().map(Borrow::borrow).collect();
        sorted.sort_by_key(|s| (&s.org_id, &s.unit_id, s.revision));
        let hashes: Vec<Vec<u8>> = sorted.iter().map(|s| s.hash.as_bytes().to_vec()).collect();
        let orgs: Vec<String> = sorted.iter().map(|s| s.org_id.to_string()).collect();
        let accounts: Vec<String> = sorted.iter().map(|s| s.account_id.to_string()).collect();
        let units: Vec<String> = sorted.iter().map(|s| s.unit_id.to_string()).collect();
        let revisions: Vec<i64> = sorted.iter().map(|s| db_revision(s.revision)).collect();
        let bodies: Vec<&str> = sorted.iter().map(|s| s.body.as_str()).collect();
        let mut connection = self.pool.acquire().await?;
        let kept = sqlx::query!(
            r#"
            WITH setting AS MATERIALIZED (
                SELECT set_config('synchronous_commit', 'off', true)
            ), kept AS (
                INSERT INTO unit_snapshots (hash, org_id, account_id, unit_id, revision, body)
                SELECT hash, org_id, account_id, unit_id, revision, body::json
                FROM setting CROSS JOIN unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[])
                    AS u (hash, org_id, account_id, unit_id, revision, body)
                ON CONFLICT (hash) DO NOTHING
            )
            INSERT INTO units (org_id, unit_id, account_id, revision, hash)
            SELECT DISTINCT ON (org_id, unit_id) org_id, unit_id, account_id, revision, hash
            FROM unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::bigint[])
                AS u (hash, org_id, account_id, unit_id, revision)
            ORDER BY org_id, unit_id, revision DESC
            ON CONFLICT (org_id, unit_id) DO UPDATE
                SET account_id = excluded.account_id, revision = excluded.revision, hash = excluded.hash,
                    recorded_at = clock_timestamp()
                WHERE units.revision < excluded.revision
            "#,
            &hashes,
            &orgs,
            &accounts,
            &units,
            &revisions,
            &bodies as &[&str]
        )
        .execute(&mut *connection)
        .await;
        if kept.is_ok() {
            // It would keep room for the largest statement that it ever sent, and so would in time each connection of the pool.
            connection.shrink_buffers();
        }
        kept.map(|_| ())
    }

    /// The newest snapshot of a unit.
    pub async fn latest(&self, org: &OrgId, unit: &UnitId) -> Result<Option<UnitSnapshot>, sqlx::Error> {
        let row = sqlx::query!(
            r#"
            SELECT s.hash, s.account_id, s.revision, s.body::text AS "body!"
            FROM units u JOIN unit_snapshots s ON s.hash = u.hash WHERE u.org_id = $1 AND u.unit_id = $2
            "#,
            org.as_str(),
            unit.as_str()
        )
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| snapshot(row.hash, org.as_str(), &row.account_id, unit.as_str(), row.revision, row.body))
            .transpose()
    }

    /// The account that a unit belongs to, by its newest revision; `None` where it was never published.
    pub async fn account_of(&self, org: &OrgId, unit: &UnitId) -> Result<Option<AccountId>, sqlx::Error> {
        let account: Option<String> =
            sqlx::query_scalar("SELECT account_id FROM units WHERE org_id = $1 AND unit_id = $2")
                .bind(org.as_str())
                .bind(unit.as_str())
                .fetch_optional(&self.pool)
                .await?;
        let broken = |_| sqlx::Error::Protocol(format!("units: account_id of {org}/{unit} is malformed"));
        account.map(|account| account.parse().map_err(broken)).transpose()
    }

    /// Snapshots by their addresses; the missing ones are absent.
    pub async fn by_hashes(&self, hashes: &[SnapshotHash]) -> Result<Vec<UnitSnapshot>, sqlx::Error> {
        let wanted: Vec<Vec<u8>> = hashes.iter().map(|hash| hash.as_bytes().to_vec()).collect();
        let rows = sqlx::query!(
            r#"SELECT hash, org_id, account_id, unit_id, revision, body::text AS "body!"
               FROM unit_snapshots WHERE hash = ANY($1)"#,
            &wanted
        );
        rows.fetch_all(&self.pool)
            .await?
            .into_iter()
            .map(|row| snapshot(row.hash, &row.org_id, &row.account_id, &row.unit_id, row.revision, row.body))
            .collect()
    }

    /// The same, but of one with more than `most` bytes the size alone.
    pub(crate) async fn usual_by_hashes(
        &self,
        hashes: &[SnapshotHash],
        most: usize,
    ) -> Result<Vec<(SnapshotHash, Found)>, sqlx::Error> {
        type Row = (Vec<u8>, String, String, String, i64, i32, Option<String>);
        let wanted: Vec<Vec<u8>> = hashes.iter().map(|hash| hash.as_bytes().to_vec()).collect();
        let rows = sqlx::query_as(USUAL_BY_HASHES).bind(wanted).bind(i32::try_from(most).unwrap_or(i32::MAX));
        let rows: Vec<Row> = rows.fetch_all(&self.pool).await?;
        let found = rows.into_iter().map(|(hash, org, account, unit, revision, bytes, body)| {
            let large = body.is_none().then(|| Found::Large(usize::try_from(bytes).unwrap_or(usize::MAX)));
            let read = snapshot(hash, &org, &account, &unit, revision, body.unwrap_or_default())?;
            Ok((read.hash, large.unwrap_or_else(|| Found::Whole(Arc::new(read)))))
        });
        found.collect()
    }

    /// The units of an organisation, by name.
    pub async fn units_of(&self, org: &OrgId) -> Result<Vec<UnitId>, sqlx::Error> {
        let names = sqlx::query_scalar!("SELECT unit_id FROM units WHERE org_id = $1 ORDER BY unit_id", org.as_str())
            .fetch_all(&self.pool)
            .await?;
        Ok(names.into_iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// Adds to the tally: (org, outcome) and how many. Gives how many of the snapshots that were kept before it are not there, and counts
    /// nothing then: a server that had not got them took the place of the one that kept them, or that crashed before they were on disk.
    pub async fn count(
        &self,
        counts: &BTreeMap<(String, &'static str), i64>,
        kept: &[SnapshotHash],
    ) -> Result<i64, sqlx::Error> {
        let orgs: Vec<String> = counts.keys().map(|(org, _)| org.clone()).collect();
        let outcomes: Vec<String> = counts.keys().map(|(_, outcome)| (*outcome).to_owned()).collect();
        let numbers: Vec<i64> = counts.values().copied().collect();
        let hashes: Vec<Vec<u8>> = kept.iter().map(|hash| hash.as_bytes().to_vec()).collect();
        // One look into the index for each hash, whatever the planner thinks of many: a join may be planned as a scan.
        sqlx::query_scalar!(
            r#"
            WITH lost AS MATERIALIZED (
                SELECT count(*) AS snapshots FROM unnest($4::bytea[]) AS k (hash)
                WHERE (SELECT true FROM unit_snapshots s WHERE s.hash = k.hash) IS NULL
            ), counted AS (
                INSERT INTO intake_tally (org_id, outcome, count)
                SELECT t.org_id, t.outcome, t.count
                FROM lost CROSS JOIN unnest($1::text[], $2::text[], $3::bigint[]) AS t (org_id, outcome, count)
                WHERE lost.snapshots = 0
                ON CONFLICT (org_id, outcome) DO UPDATE
                    SET count = intake_tally.count + excluded.count, last_at = clock_timestamp()
            )
            SELECT snapshots AS "lost!" FROM lost
            "#,
            &orgs,
            &outcomes,
            &numbers,
            &hashes
        )
        .fetch_one(&self.pool)
        .await
    }

    /// The whole tally.
    pub async fn tally(&self) -> Result<Vec<Tally>, sqlx::Error> {
        sqlx::query_as!(Tally, "SELECT org_id, outcome, count, last_at FROM intake_tally ORDER BY org_id, outcome")
            .fetch_all(&self.pool)
            .await
    }
}

fn snapshot(
    hash: Vec<u8>,
    org: &str,
    account: &str,
    unit: &str,
    revision: i64,
    body: String,
) -> Result<UnitSnapshot, sqlx::Error> {
    let broken = |what: &str| sqlx::Error::Protocol(format!("unit_snapshots: {what} of {org}/{unit} is malformed"));
    Ok(UnitSnapshot {
        hash: hex::encode(hash).parse().map_err(|_| broken("hash"))?,
        org_id: org.parse().map_err(|_| broken("org_id"))?,
        account_id: account.parse().map_err(|_| broken("account_id"))?,
        unit_id: unit.parse().map_err(|_| broken("unit_id"))?,
        revision: u64::try_from(revision).map_err(|_| broken("revision"))?,
        body,
    })
}
