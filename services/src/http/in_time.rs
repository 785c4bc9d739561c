//! The longest that a request may take, and how soon one that only reads is told that Postgres does not answer. No time-out of a
//! statement says so: it is Postgres that keeps them, and one that hangs keeps none.

use std::sync::Arc;
use std::time::Duration;

use adapters::postgres::{Unasked, answers};
use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use sqlx::PgPool;
use tokio::time::{sleep, timeout};

use crate::api::problem::Problem;
use crate::shared_look::SharedLook;

/// The longest that a request may take until its answer begins.
const LONGEST: Duration = Duration::from_secs(30);
/// What reads for longer asks whether Postgres answers at all, again and again: what is merely slow goes on.
const SLOW: Duration = Duration::from_secs(2);
/// The longest wait for its answer, by a connection of the pool and by a new one, one after the other.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// Below these a request changes something whatever its method, or says itself what does not answer.
const APART: [&str; 2] = ["/sign-in", "/health/"];

/// Whether Postgres answers. Clones are one, so that many who wait ask it once.
#[derive(Debug, Clone)]
pub(super) struct Pulse {
    pool: PgPool,
    heard: Arc<SharedLook<bool>>,
}

impl Pulse {
    /// By these connections.
    pub(super) fn of(pool: PgPool) -> Self {
        Self { pool, heard: Arc::default() }
    }

    /// Returns when one who has waited for a while hears that it does not answer.
    async fn stops(&self) {
        loop {
            sleep(SLOW).await;
            if !self.beats().await {
                return;
            }
        }
    }

    async fn beats(&self) -> bool {
        // One that has no room for a new connection is there, and works for others.
        let look = async { !matches!(answers(&self.pool, PATIENCE).await, Err(Unasked::Silent(_))) };
        self.heard.or(look).await
    }
}

/// Whether a request may change something. A look for drift does not, although it is a POST, as it costs calls of a target's window:
/// where it is given up, those that were made are written down without it.
fn changes(request: &Request) -> bool {
    let (method, path) = (request.method(), request.uri().path());
    let looks = *method == Method::POST && path.starts_with("/api/channels/listings/") && path.ends_with("/drift");
    !method.is_safe() && !looks
}

/// The middleware. Bodies that do not arrive count as well. A change may have been made although Postgres has not said so yet: how it
/// ends is waited for.
pub(super) async fn in_time(State(pulse): State<Pulse>, request: Request, next: Next) -> Response {
    let changes = changes(&request);
    let waits = changes || APART.iter().any(|apart| request.uri().path().starts_with(apart));
    let answer = async {
        let answered = timeout(LONGEST, next.run(request)).await;
        answered.unwrap_or_else(|_| Problem::too_late(changes).into_response())
    };
    if waits {
        return answer.await;
    }
    tokio::select! {
        biased;
        answer = answer => answer,
        () = pulse.stops() => Problem::no_database().into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn a_read_and_a_look_for_drift_change_nothing() {
        let listing = "/api/channels/listings/00000000-0000-0000-0000-000000000000";
        for (method, path, wanted) in [
            (Method::GET, listing.to_owned(), false),
            (Method::HEAD, listing.to_owned(), false),
            (Method::POST, format!("{listing}/drift"), false),
            (Method::POST, format!("{listing}/sync"), true),
            (Method::DELETE, listing.to_owned(), true),
            (Method::POST, "/sign-in".to_owned(), true),
        ] {
            let request = Request::builder().method(&method).uri(path.as_str()).body(Body::empty()).expect("it is one");
            assert_eq!(changes(&request), wanted, "{method} {path}");
        }
    }
}
