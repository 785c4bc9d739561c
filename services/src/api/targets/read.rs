//! Reading targets.

use axum::Json;
use axum::extract::State;
use domain::access::Permission;
use domain::ids::TargetId;
use domain::target::{Health, TargetError};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::shape::{Row, Target, targets};
use crate::api::Api;
use crate::api::answer::Versioned;
use crate::api::by::By;
use crate::api::conditional::IfNoneMatchHeader;
use crate::api::history::{self, Event, HistoryQuery};
use crate::api::input::{Id, Query, one_of, read};
use crate::api::page::{Page, decode, limit};
use crate::api::problem::Problem;
use crate::api::reader::{Reader, account_filter};
use crate::views::circuit::{self, OpenCircuit};
use crate::views::health::{self, HealthChange, HealthCheck};
use crate::views::targets::states;
use crate::views::visits::{self, After, Visit};

/// Changes and checks that are shown.
const CHANGES: i64 = 50;

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// Deleted ones too
    #[serde(default, deserialize_with = "read::required")]
    deleted: bool,
    /// In one state only: active, needs_credentials, paused or deleted; all but the deleted ones by default
    state: Option<String>,
    /// Of one health only, e.g. unauthorised
    health: Option<String>,
    /// Rows of a page: 1 to 500, by default 50
    #[serde(default, deserialize_with = "read::optional")]
    limit: Option<i64>,
    /// `next_cursor` of the page before
    cursor: Option<String>,
    #[serde(default, deserialize_with = "read::optional")]
    #[param(ignore)]
    #[expect(dead_code, reason = "the freshness middleware reads it; here it is a field that is known")]
    min_position: Option<i64>,
}

impl ListQuery {
    /// A page of the targets of a health, in a state.
    pub(crate) fn page(health: Option<String>, state: Option<String>, cursor: Option<String>) -> Self {
        Self { health, state, cursor, ..Self::default() }
    }
}

/// Where a page of targets begins.
#[derive(Debug, Serialize, Deserialize)]
struct Named {
    name: String,
    target_id: Uuid,
}

/// The targets of the caller's organisation and accounts, by name, then by id. One that is renamed between two pages may come twice, or
/// not at all.
#[utoipa::path(get, path = "/api/channels/targets", tag = "targets", params(ListQuery),
    responses((status = 200, body = Page<Target>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn list(
    State(api): State<Api>,
    by: By,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Target>>, Problem> {
    let limit = limit(query.limit)?;
    let after: Option<Named> = decode(query.cursor.as_deref())?;
    one_of("health", query.health.as_deref(), &Health::ALL.map(Health::as_str))?;
    one_of("state", query.state.as_deref(), &states())?;
    let statement = format!(
        "SELECT * FROM ({} WHERE org_id = $1 AND ($2::text[] IS NULL OR account_id = ANY ($2))) AS t
         WHERE CASE WHEN $3::text IS NULL THEN $4 OR lifecycle <> 'deleted' ELSE state = $3 END
            AND ($5::text IS NULL OR health = $5) AND ($6::text IS NULL OR (name, target_id) > ($6, $7))
         ORDER BY name, target_id LIMIT $8 + 1",
        targets()
    );
    let mut reader = Reader::open(&api.inner.pool, &by.caller).await?;
    let rows = sqlx::query_as(&statement).bind(by.caller.org_id.as_str()).bind(account_filter(&by.caller));
    let rows = rows.bind(query.state).bind(query.deleted).bind(query.health);
    let rows =
        rows.bind(after.as_ref().map(|after| after.name.clone())).bind(after.as_ref().map(|after| after.target_id));
    let rows: Vec<Row> = rows.bind(limit).fetch_all(&mut *reader).await?;
    let page = Page::of(rows, limit, |row| Named { name: row.name.clone(), target_id: row.target_id });
    let items = page.items.into_iter().map(Target::from).collect();
    Ok(Json(Page { items, next_cursor: page.next_cursor }))
}

/// One target as the journal has it, deleted ones too.
#[utoipa::path(get, path = "/api/channels/targets/{target_id}", tag = "targets",
    params(("target_id" = Uuid, Path, description = "The target"), IfNoneMatchHeader),
    responses((status = 200, body = Target, headers(("etag" = String))), (status = 304, description = "One of If-None-Match still holds"), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn get(State(api): State<Api>, by: By, Id(id): Id<Uuid>) -> Result<Versioned<Target>, Problem> {
    let (found, version) = visible(&api, &by, TargetId(id)).await?;
    let statement = format!("{} WHERE target_id = $1", targets());
    let mut reader = Reader::open(&api.inner.pool, &by.caller).await?;
    let row: Option<Row> = sqlx::query_as(&statement).bind(id).fetch_optional(&mut *reader).await?;
    let target = Target::of(&found, version);
    let target = match row {
        Some(row) => target.seen(row),
        None => target,
    };
    Ok(Versioned(version, target))
}

/// A target that the caller may see. Postgres is asked first, as the role for which one that belongs to others is
/// not there: only what it knows is loaded, so that neither the answer nor its time tells the two apart.
pub(crate) async fn visible(api: &Api, by: &By, id: TargetId) -> Result<(domain::target::Target, i64), Problem> {
    if !Reader::open(&api.inner.pool, &by.caller).await?.knows("ChannelTarget", id.0).await? {
        return Err(TargetError::NotFound.into());
    }
    let (loaded, version) = api.inner.syncing.commands().load_target_at(id).await?;
    let seen = loaded.target().filter(|target| by.caller.sees(&target.org_id, &target.account_id));
    seen.cloned().map(|target| (target, version)).ok_or_else(|| TargetError::NotFound.into())
}

/// How a target answers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HealthHistory {
    /// Now, by the journal.
    health: String,
    /// Details; absent until the read model has seen the target.
    now: Option<health::Health>,
    /// Where it failed again and again, so that nothing but checks is sent to it; `null` where nothing holds it back so.
    circuit: Option<OpenCircuit>,
    /// The newest changes first.
    changes: Vec<HealthChange>,
    /// The newest single checks first.
    checks: Vec<HealthCheck>,
}

/// How the channel answers for a target: now, its circuit where that is open, the last 50 changes, and the last 50 checks.
#[utoipa::path(get, path = "/api/channels/targets/{target_id}/health", tag = "targets",
    params(("target_id" = Uuid, Path, description = "The target")),
    responses((status = 200, body = HealthHistory), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn health(State(api): State<Api>, by: By, Id(id): Id<Uuid>) -> Result<Json<HealthHistory>, Problem> {
    let (target, _) = visible(&api, &by, TargetId(id)).await?;
    let (id, org) = (TargetId(id), Some(&by.caller.org_id));
    let circuit = circuit::open(&api.inner.pool, id).await?;
    let mut reader = Reader::open(&api.inner.pool, &by.caller).await?;
    let now = health::now(&mut reader, id, org).await?;
    let changes = health::changes(&mut reader, id, org, CHANGES).await?;
    let checks = health::checks(&mut reader, id, org, CHANGES).await?;
    Ok(Json(HealthHistory { health: target.health.as_str().to_owned(), now, circuit, changes, checks }))
}

/// Everything that happened to a target, the newest first, from the journal itself: who did it, and by which credential. Who may not read
/// targets is told nothing of its address, its account at the channel and where its secret is: `withheld` names what was left out.
#[utoipa::path(get, path = "/api/channels/targets/{target_id}/history", tag = "targets",
    params(("target_id" = Uuid, Path, description = "The target"), HistoryQuery),
    responses((status = 200, body = Page<Event>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn history(
    State(api): State<Api>,
    by: By,
    Id(id): Id<Uuid>,
    Query(query): Query<HistoryQuery>,
) -> Result<Json<Page<Event>>, Problem> {
    let page = history::page(&api, &by, "ChannelTarget", id, &query).await?;
    let mut page = page.ok_or(TargetError::NotFound)?;
    if !by.caller.may(Permission::ReadTargets) {
        page.items.iter_mut().for_each(Event::withhold_settings);
    }
    Ok(Json(page))
}

/// Who had a target looked at in the last three days, the newest first: checks that somebody asked for, and looks for drift at its listings.
/// Among them, of all time, who put a value in the place of its secret at the command line, or began a rotation that has no event. They are no
/// events, so its history does not have them.
#[utoipa::path(get, path = "/api/channels/targets/{target_id}/visits", tag = "targets",
    params(("target_id" = Uuid, Path, description = "The target"), HistoryQuery),
    responses((status = 200, body = Page<Visit>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn visits(
    State(api): State<Api>,
    by: By,
    Id(id): Id<Uuid>,
    Query(query): Query<HistoryQuery>,
) -> Result<Json<Page<Visit>>, Problem> {
    let limit = limit(query.limit)?;
    let after: Option<After> = decode(query.cursor.as_deref())?;
    visible(&api, &by, TargetId(id)).await?;
    let mut reader = Reader::open(&api.inner.pool, &by.caller).await?;
    let org = Some(&by.caller.org_id);
    let rows = visits::visits(&mut reader, TargetId(id), org, after.as_ref(), limit + 1).await?;
    Ok(Json(Page::of(rows, limit, Visit::key)))
}
