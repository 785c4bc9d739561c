//! Listings by the hundred thousand, put into the journal by SQL: events as the service writes them, only without the
//! commands. The read models are made from them by the projections themselves.

use std::ops::Range;
use std::sync::Arc;

use adapters::event_store::PgEventLog;
use adapters::units::{UnitSnapshot, UnitStore};
use domain::channel::ChannelKind;
use domain::hash::SnapshotHash;
use domain::ids::{ListingId, TargetId, UnitId};
use domain::listing::ListingEvent;
use domain::mapping;
use domain::unit::UnitChanged;
use projections::Runner;

use crate::units::{self, ACCOUNT, Messages, ORG};
use crate::world::World;

mod events;

use events::Sample;
pub use events::metadata_of;

/// Rows of one statement that names the listings.
const CHUNK: usize = 50_000;

const LISTINGS: &str = "CREATE UNLOGGED TABLE IF NOT EXISTS seeded (
    n bigint PRIMARY KEY, listing_id uuid NOT NULL, target_id uuid NOT NULL, unit_id text NOT NULL)";

/// The same event for each listing: `$5` and `$6` are payload and metadata of a sample whose ids are replaced.
const APPEND: &str = "
INSERT INTO events (event_id, org_id, account_id, aggregate_type, aggregate_id, sequence, event_type, event_version,
    payload, metadata, recorded_at)
SELECT gen_random_uuid(), $1, $2, 'ChannelListing', s.listing_id::text, $3, $4, '1.0',
    replace(replace(replace(replace(replace(replace(replace($5, $9, s.listing_id::text), $10, s.target_id::text),
        $11, s.unit_id), $12, md5(s.listing_id::text || '/' || $8)::uuid::text),
        $13, gen_random_uuid()::text), $14, encode(sha256(convert_to(s.listing_id::text || '/' || $8, 'UTF8')), 'hex')),
        $15, (20000000 + s.n)::text)::json,
    replace(replace(replace($6, $10, s.target_id::text), $11, s.unit_id), $13, gen_random_uuid()::text)::json,
    clock_timestamp() - make_interval(days => $7)
FROM seeded s WHERE s.n >= $16 AND s.n < $17 ORDER BY s.n";

/// Some listings that all stand at the same event.
pub struct Seed<'a> {
    world: &'a World,
    listings: Range<usize>,
    /// How many days ago it happens.
    age_days: i32,
    sample: Sample,
    sequence: i64,
    ordinal: u64,
}

impl<'a> Seed<'a> {
    /// Links these units (by number) to the targets in turn. Their listings are at the channel already.
    pub async fn link(
        world: &'a World,
        targets: &[TargetId],
        listings: Range<usize>,
        age_days: i32,
    ) -> anyhow::Result<Self> {
        sqlx::raw_sql(LISTINGS).execute(&world.pool).await?;
        let all: Vec<usize> = listings.clone().collect();
        for chunk in all.chunks(CHUNK) {
            name(world, targets, chunk).await?;
        }
        let sample = Sample::new(snapshot(world).await?);
        let mut seed = Self { world, listings, age_days, sample, sequence: 0, ordinal: 0 };
        seed.append(&seed.sample.linked()?).await?;
        Ok(seed)
    }

    /// A sync is asked for on each listing.
    pub async fn request(&mut self) -> anyhow::Result<()> {
        self.ordinal += 1;
        self.append(&self.sample.requested(self.ordinal)).await
    }

    /// The channel takes the sync of each listing.
    pub async fn accept(&mut self) -> anyhow::Result<()> {
        self.append(&self.sample.accepted(self.ordinal)).await
    }

    async fn append(&mut self, event: &ListingEvent) -> anyhow::Result<()> {
        self.sequence += 1;
        let metadata = serde_json::to_string(&self.sample.metadata()?.to_map())?;
        let mut append = sqlx::query(APPEND)
            .bind(ORG)
            .bind(ACCOUNT)
            .bind(self.sequence)
            .bind(event.type_name())
            .bind(serde_json::to_string(event)?)
            .bind(metadata)
            .bind(self.age_days)
            .bind(self.ordinal.to_string());
        for placeholder in self.sample.placeholders() {
            append = append.bind(placeholder);
        }
        let (from, to) = (i64::try_from(self.listings.start)?, i64::try_from(self.listings.end)?);
        append.bind(from).bind(to).execute(&self.world.pool).await?;
        Ok(())
    }
}

async fn name(world: &World, targets: &[TargetId], chunk: &[usize]) -> anyhow::Result<()> {
    let (mut numbers, mut listings, mut on, mut units) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for index in chunk {
        let target = targets[index % targets.len()];
        let unit = UnitId::new(units::name(*index))?;
        numbers.push(i64::try_from(*index)?);
        listings.push(ListingId::of(target, &unit).0);
        on.push(target.0);
        units.push(unit.to_string());
    }
    let insert = "INSERT INTO seeded SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::text[])";
    sqlx::query(insert).bind(numbers).bind(listings).bind(on).bind(units).execute(&world.pool).await?;
    Ok(())
}

/// The one snapshot that all of them refer to, and the hashes of its sections.
async fn snapshot(world: &World) -> anyhow::Result<(SnapshotHash, domain::channel::SectionHashes)> {
    let unit = UnitChanged::from_value(Messages::new()?.unit(0, 1))?;
    let hashes = mapping::map(ChannelKind::Hostaway, &unit, &events::LISTING).hashes();
    let kept = UnitSnapshot::of(&unit);
    let hash = kept.hash;
    UnitStore::new(world.pool.clone()).keep(&[kept]).await?;
    Ok((hash, hashes))
}

/// All projections over the journal of this world.
pub fn runner(world: &World) -> Runner {
    Runner::new(world.pool.clone(), Arc::new(PgEventLog::new(world.pool.clone())), projections::all())
}

/// Makes the read models of what was seeded, and lets Postgres know how large everything is.
pub async fn project(world: &World) -> anyhow::Result<()> {
    runner(world).catch_up().await?;
    sqlx::raw_sql("VACUUM ANALYZE").execute(&world.pool).await?;
    Ok(())
}
