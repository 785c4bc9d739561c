//! A story, its journal and the projections that follow it.

use sqlx::Executor;
use std::sync::Arc;

use domain::ids::{ListingId, TargetId, UnitId};
use projections::{Runner, all};
use sqlx::PgPool;

use crate::journal::EventsTable;
use crate::story::Story;

pub struct Scene {
    pub pool: PgPool,
    pub story: Story,
    pub journal: Arc<EventsTable>,
    pub runner: Runner,
}

impl Scene {
    pub fn new(pool: PgPool) -> Self {
        let journal = Arc::new(EventsTable(pool.clone()));
        let runner = Runner::new(pool.clone(), journal.clone(), all());
        Self { pool, story: Story::new(), journal, runner }
    }

    /// Appends what the story decided, without applying it.
    pub async fn append(&mut self) {
        let drafts = self.story.take();
        self.journal.append(&drafts).await;
    }

    /// Appends what the story decided and applies it.
    pub async fn play(&mut self) {
        self.append().await;
        self.runner.catch_up().await.unwrap();
    }

    /// One field of one row as text, `None` for NULL and for no row.
    pub async fn field(&self, table: &str, key: &str, id: impl ToString, field: &str) -> Option<String> {
        sqlx::query_scalar::<_, Option<String>>(&format!("SELECT {field}::text FROM {table} WHERE {key}::text = $1"))
            .bind(id.to_string())
            .fetch_optional(&self.pool)
            .await
            .unwrap()
            .flatten()
    }

    /// Several fields of one row, joined by blanks, NULL as `-`; empty for no row.
    pub async fn fields(&self, table: &str, key: &str, id: impl ToString, fields: &[&str]) -> String {
        let parts: Vec<String> = fields.iter().map(|field| format!("COALESCE({field}::text, '-')")).collect();
        let fields = format!("concat_ws(' ', {})", parts.join(", "));
        self.field(table, key, id, &fields).await.unwrap_or_default()
    }

    pub async fn count(&self, table: &str) -> i64 {
        sqlx::query_scalar(&format!("SELECT count(*) FROM {table}")).fetch_one(&self.pool).await.unwrap()
    }

    /// Every row of every read model as JSON text, in one order.
    pub async fn rows(&self) -> Vec<String> {
        let mut rows = Vec::new();
        for table in tables() {
            let of_table: Vec<String> =
                sqlx::query_scalar(&format!("SELECT '{table} ' || to_jsonb(t)::text FROM {table} AS t ORDER BY 1"))
                    .fetch_all(&self.pool)
                    .await
                    .unwrap();
            rows.extend(of_table);
        }
        rows
    }

    /// Empties every read model and sets every checkpoint back.
    pub async fn forget(&self) {
        let tables = tables().join(", ");
        let sql = format!("TRUNCATE {tables}, projection_checkpoints, dispatch_wakes");
        self.pool.execute(sql.as_str()).await.unwrap();
    }
}

pub fn tables() -> Vec<&'static str> {
    all().iter().flat_map(|projection| projection.tables()).copied().collect()
}

pub fn listing_id(target: TargetId, unit: &UnitId) -> ListingId {
    ListingId::of(target, unit)
}
