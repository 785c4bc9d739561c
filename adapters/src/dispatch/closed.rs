//! Targets that may not be called now, for calls under way that wait for a slot there: each is told why it gets none.

use domain::ids::TargetId;
use domain::port::Stopped;
use sqlx::PgConnection;
use uuid::Uuid;

use super::CALLABLE;

/// Those among these, each with why: what a person did goes before what the channel did.
pub(super) async fn among(
    connection: &mut PgConnection,
    targets: &[Uuid],
) -> Result<Vec<(TargetId, Stopped)>, sqlx::Error> {
    let rows: Vec<(Uuid, Option<String>, Option<String>)> = sqlx::query_as(&format!(
        "SELECT w.target_id, t.lifecycle, t.health
         FROM unnest($1::uuid[]) AS w (target_id) LEFT JOIN channel_targets t ON t.target_id = w.target_id
         WHERE ({CALLABLE}) IS NOT TRUE"
    ))
    .bind(targets)
    .fetch_all(connection)
    .await?;
    let told = |(target, lifecycle, health): (Uuid, Option<String>, Option<String>)| {
        (TargetId(target), why(lifecycle.as_deref(), health.as_deref()))
    };
    Ok(rows.into_iter().map(told).collect())
}

/// One that has no row is none any more.
fn why(lifecycle: Option<&str>, health: Option<&str>) -> Stopped {
    match (lifecycle, health) {
        (Some("active"), Some("unauthorised")) => Stopped::CredentialsRefused,
        (Some("active"), _) => Stopped::CircuitOpen,
        (Some("paused"), _) => Stopped::Paused,
        _ => Stopped::Deleted,
    }
}
