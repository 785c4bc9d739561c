//! A look that all share who ask within a second: anybody may ask, and as often as they like.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// What somebody else has just seen holds for so long.
const FRESH: Duration = Duration::from_secs(1);

/// The last look.
#[derive(Debug)]
pub(crate) struct SharedLook<T>(Mutex<Option<(Instant, T)>>);

impl<T> Default for SharedLook<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T: Copy> SharedLook<T> {
    /// What somebody else has just seen, or else what `look` sees. Whoever comes during a look waits for it.
    pub(crate) async fn or(&self, look: impl Future<Output = T>) -> T {
        let mut last = self.0.lock().await;
        if let Some((_, seen)) = last.filter(|(at, _)| at.elapsed() < FRESH) {
            return seen;
        }
        let seen = look.await;
        *last = Some((Instant::now(), seen));
        seen
    }
}
