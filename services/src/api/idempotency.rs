//! `Idempotency-Key`: a change that is asked for twice with one key is made once, and its first answer given again. Where
//! the first answer was lost, in a crash or with the database, the journal says whether the change was made.

mod answers;
mod made;

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest as _, Sha256};
use tracing::Instrument as _;

use super::Api;
use super::by::By;
use super::problem::{Problem, ProblemKind};
use super::{if_match, input};
use answers::{Begun, Key};

pub(super) use answers::sweep;

const KEY: &str = "idempotency-key";
/// The most characters of a key.
pub(super) const LONGEST_KEY: usize = 128;
/// A request ends before another one may begin in its place, which is a minute after it began.
const LONGEST: Duration = Duration::from_secs(45);
/// On an answer that was given before.
const REPLAYED: &str = "idempotency-replayed";

/// The middleware; inside of the admission.
pub(super) async fn once(State(api): State<Api>, request: Request, next: Next) -> Response {
    let unsafe_method = matches!(*request.method(), Method::POST | Method::PATCH | Method::DELETE | Method::PUT);
    let (Some(key), Some(by)) = (request.headers().get(KEY).cloned(), request.extensions().get::<By>().cloned()) else {
        return next.run(request).await;
    };
    if !unsafe_method {
        return next.run(request).await;
    }
    if request.headers().get_all(KEY).iter().count() > 1 {
        return Problem::field("Idempotency-Key", "give one key").into_response();
    }
    let Some(key) = text(&key) else {
        let reason =
            format!("give 1 to {LONGEST_KEY} characters of ASCII, such as a UUID, blanks among them but no tabs");
        return Problem::field("Idempotency-Key", reason).into_response();
    };
    let key = Key::of(&by.caller, key);
    // A caller who leaves, and a request that takes too long, take neither the change with them nor its answer: to ask
    // again finds it.
    let run = async move { tokio::time::timeout(LONGEST, run(&api, &key, by, request, next)).await };
    match tokio::spawn(run.in_current_span()).await {
        Ok(Ok(answer)) => answer.unwrap_or_else(IntoResponse::into_response),
        Ok(Err(_)) => ProblemKind::TimedOut.because("it took too long; try again").retry_after(1).into_response(),
        Err(_) => ProblemKind::Unavailable.because("the service is stopping; ask again").into_response(),
    }
}

/// The key as it came: with the quotes of a structured field, as draft-ietf-httpapi-idempotency-key-header writes it, or without
/// them. Nothing in it is read, so that whoever repeats a request repeats its key.
fn text(key: &HeaderValue) -> Option<&str> {
    let fits = |key: &&str| (1..=LONGEST_KEY).contains(&key.len()) && !key.contains('\t');
    key.to_str().ok().filter(fits)
}

async fn run(api: &Api, key: &Key, by: By, request: Request, next: Next) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let body = input::whole(body).await?;
    let mut digest = Sha256::new();
    digest.update(parts.method.as_str());
    digest.update([0]);
    digest.update(parts.uri.to_string());
    digest.update([0]);
    // The same subject by another credential may see other things, and another version is another wish.
    digest.update(format!("{:?}{:?}", by.caller.accounts, by.caller.roles));
    digest.update(if_match::list(&parts.headers).unwrap_or_default());
    digest.update([0]);
    digest.update(&body);
    let print = key.print(digest);
    let pool = &api.inner.pool;
    let (own, again) = match answers::begin(pool, key, &print).await? {
        Begun::Before(answer) => return Ok(answer),
        Begun::First(own) => (own, false),
        Begun::Again(own) => (own, true),
    };
    let by = By { causation_id: Some(own.causation_id), ..by };
    let found = if again { made::answer(api, &by, own.causation_id).await } else { Ok(None) };
    let ended = match found {
        Ok(Some(mut answer)) => {
            answer.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
            Ok(answer)
        }
        Ok(None) => {
            parts.extensions.insert(by);
            Ok(next.run(Request::from_parts(parts, Body::from(body))).await)
        }
        Err(problem) => Err(problem),
    };
    match ended {
        Ok(response) if response.status().is_success() => answers::keep(pool, key, own, response).await,
        Ok(response) if !response.status().is_server_error() => {
            // What did nothing may be asked for again.
            answers::forget(pool, key, own).await?;
            Ok(response)
        }
        unknown => {
            answers::end_is_unknown(pool, key, own);
            unknown
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::{LONGEST_KEY, text};

    #[test]
    fn a_key_is_any_text_of_ascii_as_it_came() {
        let longest = "x".repeat(LONGEST_KEY);
        for key in ["a", "8e03978e-40d5-43dd-bc93-6894a57f9324", "\"a\"", "\"a", "a b", "a, b;c=1", "\\", &longest] {
            let header = HeaderValue::from_str(key).expect("it is a header");
            assert_eq!(text(&header), Some(key));
        }
        let longer = format!("{longest}x");
        for key in ["", "a\tb", "ü", &longer] {
            let header = HeaderValue::from_str(key).expect("it is a header");
            assert_eq!(text(&header), None, "{key:?}");
        }
    }
}
