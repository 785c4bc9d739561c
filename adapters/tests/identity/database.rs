//! A database of one's own, and people for it.

use std::collections::BTreeSet;
use std::str::FromStr;

use adapters::identity::Grant;
use adapters::postgres::MIGRATOR;
use domain::access::{AccessRole, Accounts};
use domain::ids::{AccountId, OrgId};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, PgPool};
use uuid::Uuid;

pub struct Database {
    pub pool: PgPool,
    name: String,
    server: PgConnectOptions,
}

impl Database {
    pub async fn new() -> Self {
        let url = std::env::var("DATABASE_URL").expect("DATABASE_URL is set by `./justw test`");
        let server = PgConnectOptions::from_str(&url).unwrap();
        let name = format!("identity_{}", Uuid::now_v7().simple());
        let mut admin = server.clone().connect().await.unwrap();
        let template = std::env::var("TEST_TEMPLATE").map(|name| format!(" TEMPLATE {name}")).unwrap_or_default();
        sqlx::query(&format!("CREATE DATABASE {name}{template}")).execute(&mut admin).await.unwrap();
        let options = server.clone().database(&name);
        let pool = PgPoolOptions::new().max_connections(4).connect_with(options).await.unwrap();
        MIGRATOR.run(&pool).await.unwrap();
        Self { pool, name, server }
    }

    pub async fn run(&self, sql: &str) -> u64 {
        sqlx::query(sql).execute(&self.pool).await.unwrap().rows_affected()
    }

    /// Everything that a table holds, as text.
    pub async fn dump(&self, table: &str) -> String {
        let rows = format!("SELECT coalesce(string_agg(t::text, E'\\n'), '') FROM {table} t");
        sqlx::query_scalar(&rows).fetch_one(&self.pool).await.unwrap()
    }

    pub async fn close(self) {
        self.pool.close().await;
        let mut admin = self.server.connect().await.unwrap();
        sqlx::query(&format!("DROP DATABASE {} WITH (FORCE)", self.name)).execute(&mut admin).await.unwrap();
    }
}

/// Somebody of `sunstay` who may publish for `bali`.
pub fn somebody(subject: &str) -> Grant {
    Grant {
        subject: subject.to_owned(),
        org_id: OrgId::new("sunstay").unwrap(),
        accounts: Accounts::Only(BTreeSet::from([AccountId::new("bali").unwrap()])),
        roles: BTreeSet::from([AccessRole::ChannelPublisher, AccessRole::Viewer]),
    }
}
