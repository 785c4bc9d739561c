//! `/audit/export`: all of the audit, or a part of it, as a stream. Nothing of it is held in memory as a whole.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use futures::{StreamExt as _, stream};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Api;
use super::audit::{Filter, Order, filters_are_known, syncs};
use super::by::By;
use super::input::Query;
use super::problem::Problem;
use crate::views::audit::Sync;

/// Rows that are read at once.
const ROWS: i64 = 500;

/// The form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Form {
    /// A JSON object a line.
    #[default]
    Ndjson,
    /// Comma-separated values with a header.
    Csv,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportQuery {
    /// `ndjson` (by default) or `csv`
    #[serde(default)]
    #[param(inline)]
    format: Form,
    /// On one target only
    target_id: Option<Uuid>,
    /// Of one listing only
    listing_id: Option<Uuid>,
    /// Of one unit only
    unit_id: Option<String>,
    /// With one outcome only
    outcome: Option<String>,
    /// With one cause only
    cause: Option<String>,
    /// Asked for at this time or later
    since: Option<DateTime<Utc>>,
    /// Asked for before this time
    until: Option<DateTime<Utc>>,
}

/// Sync jobs from the oldest to the newest, as a stream of NDJSON or CSV.
#[utoipa::path(get, path = "/api/channels/audit/export", tag = "audit", params(ExportQuery),
    responses((status = 200, content((String = "application/x-ndjson"), (String = "text/csv"))),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn export(
    State(api): State<Api>,
    by: By,
    Query(query): Query<ExportQuery>,
) -> Result<Response, Problem> {
    filters_are_known(query.outcome.as_deref(), query.cause.as_deref())?;
    let filter = Filter {
        target_id: query.target_id,
        listing_id: query.listing_id,
        unit_id: query.unit_id,
        outcome: query.outcome,
        cause: query.cause,
        since: query.since,
        until: query.until,
    };
    let form = query.format;
    // The first rows come before the status is sent: what fails at once is told as a problem.
    let first = syncs(&api.inner.pool, &by.caller, &filter, Order::OldestFirst, None, ROWS).await?;
    let head = written(form, &first, true);
    let beyond = last(&first);
    let rest = stream::try_unfold(beyond, move |beyond| {
        let (api, by, filter) = (api.clone(), by.clone(), filter.clone());
        async move {
            let Some(beyond) = beyond else { return Ok::<_, std::io::Error>(None) };
            let rows = syncs(&api.inner.pool, &by.caller, &filter, Order::OldestFirst, Some(beyond), ROWS).await;
            let rows = rows.map_err(std::io::Error::other)?;
            Ok(Some((written(form, &rows, false)?, last(&rows))))
        }
    });
    let body = stream::iter([head]).chain(rest);
    let (kind, name) = match form {
        Form::Ndjson => ("application/x-ndjson", "attachment; filename=\"audit.ndjson\""),
        Form::Csv => ("text/csv; charset=utf-8; header=present", "attachment; filename=\"audit.csv\""),
    };
    let mut response = Body::from_stream(body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(header::CONTENT_DISPOSITION, HeaderValue::from_static(name));
    Ok(response)
}

/// The last position of a full read; `None` when there is no more.
fn last(rows: &[Sync]) -> Option<i64> {
    let full = i64::try_from(rows.len()).is_ok_and(|read| read == ROWS);
    rows.last().filter(|_| full).map(|sync| sync.position)
}

fn written(form: Form, rows: &[Sync], header: bool) -> std::io::Result<Vec<u8>> {
    match form {
        Form::Ndjson => {
            let mut lines = Vec::new();
            for sync in rows {
                serde_json::to_writer(&mut lines, sync)?;
                lines.push(b'\n');
            }
            Ok(lines)
        }
        Form::Csv => {
            let mut writer = csv::Writer::from_writer(Vec::new());
            if header {
                writer.write_record(HEADER)?;
            }
            for sync in rows {
                writer.write_record(record(sync))?;
            }
            writer.into_inner().map_err(|error| std::io::Error::other(error.to_string()))
        }
    }
}

const HEADER: [&str; 18] = [
    "sync_id",
    "listing_id",
    "account_id",
    "target_id",
    "target_name",
    "unit_id",
    "cause",
    "reason",
    "revision",
    "snapshot",
    "needs",
    "outcome",
    "class",
    "attempts",
    "calls",
    "created_by",
    "requested_at",
    "finished_at",
];

fn record(sync: &Sync) -> [String; 18] {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    [
        sync.sync_id.to_string(),
        sync.listing_id.to_string(),
        sync.account_id.clone(),
        sync.target_id.to_string(),
        plain(text(&sync.target_name)),
        text(&sync.unit_id),
        sync.cause.clone(),
        plain(text(&sync.reason)),
        sync.revision.to_string(),
        sync.snapshot.clone(),
        sync.needs.join(" "),
        sync.outcome.clone(),
        text(&sync.class),
        sync.attempts.to_string(),
        sync.calls.to_string(),
        plain(sync.created_by.clone()),
        sync.requested_at.to_rfc3339(),
        sync.finished_at.map(|at| at.to_rfc3339()).unwrap_or_default(),
    ]
}

/// People's texts may begin like a formula, which a spreadsheet would run.
fn plain(text: String) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text }
}
