//! The connection that a request came by. An answer that goes on only as its reader takes it cannot end by itself where that one does
//! not: what is to be ended then is the connection.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use tokio_util::sync::CancellationToken;

/// Cuts a connection, in the middle of an answer. Clones are one; whoever serves the connection puts it into its requests.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cut(CancellationToken);

impl Cut {
    /// Cuts it.
    pub(super) fn now(&self) {
        self.0.cancel();
    }

    /// Returns when it is to be cut.
    pub(crate) async fn asked(&self) {
        self.0.cancelled().await;
    }
}

/// That of a request; where no connection brought it, it cuts nothing.
impl<S: Send + Sync> FromRequestParts<S> for Cut {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}
