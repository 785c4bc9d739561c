//! `/service-levels`: whether the promises hold, for what the caller may see.

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::by::By;
use super::problem::Problem;
use super::reader::{Reader, account_filter};
use crate::views::service_levels::{self, ServiceLevels};

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list))
}

/// The service levels of the caller's organisation and accounts, computed now.
#[utoipa::path(get, path = "/api/channels/service-levels", tag = "health",
    responses((status = 200, body = ServiceLevels), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
async fn list(State(api): State<Api>, by: By) -> Result<Json<ServiceLevels>, Problem> {
    Ok(Json(levels_of(&api, &by).await?))
}

/// Those of a caller's organisation and accounts.
pub(crate) async fn levels_of(api: &Api, by: &By) -> Result<ServiceLevels, sqlx::Error> {
    // Before the reader has its connection: nobody waits for one with another in hand.
    let far_lag_since = service_levels::far_lag_since(api.pool()).await?;
    let mut reader = Reader::open(api.pool(), &by.caller).await?;
    let accounts = account_filter(&by.caller);
    service_levels::read(&mut reader, far_lag_since, Some(&by.caller.org_id), accounts.as_deref()).await
}
