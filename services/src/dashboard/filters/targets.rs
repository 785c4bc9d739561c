//! Targets as people name them in a filter: by their names, or by their ids.

use domain::access::{Caller, Permission};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::api::reader::account_filter;

/// More targets than these are not offered: nobody would find one among them.
const OFFERED: usize = 50;
/// Targets of one name that are told apart.
const TOLD_APART: usize = 5;

#[derive(Debug, FromRow)]
struct Named {
    target_id: Uuid,
    deleted: bool,
    exact: bool,
}

/// The target that a text names, or what is wrong with the text. Of several of one name those count that are still there, and those
/// whose name is written in just that way.
pub(in crate::dashboard) async fn named(
    reader: &mut PgConnection,
    caller: &Caller,
    text: &str,
) -> Result<Result<Uuid, String>, sqlx::Error> {
    if let Ok(id) = text.parse() {
        return Ok(Ok(id));
    }
    let statement = "
        SELECT target_id, lifecycle = 'deleted' AS deleted, name = $3 AS exact FROM channel_targets
        WHERE org_id = $1 AND ($2::text[] IS NULL OR account_id = ANY ($2)) AND lower(name) = lower($3)
        ORDER BY deleted, exact DESC, target_id LIMIT $4";
    let wanted = i64::try_from(TOLD_APART + 1).unwrap_or(i64::MAX);
    let rows = sqlx::query_as(statement).bind(caller.org_id.as_str()).bind(account_filter(caller));
    let rows: Vec<Named> = rows.bind(text).bind(wanted).fetch_all(reader).await?;
    let Some(first) = rows.first() else {
        return Ok(Err("names no target: give the name of one, or its id".to_owned()));
    };
    let alike: Vec<Uuid> = rows
        .iter()
        .filter(|row| (row.deleted, row.exact) == (first.deleted, first.exact))
        .map(|row| row.target_id)
        .collect();
    Ok(match alike.as_slice() {
        [one] => Ok(*one),
        several => {
            let ids: Vec<String> = several.iter().take(TOLD_APART).map(Uuid::to_string).collect();
            let more = if several.len() > TOLD_APART { " and others" } else { "" };
            Err(format!("names several targets: give the id of one ({}{more})", ids.join(", ")))
        }
    })
}

/// A target that is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::dashboard) struct Offered {
    /// What names it: its id, where another one has the same name.
    pub value: String,
    pub name: String,
}

/// All targets that are still there, where they are few and the caller may see them.
pub(in crate::dashboard) async fn offered(
    reader: &mut PgConnection,
    caller: &Caller,
) -> Result<Vec<Offered>, sqlx::Error> {
    if !caller.may(Permission::ReadTargets) {
        return Ok(Vec::new());
    }
    let statement = "
        SELECT target_id, name FROM channel_targets
        WHERE org_id = $1 AND ($2::text[] IS NULL OR account_id = ANY ($2)) AND lifecycle <> 'deleted'
        ORDER BY name LIMIT $3";
    let wanted = i64::try_from(OFFERED + 1).unwrap_or(i64::MAX);
    let rows = sqlx::query_as(statement).bind(caller.org_id.as_str()).bind(account_filter(caller));
    let rows: Vec<(Uuid, String)> = rows.bind(wanted).fetch_all(reader).await?;
    if rows.len() > OFFERED {
        return Ok(Vec::new());
    }
    let is_one = |name: &str| rows.iter().filter(|(_, other)| other.eq_ignore_ascii_case(name)).count() == 1;
    let offered = rows.iter().map(|(id, name)| {
        let value = if is_one(name) { name.clone() } else { id.to_string() };
        Offered { value, name: name.clone() }
    });
    Ok(offered.collect())
}
