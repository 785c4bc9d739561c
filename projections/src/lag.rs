//! How far each projection is behind the journal.

use chrono::{DateTime, Utc};
use domain::recorded::Position;

use crate::error::Error;
use crate::runner::Runner;

/// How far a projection is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lag {
    /// The projection.
    pub name: String,
    /// Position of the last event that it applied; 0 before the first.
    pub position: Position,
    /// Events of the journal that it has not applied.
    pub behind_events: i64,
    /// When it last applied anything, UTC; `None` before the first.
    pub updated_at: Option<DateTime<Utc>>,
}

const LAG: &str = "
SELECT names.name, COALESCE(checkpoint.position, 0), checkpoint.updated_at,
    (SELECT count(*) FROM public.events WHERE events.position > COALESCE(checkpoint.position, 0))
FROM UNNEST($1::text[]) WITH ORDINALITY AS names (name, place)
LEFT JOIN public.projection_checkpoints AS checkpoint ON checkpoint.name = names.name
ORDER BY names.place";

impl Runner {
    /// How far each projection is, in the order in which they are applied.
    pub async fn lag(&self) -> Result<Vec<Lag>, Error> {
        let rows: Vec<(String, i64, Option<DateTime<Utc>>, i64)> =
            sqlx::query_as(LAG).bind(self.names()).fetch_all(&self.pool).await?;
        let lag = |(name, position, updated_at, behind_events)| Lag {
            name,
            position: Position(position),
            behind_events,
            updated_at,
        };
        Ok(rows.into_iter().map(lag).collect())
    }
}
