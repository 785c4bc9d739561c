//! The pools of a process.

use std::collections::BTreeMap;

use sqlx::PgPool;

/// The connections to Postgres of a process.
#[derive(Debug, Clone)]
pub struct Pools {
    /// Those of its roles.
    pub work: PgPool,
    /// Those of the API, where it runs.
    pub api: Option<PgPool>,
}

impl Pools {
    /// How many connections are used, and idle, by pool.
    pub(super) fn connections(&self) -> BTreeMap<&'static str, (u64, u64)> {
        let pools = [("work", Some(&self.work)), ("api", self.api.as_ref())];
        pools.into_iter().filter_map(|(name, pool)| Some((name, used_and_idle(pool?)))).collect()
    }
}

fn used_and_idle(pool: &PgPool) -> (u64, u64) {
    let idle = u64::try_from(pool.num_idle()).unwrap_or_default();
    (u64::from(pool.size()).saturating_sub(idle), idle)
}
