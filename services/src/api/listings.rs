//! `/listings`: units on targets.

mod change;
mod drift;
mod explain;
mod link;
mod read;
mod resend;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;

pub(super) use change::changed;
pub(crate) use change::{pause, resume};
#[cfg(any(test, fuzzing))]
pub(super) use link::LinkListing;
pub(super) use link::linked;
pub(crate) use read::{ListQuery as ListingsQuery, get, history, list};
pub(super) use resend::requested;
pub(crate) use resend::{Retry, retry, sync};

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(read::list, link::link))
        .routes(routes!(read::get, change::unlink))
        .routes(routes!(read::history))
        .routes(routes!(explain::explain))
        .routes(routes!(explain::preview))
        .routes(routes!(resend::sync))
        .routes(routes!(resend::retry))
        .routes(routes!(drift::drift))
        .routes(routes!(change::pause))
        .routes(routes!(change::resume))
}
