//! A database of its own for every test, dropped at the end, also when the test fails.

use sqlx::Executor;
use std::path::Path;
use std::str::FromStr;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, PgPool};
use uuid::Uuid;

/// Runs a test in a fresh, migrated database.
pub async fn in_database<F, Fut>(test: F)
where
    F: FnOnce(PgPool) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let url = std::env::var("DATABASE_URL").expect("DATABASE_URL names the Postgres to test on");
    let options = PgConnectOptions::from_str(&url).unwrap();
    let name = format!("test_{}", Uuid::new_v4().simple());
    let mut admin = options.connect().await.unwrap();
    let template = std::env::var("TEST_TEMPLATE").map(|name| format!(" TEMPLATE {name}")).unwrap_or_default();
    admin.execute(format!("CREATE DATABASE {name}{template}").as_str()).await.unwrap();
    let pool = PgPoolOptions::new().max_connections(5).connect_with(options.database(&name)).await.unwrap();
    let migrations = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations"));
    Migrator::new(migrations).await.unwrap().run(&pool).await.unwrap();
    let ended = tokio::spawn(test(pool.clone())).await;
    pool.close().await;
    admin.execute(format!("DROP DATABASE {name} WITH (FORCE)").as_str()).await.unwrap();
    if let Err(failure) = ended {
        std::panic::resume_unwind(failure.into_panic());
    }
}
