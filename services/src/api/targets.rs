//! `/targets`: accounts at channels.

mod change;
mod check;
mod creation;
mod read;
mod rotation;
mod shape;
mod without_event;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;

#[cfg(any(test, fuzzing))]
pub(super) use change::{ConfigureTarget, CreateTarget};
pub(crate) use change::{Reason, RotateCredential, pause, resume, rotate};
pub(super) use change::{changed, end_deletion, path};
pub(crate) use check::check;
pub(crate) use read::{ListQuery as TargetsQuery, get, history, list, visible as visible_target, visits};
pub(crate) use shape::Target;

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(read::list, change::create))
        .routes(routes!(read::get, change::configure, change::delete))
        .routes(routes!(read::health))
        .routes(routes!(read::history))
        .routes(routes!(read::visits))
        .routes(routes!(check::check))
        .routes(routes!(change::pause))
        .routes(routes!(change::resume))
        .routes(routes!(change::rotate))
}
