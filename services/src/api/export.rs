//! `/audit/export`: all of the audit, or a part of it, as a stream. Nothing of it is held in memory as a whole. It may go on for long,
//! so each of its pages asks again whether its credential is good, and its reader has so long for each.

use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Version, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use domain::ids::{AccountId, TraceId, UnitId};
use domain::text::steady;
use futures::{StreamExt as _, stream};
use serde::Deserialize;
use tokio_util::sync::{CancellationToken, DropGuard};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::Api;
use super::audit::{Filter, Order, filters_are_known, syncs};
use super::by::By;
use super::connection::Cut;
use super::identity::Credential;
use super::input::{Query, read};
use super::problem::{Problem, ProblemKind};
use crate::views::audit::Sync;

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(export))
}

/// Rows that are read at once.
const ROWS: i64 = 500;
/// The longest that a reader may take for these. Whoever reads on for ever, a little at a time, would keep a connection for ever.
const TAKEN_WITHIN: Duration = Duration::from_secs(60);

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
struct ExportQuery {
    /// `ndjson` (by default) or `csv`
    #[serde(default)]
    #[param(inline)]
    format: Form,
    /// Of one account only, e.g. bali
    #[param(value_type = Option<String>)]
    account_id: Option<AccountId>,
    /// On one target only
    #[serde(default, deserialize_with = "read::optional")]
    target_id: Option<Uuid>,
    /// Of one listing only
    #[serde(default, deserialize_with = "read::optional")]
    listing_id: Option<Uuid>,
    /// Of one unit only
    #[param(value_type = Option<String>)]
    unit_id: Option<UnitId>,
    /// With one outcome only, or failed for rejected, unauthorised and exhausted
    outcome: Option<String>,
    /// Whose last attempt ended so, or with a call that did, whatever came of it later, e.g. throttled, stopped
    class: Option<String>,
    /// With one cause only
    cause: Option<String>,
    /// Of one trace only: the digits of its id, as a traceparent has it, e.g. 4bf92f3577b34da6a3ce929d0e0e4736
    #[serde(default, deserialize_with = "read::optional")]
    #[param(value_type = Option<String>)]
    trace_id: Option<TraceId>,
    /// Asked for at this time or later
    #[serde(default, deserialize_with = "read::optional")]
    since: Option<DateTime<Utc>>,
    /// Asked for before this time
    #[serde(default, deserialize_with = "read::optional")]
    until: Option<DateTime<Utc>>,
    /// Ended at this time or later
    #[serde(default, deserialize_with = "read::optional")]
    ended_since: Option<DateTime<Utc>>,
    /// With a call that began at this time or later; beside class, with one that ended so
    #[serde(default, deserialize_with = "read::optional")]
    called_since: Option<DateTime<Utc>>,
    #[serde(default, deserialize_with = "read::optional")]
    #[param(ignore)]
    #[expect(dead_code, reason = "the freshness middleware reads it; here it is a field that is known")]
    min_position: Option<i64>,
}

/// Sync jobs from the oldest to the newest, as a stream of NDJSON or CSV. Not over HTTP/1.0.
#[utoipa::path(get, path = "/api/channels/audit/export", tag = "audit", params(ExportQuery),
    responses((status = 200, content((String = "application/x-ndjson"), (String = "text/csv"))),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
async fn export(
    State(api): State<Api>,
    by: By,
    credential: Credential,
    cut: Cut,
    version: Version,
    Query(query): Query<ExportQuery>,
) -> Result<Response, Problem> {
    // An answer of unknown length ends there with its connection, whether it is whole or not.
    if version < Version::HTTP_11 {
        let reason = "ask for it over HTTP/1.1: in HTTP/1.0 an export that was cut off would look whole";
        return Err(ProblemKind::UpgradeRequired.because(reason));
    }
    filters_are_known(query.outcome.as_deref(), query.class.as_deref(), query.cause.as_deref())?;
    let filter = Filter {
        account_id: query.account_id,
        target_id: query.target_id,
        listing_id: query.listing_id,
        unit_id: query.unit_id.map(String::from),
        outcome: query.outcome,
        class: query.class,
        cause: query.cause,
        trace_id: query.trace_id,
        since: query.since,
        until: query.until,
        ended_since: query.ended_since,
        called_since: query.called_since,
    };
    let form = query.format;
    let mut export = Export { api, by, credential, cut, filter, form, beyond: None, taken: None };
    // The first rows come before the status is sent: what fails at once is told as a problem.
    let first = export.rows().await?;
    let head = written(form, &first, true);
    export.wait_for_its_reader();
    let rest = stream::try_unfold(export, Export::go_on);
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

/// An export under way.
struct Export {
    api: Api,
    by: By,
    credential: Credential,
    cut: Cut,
    filter: Filter,
    form: Form,
    /// The position to go on from; `None` where nothing is left.
    beyond: Option<i64>,
    /// Ends the wait for the reader of the last page.
    taken: Option<DropGuard>,
}

impl Export {
    /// The next rows.
    async fn rows(&mut self) -> Result<Vec<Sync>, sqlx::Error> {
        let (pool, caller) = (&self.api.inner.pool, &self.by.caller);
        let found = syncs(pool, caller, &self.filter, Order::OldestFirst, self.beyond, ROWS).await?;
        self.beyond = found.next;
        Ok(found.syncs)
    }

    /// Asked for when the reader has taken the page before. An error cuts the answer off, so that nobody takes it for whole.
    async fn go_on(mut self) -> io::Result<Option<(Vec<u8>, Self)>> {
        self.taken = None;
        if self.beyond.is_none() {
            return Ok(None);
        }
        let page = self.page().await;
        let page = page.inspect_err(|error| tracing::warn!(error = %error, "an export of the audit was cut off"))?;
        self.wait_for_its_reader();
        Ok(Some((page, self)))
    }

    /// The next rows, if whoever asked for them would still be let in.
    async fn page(&mut self) -> io::Result<Vec<u8>> {
        if !self.api.identity().still_takes(&self.credential).await.map_err(io::Error::other)? {
            return Err(io::Error::other("its session or token has ended"));
        }
        let rows = self.rows().await.map_err(io::Error::other)?;
        written(self.form, &rows, false)
    }

    /// Nobody asks for what comes next while the last page is not taken, so the time is kept beside the answer.
    fn wait_for_its_reader(&mut self) {
        let (taken, cut) = (CancellationToken::new(), self.cut.clone());
        self.taken = Some(taken.clone().drop_guard());
        tokio::spawn(async move {
            if taken.run_until_cancelled(tokio::time::sleep(TAKEN_WITHIN)).await.is_some() {
                tracing::warn!("an export of the audit was cut off: its reader is too slow");
                cut.now();
            }
        });
    }
}

fn written(form: Form, rows: &[Sync], header: bool) -> io::Result<Vec<u8>> {
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
                writer.write_record(COLUMNS.iter().map(|(name, _)| name))?;
            }
            for sync in rows {
                writer.write_record(COLUMNS.iter().map(|(_, of)| of(sync)))?;
            }
            writer.into_inner().map_err(|error| io::Error::other(error.to_string()))
        }
    }
}

/// A column of the table: its name, and what stands in it.
type Column = (&'static str, fn(&Sync) -> String);

/// Everything that a line of NDJSON has.
const COLUMNS: &[Column] = &[
    ("sync_id", |sync| sync.sync_id.to_string()),
    ("listing_id", |sync| sync.listing_id.to_string()),
    ("idempotency_key", |sync| sync.idempotency_key.clone()),
    ("org_id", |sync| sync.org_id.clone()),
    ("account_id", |sync| sync.account_id.clone()),
    ("target_id", |sync| sync.target_id.to_string()),
    ("target_name", |sync| plain(sync.target_name.as_deref())),
    ("unit_id", |sync| plain(sync.unit_id.as_deref())),
    ("ordinal", |sync| sync.ordinal.to_string()),
    ("cause", |sync| sync.cause.clone()),
    ("reason", |sync| plain(sync.reason.as_deref())),
    ("revision", |sync| sync.revision.to_string()),
    ("snapshot", |sync| sync.snapshot.clone()),
    ("needs", |sync| sync.needs.join(" ")),
    ("outcome", |sync| sync.outcome.clone()),
    ("class", |sync| plain(sync.class.as_deref())),
    ("attempts", |sync| sync.attempts.to_string()),
    ("calls", |sync| sync.calls.to_string()),
    ("rejected", |sync| sync.rejected.to_string()),
    ("detail", |sync| plain(sync.detail.as_deref())),
    ("superseded_by", |sync| sync.superseded_by.map(|id| id.to_string()).unwrap_or_default()),
    ("created_by", |sync| plain(Some(&sync.created_by))),
    ("credential_id", |sync| plain(sync.credential_id.as_deref())),
    ("credential", |sync| sync.credential.clone()),
    ("correlation_id", |sync| sync.correlation_id.to_string()),
    ("traceparent", |sync| plain(sync.traceparent.as_deref())),
    ("requested_at", |sync| sync.requested_at.to_rfc3339()),
    ("first_attempt_at", |sync| moment(sync.first_attempt_at)),
    ("next_attempt_at", |sync| moment(sync.next_attempt_at)),
    ("finished_at", |sync| moment(sync.finished_at)),
    ("position", |sync| sync.position.to_string()),
    ("updated_position", |sync| sync.updated_position.to_string()),
];

fn moment(at: Option<DateTime<Utc>>) -> String {
    at.map(|at| at.to_rfc3339()).unwrap_or_default()
}

/// What a formula begins with. Some spreadsheets take a full-width sign, or the minus of mathematics, for the plain one.
const SIGNS: [char; 9] = ['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}', '\u{2212}'];

/// People's texts may begin like a formula, which a spreadsheet would run, or move a terminal's cursor.
fn plain(text: Option<&str>) -> String {
    let text = steady(text.unwrap_or_default()).replace('\t', " ");
    if text.starts_with(SIGNS) { format!("'{text}") } else { text }
}
