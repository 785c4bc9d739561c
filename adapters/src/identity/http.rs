//! How an identity provider is asked: no redirects, a short time and a bounded answer.

use std::time::Duration;

/// A provider answers within this time or counts as away.
const PATIENCE: Duration = Duration::from_secs(5);
/// No document of a provider is longer.
const LONGEST_BYTES: usize = 1024 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// The connection, or the time.
    #[error("no answer")]
    Http(#[source] reqwest::Error),
    /// It goes on and on.
    #[error("the answer is longer than {LONGEST_BYTES} bytes")]
    TooLong,
    /// Whoever answers is not well, or has no time: what else it says is of no use.
    #[error("it answers {0}")]
    NotWell(reqwest::StatusCode),
    /// An answer that is none.
    #[error("the answer cannot be used: {0}")]
    Unusable(String),
}

impl From<reqwest::Error> for FetchError {
    fn from(error: reqwest::Error) -> Self {
        // An address may carry what others should not read.
        Self::Http(error.without_url())
    }
}

/// The client. Redirects are not followed: they would lead to whom nobody has configured.
pub(super) fn client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(PATIENCE)
        .timeout(PATIENCE)
        .user_agent("distribution")
        .build()
}

/// The whole body.
pub(super) async fn body(mut response: reqwest::Response) -> Result<Vec<u8>, FetchError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > LONGEST_BYTES {
            return Err(FetchError::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
