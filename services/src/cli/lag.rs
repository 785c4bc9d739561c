//! A remark where what is shown may not be all, as the read models lag.

use domain::counted::counted;
use sqlx::PgPool;

use super::output::note;

const LAG: &str = "
SELECT count(*) FROM events
WHERE position > coalesce((SELECT position FROM projection_checkpoints WHERE name = $1), 0)
    AND recorded_at < now() - interval '2 seconds'";

/// Says how far a read model lags; nothing where that is a moment.
pub(super) async fn note_lag(pool: &PgPool, read_model: &str) -> anyhow::Result<()> {
    let behind: i64 = sqlx::query_scalar(LAG).bind(read_model).fetch_one(pool).await?;
    if behind > 0 {
        let behind = counted(behind, "event");
        note(&format!("what is shown is {behind} behind the journal: `distribution doctor` says why"));
    }
    Ok(())
}
