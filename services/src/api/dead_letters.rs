//! `/dead-letters`: messages of the caller's organisation that could not be used. A message names its organisation, and
//! not always an account, so only callers who have all accounts see them.

use std::time::Duration;

use adapters::nats::dead_letters::{DeadLetter, DeadLetterError};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use domain::access::{Accounts, Caller, Permission};
use domain::ids::UnitId;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::Api;
use super::by::By;
use super::input::{Id, Query, read};
use super::page::{Page, decode, encode, limit};
use super::problem::{Problem, ProblemKind};
use super::reader::Reader;
use crate::dead_letters::{Decided, Decision, DecisionError, Wish, decide, decided, is_done};
use crate::views::unit_letters::{self, UnitLetters};

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(decisions))
        .routes(routes!(replay))
        .routes(routes!(discard))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct LettersQuery {
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

impl LettersQuery {
    /// The letters after a cursor.
    pub(crate) fn page(cursor: Option<String>) -> Self {
        Self { limit: None, cursor, min_position: None }
    }
}

/// A message that could not be used.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Letter {
    pub number: u64,
    /// Where it had been published.
    pub subject: String,
    /// The unit that its subject names.
    #[serde(skip)]
    pub unit: Option<UnitId>,
    pub at: Option<DateTime<Utc>>,
    /// The id of the trace in which it was taken in.
    pub trace_id: Option<String>,
    pub problems: Vec<LetterProblem>,
    /// Its body as text, without what looks like a secret or a guest's; a replay sends it as it came.
    pub body: String,
}

/// What is wrong with a message.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LetterProblem {
    pub field: String,
    pub reason: String,
}

impl From<DeadLetter> for Letter {
    fn from(letter: DeadLetter) -> Self {
        let problem = |problem: domain::unit::Problem| LetterProblem { field: problem.field, reason: problem.reason };
        let (body, unit) = (letter.body(), letter.unit());
        Self {
            number: letter.number,
            unit,
            subject: letter.subject,
            at: letter.at,
            trace_id: letter.trace_id,
            problems: letter.problems.into_iter().map(problem).collect(),
            body,
        }
    }
}

/// Letters that are looked through for one of a trace: nothing knows them by it.
const LOOKED_THROUGH: usize = 200;

/// That is done within this time, or not at all: each costs a call, and somebody waits.
const LOOKS: Duration = Duration::from_secs(3);

/// A letter names no account for certain: those who have all see it.
pub(crate) fn sees_letters(caller: &Caller) -> bool {
    caller.may(Permission::ReadDeadLetters) && caller.accounts == Accounts::All
}

/// Those of a trace, among the oldest; `None` where they cannot be looked through now.
pub(crate) async fn of_trace(api: &Api, caller: &Caller, trace_id: &str) -> Option<Vec<Letter>> {
    if !sees_letters(caller) {
        return Some(Vec::new());
    }
    let looked = api.inner.nats.dead_letters(Some(&caller.org_id), 0, LOOKED_THROUGH);
    match timeout(LOOKS, looked).await {
        Ok(Ok(letters)) => {
            let of_it = letters.into_iter().filter(|letter| letter.trace_id.as_deref() == Some(trace_id));
            Some(of_it.map(Letter::from).collect())
        }
        Ok(Err(error)) => {
            tracing::debug!(error = %error, "dead letters cannot be looked through now");
            None
        }
        Err(_) => None,
    }
}

/// Those of a unit, for whoever sees them; `None` for others, and where they cannot be looked through now. Where NATS is away, nobody waits
/// for it.
pub(crate) async fn of_unit(api: &Api, caller: &Caller, unit: &str) -> Option<UnitLetters> {
    if !sees_letters(caller) || api.transport().away_since.is_some() {
        return None;
    }
    match unit_letters::of_unit(&api.inner.nats, &caller.org_id, unit).await {
        Ok(found) => Some(found),
        Err(error) => {
            tracing::debug!(error = %error, "dead letters cannot be looked through now");
            None
        }
    }
}

/// The cursor of the page that begins with a letter.
pub(crate) fn cursor_of(number: u64) -> String {
    encode(&number.saturating_sub(1))
}

fn sees(caller: &Caller, letter: &DeadLetter) -> bool {
    caller.accounts == Accounts::All && letter.org().is_some_and(|org| org == caller.org_id)
}

fn problem(error: &DeadLetterError) -> Problem {
    match error {
        DeadLetterError::NotFound(_) => Problem::not_found("dead letter"),
        DeadLetterError::Cut(_) => ProblemKind::Conflict.because(error.to_string()),
        DeadLetterError::Nats(_) | DeadLetterError::Topology(_) => {
            tracing::error!(error = %error, "dead letters cannot be reached");
            ProblemKind::Unavailable.because("the dead letters cannot be reached; try again").retry_after(1)
        }
    }
}

/// The oldest first.
#[utoipa::path(get, path = "/api/channels/dead-letters", tag = "dead letters", params(LettersQuery),
    responses((status = 200, body = Page<Letter>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn list(
    State(api): State<Api>,
    by: By,
    Query(query): Query<LettersQuery>,
) -> Result<Json<Page<Letter>>, Problem> {
    let limit = limit(query.limit)?;
    let after: u64 = decode(query.cursor.as_deref())?.unwrap_or_default();
    if by.caller.accounts != Accounts::All {
        return Ok(Json(Page { items: Vec::new(), next_cursor: None }));
    }
    let wanted = usize::try_from(limit + 1).unwrap_or(usize::MAX);
    let letters = api.inner.nats.dead_letters(Some(&by.caller.org_id), after, wanted).await;
    let letters = letters.map_err(|error| problem(&error))?.into_iter().map(Letter::from).collect();
    Ok(Json(Page::of(letters, limit, |letter: &Letter| letter.number)))
}

/// What was decided about dead letters, the newest first.
#[utoipa::path(get, path = "/api/channels/dead-letters/decisions", tag = "dead letters", params(LettersQuery),
    responses((status = 200, body = Page<Decided>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
async fn decisions(
    State(api): State<Api>,
    by: By,
    Query(query): Query<LettersQuery>,
) -> Result<Json<Page<Decided>>, Problem> {
    let limit = limit(query.limit)?;
    let before: Option<Uuid> = decode(query.cursor.as_deref())?;
    let mut reader = Reader::open(&api.inner.pool, &by.caller).await?;
    let decided = decided(&mut reader, Some(&by.caller.org_id), before, limit + 1).await?;
    Ok(Json(Page::of(decided, limit, |row| row.decision_id)))
}

async fn carry_out(api: &Api, by: &By, number: u64, decision: Decision) -> Result<StatusCode, Problem> {
    let letter = api.inner.nats.dead_letter(number).await.map_err(|error| problem(&error))?;
    if !sees(&by.caller, &letter) {
        return Err(Problem::not_found("dead letter"));
    }
    let wish = Wish { letter: &letter, decision, by: &by.caller.actor(), causation_id: by.causation_id };
    let done = decide(&api.inner.pool, &api.inner.nats, wish).await;
    done.map(|()| StatusCode::NO_CONTENT).map_err(undecided)
}

fn undecided(error: DecisionError) -> Problem {
    match error {
        DecisionError::Letter(error) => problem(&error),
        DecisionError::UnderWay(_) => ProblemKind::Conflict.because(error.to_string()).retry_after(1),
        DecisionError::Journal(error) => error.into(),
    }
}

/// The answer to a decision that is done; `None` where none is.
pub(super) async fn answer(api: &Api, causation_id: Uuid) -> Result<Option<Response>, Problem> {
    let done = is_done(&api.inner.pool, &api.inner.nats, causation_id).await.map_err(undecided)?;
    Ok(done.then(|| StatusCode::NO_CONTENT.into_response()))
}

/// Publish a message once more where it came from. One that is still wrong comes back with a new number.
#[utoipa::path(post, path = "/api/channels/dead-letters/{number}/replay", tag = "dead letters",
    params(("number" = u64, Path, description = "Its number")),
    responses((status = 204), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn replay(State(api): State<Api>, by: By, Id(number): Id<u64>) -> Result<StatusCode, Problem> {
    carry_out(&api, &by, number, Decision::Replay).await
}

/// Throw a message away for good.
#[utoipa::path(delete, path = "/api/channels/dead-letters/{number}", tag = "dead letters",
    params(("number" = u64, Path, description = "Its number")),
    responses((status = 204), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn discard(State(api): State<Api>, by: By, Id(number): Id<u64>) -> Result<StatusCode, Problem> {
    carry_out(&api, &by, number, Decision::Discard).await
}
