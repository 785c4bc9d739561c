//! Requests that are answered before their body was read, as those without a good credential are. What is left of it is read and
//! thrown away, so that the connection goes on; where that cannot be, the answer says that it ends (RFC 9112, 9.6). The server
//! would end it without a word, and the caller's next request would be lost.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::BodyExt as _;
use hyper::body::{Frame, SizeHint};

use crate::api::input::LARGEST_BODY;

/// The longest that the rest of a body is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// The middleware.
pub(super) async fn thrown_away(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    // Its caller waits with the body for leave, which to read it would give.
    let waits = request.headers().contains_key(header::EXPECT);
    let left = Arc::<Mutex<Option<Body>>>::default();
    let kept = left.clone();
    let mut answer = next.run(request.map(|body| Body::new(Passed { body, read: false, left: kept }))).await;
    let rest = left.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(rest) = rest
        && (waits || !tokio::time::timeout(PATIENCE, read(rest)).await.unwrap_or(false))
    {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

/// Reads a body to its end, if that is near.
async fn read(mut body: Body) -> bool {
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        bytes += frame.data_ref().map_or(0, Bytes::len);
        if bytes > LARGEST_BODY {
            return false;
        }
    }
    true
}

/// A body that leaves behind what nobody has read of it.
struct Passed {
    body: Body,
    /// It was read to its end.
    read: bool,
    left: Arc<Mutex<Option<Body>>>,
}

impl Drop for Passed {
    fn drop(&mut self) {
        let body = std::mem::take(&mut self.body);
        if !self.read && !body.is_end_stream() {
            *self.left.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        }
    }
}

impl HttpBody for Passed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        self.read |= matches!(frame, Poll::Ready(None));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
