//! Failures that come again and again, as everything does that is tried while Postgres is away: of each kind the first line
//! is logged, one each 10 s while it goes on, and one that says that it has ended. Others are not touched, but for what the SDK of
//! OpenTelemetry says of each export that failed: `adapters::telemetry` says that in time.

use std::collections::HashMap;
use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// A kind is logged once in so long.
const EACH: Duration = Duration::from_secs(10);
/// A kind that has not come for so long has ended: longer than the longest wait for a connection, after which a failure comes.
const ENDED: Duration = Duration::from_secs(20);
/// How often it is looked for kinds that have ended.
const LOOK: Duration = Duration::from_secs(1);
/// What the SDK says of an export that failed, some of it twice.
const FAILED_EXPORTS: [&str; 5] = [
    "BatchSpanProcessor.ExportError",
    "PeriodicReader.ExportError",
    "Export.Failed.DeadlineExceeded",
    "Export.Failed.Exhausted",
    "Export.Failed.NonRetryable",
];
/// Kinds that are told apart; further ones are logged as they come.
const KINDS: usize = 1_000;

/// A line of the source with what it says and its error: their words without numbers and ids, so that another error is another
/// kind, and so is the same one of another role.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Kind {
    line: Identifier,
    words: String,
    error: String,
}

#[derive(Debug, Clone)]
struct Seen {
    logged_at: Instant,
    last_at: Instant,
    held_back: u64,
}

/// The layer that keeps repeated lines back. Clones share what was seen.
#[derive(Debug, Clone)]
pub(super) struct Repeats {
    seen: Arc<Mutex<HashMap<Kind, Seen>>>,
    now: fn() -> Instant,
}

impl Default for Repeats {
    fn default() -> Self {
        Self { seen: Arc::default(), now: Instant::now }
    }
}

impl<S: Subscriber> Layer<S> for Repeats {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        if FAILED_EXPORTS.contains(&event.metadata().name()) {
            return false;
        }
        if *event.metadata().level() != Level::WARN {
            return true;
        }
        let mut told = Told::default();
        event.record(&mut told);
        let Some(error) = told.error else { return true };
        let kind = Kind { line: event.metadata().callsite(), words: steady(&told.message), error: steady(&error) };
        self.is_news(kind, (self.now)())
    }
}

impl Repeats {
    /// Whether a line of this kind is logged.
    fn is_news(&self, kind: Kind, now: Instant) -> bool {
        let mut all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seen) = all.get_mut(&kind) {
            seen.last_at = now;
            let news = now.duration_since(seen.logged_at) >= EACH;
            if news {
                seen.logged_at = now;
            } else {
                seen.held_back += 1;
            }
            return news;
        }
        if all.len() < KINDS {
            all.insert(kind, Seen { logged_at: now, last_at: now, held_back: 0 });
        }
        true
    }

    /// The kinds that have not come for a while, of which lines were held back.
    fn ended(&self, now: Instant) -> Vec<(Kind, Seen)> {
        let mut all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = all.extract_if(|_, seen| now.duration_since(seen.last_at) >= ENDED);
        ended.filter(|(_, seen)| seen.held_back > 0).collect()
    }

    /// Says what has ended. Not where a line is kept back: nothing can be logged from there.
    fn tell_ended(&self) {
        for (Kind { words, error, .. }, Seen { held_back, .. }) in self.ended((self.now)()) {
            tracing::info!(was = words, of = error, held_back, "what was logged again and again has ended");
        }
    }

    /// Says what has ended, until `stop`.
    pub(super) async fn watch(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            self.tell_ended();
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }
}

#[derive(Default)]
struct Told {
    message: String,
    error: Option<String>,
}

impl Visit for Told {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "error" => self.error = Some(value.to_owned()),
            "message" => value.clone_into(&mut self.message),
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = match field.name() {
            "error" => self.error.insert(String::new()),
            "message" => &mut self.message,
            _ => return,
        };
        // Writing into a text does not fail.
        let _ = write!(text, "{value:?}");
    }
}

/// Without what differs each time: numbers, and words with one in them, such as ids and addresses.
fn steady(error: &str) -> String {
    let word = |word: &str| if word.contains(|c: char| c.is_ascii_digit()) { "#".to_owned() } else { word.to_owned() };
    error.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::layer::SubscriberExt as _;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    static PASSED_MS: AtomicU64 = AtomicU64::new(0);

    fn now() -> Instant {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        *START + Duration::from_millis(PASSED_MS.load(Ordering::Relaxed))
    }

    fn fails(id: u64, error: &str) {
        tracing::warn!(listing_id = id, %error, "failed to record an outcome");
    }

    fn waits(role: &str) {
        tracing::warn!(error = "no connection within 15 s", "the {role} cannot reach the database");
    }

    #[test]
    fn a_failure_that_comes_again_is_logged_at_its_beginning_each_ten_seconds_and_at_its_end() {
        let (lines, repeats) = (Lines::default(), Repeats { now, ..Repeats::default() });
        let subscriber = tracing_subscriber::registry()
            .with(repeats.clone())
            .with(tracing_subscriber::fmt::layer().with_ansi(false).with_writer(lines.clone()));
        let _until_here = tracing::subscriber::set_default(subscriber);
        let said = || String::from_utf8_lossy(&lines.0.lock().unwrap()).into_owned();
        let count = |words: &str| said().matches(words).count();
        for tenth in 0..250 {
            fails(tenth, "no connection within 15 s");
            if tenth == 100 {
                fails(tenth, "the journal refused it");
            }
            tracing::warn!(unit = tenth, detail = "HTTP 503", "a push failed");
            PASSED_MS.fetch_add(100, Ordering::Relaxed);
            repeats.tell_ended();
        }
        // At 0, 10 and 20 s; another error and a line without one are never kept back.
        assert_eq!(count("no connection within"), 3, "{}", said());
        assert_eq!((count("the journal refused it"), count("a push failed")), (1, 250));
        PASSED_MS.fetch_add(20_000, Ordering::Relaxed);
        repeats.tell_ended();
        let end = said().lines().last().unwrap_or_default().to_owned();
        assert!(end.contains("has ended") && end.contains("held_back=247"), "{end}");
        assert!(end.contains("failed to record an outcome") && end.contains("no connection within # s"), "{end}");
        fails(1, "no connection within 15 s");
        assert!(said().lines().last().is_some_and(|line| line.contains("WARN")), "it begins anew");
        ["relay", "projector", "relay"].into_iter().for_each(waits);
        assert_eq!(count("cannot reach the database"), 2, "each role once: {}", said());
    }
}
