//! Whether the process lives, whether it can do its work, and which version it is.

use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::problem::ProblemKind;

/// A dependency that has not answered by then is down.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// What is answered before the API is open.
const PROBES: [&str; 3] = ["/health/live", "/health/ready", "/version"];

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(live)).routes(routes!(ready)).routes(routes!(version))
}

/// The process lives.
#[utoipa::path(get, path = "/health/live", tag = "health", responses((status = 204)))]
async fn live() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// What the API depends on, and whether each answers.
#[derive(Debug, Serialize, ToSchema)]
struct Readiness {
    /// Whether requests can be served: Postgres answers, its schema is there, and the process is not about to stop.
    ready: bool,
    /// Why they cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    postgres: bool,
    /// Whether its schema has all migrations of this build: until it has, only this, `/health/live` and `/version` are answered.
    schema: bool,
    /// Without it syncs stand still and dead letters cannot be read; all else is served.
    nats: bool,
    /// Where the secrets of targets are kept; without it no target is made or gets another secret.
    secret_store: bool,
    /// Whether its tokens can be checked and people can sign in there; absent where there is no identity provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    identity_provider: Option<bool>,
}

/// What answered at a look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answering {
    postgres: bool,
    nats: bool,
    secret_store: bool,
    identity_provider: Option<bool>,
}

/// Whether requests can be served. What somebody else has heard within the last second is told again.
#[utoipa::path(get, path = "/health/ready", tag = "health",
    responses((status = 200, body = Readiness), (status = 503, body = Readiness)))]
async fn ready(State(api): State<Api>) -> Response {
    let Answering { postgres, nats, secret_store, identity_provider } = api.inner.last_look.or(look(&api)).await;
    let schema = api.schema().lacks().is_none();
    // Without NATS all but dead letters is served: to send everybody away would make an outage of it.
    let reason = if api.stops() {
        Some("the process is about to stop".to_owned())
    } else if !postgres {
        Some("Postgres does not answer".to_owned())
    } else {
        why_closed(&api)
    };
    let ready = reason.is_none();
    let told = Json(Readiness { ready, reason, postgres, schema, nats, secret_store, identity_provider });
    if ready {
        return told.into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], told).into_response()
}

/// Why no requests are served yet.
fn why_closed(api: &Api) -> Option<String> {
    (!api.is_open()).then(|| api.schema().waits_for().unwrap_or_else(|| "the process has just started".to_owned()))
}

/// The middleware that answers probes alone until the API is open: on another schema than this build's all else would fail as bugs do.
pub(crate) async fn alone_until_open(State(api): State<Api>, request: Request, next: Next) -> Response {
    match why_closed(&api).filter(|_| !PROBES.contains(&request.uri().path())) {
        None => next.run(request).await,
        Some(why) => ProblemKind::Unavailable.because(format!("{why}; try again")).retry_after(1).into_response(),
    }
}

async fn look(api: &Api) -> Answering {
    let postgres = async {
        let asked = tokio::time::timeout(PATIENCE, sqlx::query("SELECT 1").execute(&api.inner.pool)).await;
        matches!(asked, Ok(Ok(_)))
    };
    let provider = async {
        let (services, people) = (&api.inner.identity.services, &api.inner.identity.oidc);
        if services.is_none() && people.is_none() {
            return None;
        }
        let asked = async {
            let tokens = async { if let Some(services) = services { services.ready().await } else { true } };
            let login = async { if let Some(people) = people { people.ready().await } else { true } };
            let (tokens, login) = tokio::join!(tokens, login);
            tokens && login
        };
        Some(tokio::time::timeout(PATIENCE, asked).await.unwrap_or(false))
    };
    let (nats, vault) = (api.nats_answers(), api.inner.vault.answers());
    let (postgres, nats, secret_store, identity_provider) = tokio::join!(postgres, nats, vault, provider);
    Answering { postgres, nats, secret_store, identity_provider }
}

/// This build.
#[derive(Debug, Serialize, ToSchema)]
struct Version {
    #[schema(example = "distribution")]
    name: &'static str,
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// The commit that it was made of; absent where whoever built it did not say.
    #[schema(example = "8662383d0b1c")]
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<&'static str>,
}

/// Told at build time, as an environment variable.
const COMMIT: Option<&str> = option_env!("DISTRIBUTION_COMMIT");

/// Which build this is.
#[utoipa::path(get, path = "/version", tag = "health", responses((status = 200, body = Version)))]
async fn version() -> Json<Version> {
    let commit = COMMIT.filter(|commit| !commit.is_empty());
    Json(Version { name: "distribution", version: env!("CARGO_PKG_VERSION"), commit })
}
