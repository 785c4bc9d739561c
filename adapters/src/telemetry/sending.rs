//! Whether what is sent arrives: a receiver that is away is told once and each five minutes with a count, and so is its return. The
//! SDK says so at each export; what it says is not logged (`services/src/telemetry/repeats.rs`).

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

/// A failure is told once in so long.
const EACH: Duration = Duration::from_secs(300);

/// An exporter whose failures are told.
#[derive(Debug)]
pub(super) struct Told<E> {
    exporter: E,
    /// What it sends, as the log calls it.
    what: &'static str,
    seen: Mutex<Seen>,
}

impl<E> Told<E> {
    pub(super) fn new(exporter: E, what: &'static str) -> Self {
        Self { exporter, what, seen: Mutex::default() }
    }

    fn note(&self, end: &OTelSdkResult) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (news, what) = (seen.note(end.is_ok(), Instant::now()), self.what);
        drop(seen);
        match (news, end) {
            (Some(failures), Err(error)) => {
                tracing::warn!(error = %error, failures, "{what} do not reach their receiver: those of meanwhile are lost");
            }
            (Some(failures), Ok(())) => tracing::info!(failures, "{what} reach their receiver again"),
            (None, _) => {}
        }
    }
}

/// What came of the exports before.
#[derive(Debug, Default)]
struct Seen {
    /// A failure was told, and nothing has arrived since.
    is_away: bool,
    told_at: Option<Instant>,
    /// Failures since the last line.
    failures: u64,
}

impl Seen {
    /// Notes the end of an export; the number of failures where that is to be told. One that fails every now and then is told no more
    /// often than one that is away.
    fn note(&mut self, arrived: bool, now: Instant) -> Option<u64> {
        let is_due = self.told_at.is_none_or(|at| now.duration_since(at) >= EACH);
        self.failures += u64::from(!arrived);
        let is_news = if arrived { self.is_away } else { is_due };
        if !is_news {
            return None;
        }
        self.is_away = !arrived;
        if !arrived {
            self.told_at = Some(now);
        }
        Some(std::mem::take(&mut self.failures))
    }
}

impl<E: SpanExporter> SpanExporter for Told<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let end = self.exporter.export(batch).await;
        self.note(&end);
        end
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl<E: PushMetricExporter> PushMetricExporter for Told<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let end = self.exporter.export(metrics).await;
        self.note(&end);
        end
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.exporter.temporality()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_that_is_away_is_told_at_once_each_five_minutes_and_at_its_return() {
        let (mut seen, began) = (Seen::default(), Instant::now());
        let mut at = |second: u64, arrived: bool| seen.note(arrived, began + Duration::from_secs(second));
        assert_eq!((at(0, true), at(5, false)), (None, Some(1)));
        let told: Vec<(u64, u64)> =
            (10..=1_000).step_by(5).filter_map(|second| Some(second).zip(at(second, false))).collect();
        assert_eq!(told, [(305, 60), (605, 60), (905, 60)]);
        assert_eq!((at(1_005, true), at(1_010, true)), (Some(19), None));
        // Now and then is no news each time.
        assert_eq!((at(1_015, false), at(1_020, true), at(1_025, false)), (None, None, None));
        assert_eq!((at(1_300, false), at(1_305, true)), (Some(3), Some(0)));
    }
}
