//! Counts the rows in which a live read model and a rebuilt one differ.

use sqlx::PgConnection;

use super::mirror::Mirror;
use crate::error::Error;

/// How a live table differs from the one that the journal gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDifference {
    /// The table.
    pub table: String,
    /// Rows that the journal gives and the live table lacks.
    pub missing: i64,
    /// Rows that the live table has and the journal does not give.
    pub unexpected: i64,
}

pub(super) async fn compare(connection: &mut PgConnection, mirror: &Mirror) -> Result<Vec<TableDifference>, Error> {
    let mut differences = Vec::new();
    for table in mirror.tables() {
        let (live, rebuilt) = (format!("public.{table}"), format!("{}.{table}", mirror.schema()));
        let (missing, unexpected) = sqlx::query_as::<_, (i64, i64)>(&format!(
            "SELECT (SELECT count(*) FROM (TABLE {rebuilt} EXCEPT ALL TABLE {live}) AS missing),
                    (SELECT count(*) FROM (TABLE {live} EXCEPT ALL TABLE {rebuilt}) AS unexpected)"
        ))
        .fetch_one(&mut *connection)
        .await?;
        differences.push(TableDifference { table: (*table).to_owned(), missing, unexpected });
    }
    Ok(differences)
}
