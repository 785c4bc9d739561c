//! Reading what one has written: a request that names a position waits, for a bounded time, until the read models show
//! it.

use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;

use super::Api;
use super::policy::{Rule, rule};
use super::problem::{Problem, ProblemKind};

/// The header that says the same as `?min_position=`.
const MIN_POSITION: &str = "min-position";
/// The first position of a journal.
pub(super) const FIRST_POSITION: i64 = 1;
/// The longest wait.
const PATIENCE: Duration = Duration::from_secs(5);

const HEAD: &str = "SELECT coalesce(max(position), 0) FROM events";

const LOWEST: &str = "SELECT coalesce(min(position), 0) FROM projection_checkpoints";

/// The middleware.
pub(super) async fn wait_for_position(State(api): State<Api>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    if !waits(request.method(), path) {
        return next.run(request).await;
    }
    let waited = match asked(&request) {
        Ok(Some((field, position))) => wait(&api, field, position).await,
        Ok(None) => Ok(()),
        Err(problem) => Err(problem),
    };
    match waited {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Whether a route reads what is written: every read that needs a permission.
pub(super) fn waits(method: &Method, path: &str) -> bool {
    matches!(*method, Method::GET | Method::HEAD) && matches!(rule(method, path), Some(Rule::Needs(_)))
}

/// The position that is named, and where.
fn asked(request: &Request) -> Result<Option<(&'static str, i64)>, Problem> {
    let wrong =
        |field: &str| Problem::field(field, "is the position of a change, as its answer gave it: a number from 1");
    let number = |text: &str| text.parse::<i64>().ok().filter(|position| *position >= FIRST_POSITION);
    let query = request.uri().query().unwrap_or_default();
    let mut in_query = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "min_position");
    let mut in_headers = request.headers().get_all(MIN_POSITION).iter();
    // Of two that differ one would not be waited for.
    let (field, position) = match (in_headers.next(), in_query.next()) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            return Err(Problem::field("Min-Position", "is given as min_position, too; give one of them"));
        }
        (Some(value), None) => ("Min-Position", value.to_str().ok().and_then(number)),
        (None, Some((_, text))) => ("min_position", number(&text)),
    };
    if in_headers.next().is_some() || in_query.next().is_some() {
        return Err(Problem::twice(field));
    }
    position.map(|position| Some((field, position))).ok_or_else(|| wrong(field))
}

async fn wait(api: &Api, field: &'static str, position: i64) -> Result<(), Problem> {
    let started = Instant::now();
    let mut pause = Duration::from_millis(5);
    // What was answered with a position is in the journal.
    let head: i64 = sqlx::query_scalar(HEAD).fetch_one(&api.inner.pool).await?;
    if position > head {
        return Err(Problem::field(field, "is no position of this journal: give back that of a change's answer"));
    }
    loop {
        let shown: i64 = sqlx::query_scalar(LOWEST).fetch_one(&api.inner.pool).await?;
        if shown >= position {
            return Ok(());
        }
        if started.elapsed() >= PATIENCE {
            let reason = format!("the read models are at position {shown}, not yet at {position}; ask again");
            return Err(ProblemKind::NotYetVisible.because(reason).retry_after(1));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}
