//! `/targets`: accounts at channels.

mod change;
mod check;
mod read;
mod shape;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;

pub(super) use change::{Reason, changed, path};
pub(super) use read::visible as visible_target;

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(read::list, change::create))
        .routes(routes!(read::get, change::configure, change::delete))
        .routes(routes!(read::health))
        .routes(routes!(check::check))
        .routes(routes!(change::pause))
        .routes(routes!(change::resume))
        .routes(routes!(change::rotate))
}
