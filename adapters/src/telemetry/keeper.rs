//! Which traces are kept. Of the others the spans of this process are held for a while, within bounds: where something of such a
//! trace fails, they are sent after all, and so is what follows. Nothing here waits for anybody.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry::trace::{Link, SpanContext, SpanKind, TraceContextExt as _, TraceId, TraceState};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SamplingDecision, SamplingResult, ShouldSample, Span, SpanData, SpanProcessor};
use tokio::sync::mpsc;

/// Spans that are held at the same time: some 30 to 50 MB.
const MOST: usize = 32_768;
/// Those of one trace, the first ones: what is sent at once has to have room in the sender's queue.
const MOST_OF_ONE: usize = 256;
/// How long they are held.
const LONGEST: Duration = Duration::from_secs(600);
/// Traces that make room for one span at most: whoever ends it does not wait for thousands that are old.
const MOST_AT_ONCE: usize = 64;
/// Traces that are known to be kept after all, the newest ones.
const MOST_KEPT: usize = 8_192;
/// Those of them that others are still to hear of.
const MOST_UNTOLD: usize = 1_024;

/// Decides about spans when they begin, and again when they have ended.
#[derive(Debug, Clone)]
pub(super) struct Keeper(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sender: Box<dyn SpanProcessor>,
    ratio: f64,
    untold: mpsc::Sender<String>,
    held: Mutex<Held>,
}

impl Keeper {
    /// Sends what is kept by `sender`, which knows its resource; of the traces that begin here the share `ratio`. The
    /// receiver is told of those that are kept after all.
    pub(super) fn new(sender: impl SpanProcessor + 'static, ratio: f64) -> (Self, mpsc::Receiver<String>) {
        let (untold, told) = mpsc::channel(MOST_UNTOLD);
        (Self(Arc::new(Inner { sender: Box::new(sender), ratio, untold, held: Mutex::default() })), told)
    }

    /// A trace is kept from here on, whatever was decided where it began. What is held of it is sent after the next of its spans,
    /// which is the one that failed: of many at once, the sender may have no room for all.
    pub(super) fn keep(&self, trace: TraceId) {
        if self.held().remember(trace) {
            // Where nobody hears of it in time, others keep less.
            let _ = self.0.untold.try_send(trace.to_string());
        }
    }

    /// The same in this process alone, with what is held of it.
    pub(super) fn keep_here(&self, trace: TraceId) {
        let held = {
            let mut held = self.held();
            held.remember(trace);
            held.take(trace)
        };
        held.into_iter().for_each(|span| self.send(span));
    }

    pub(super) fn is_kept(&self, trace: TraceId) -> bool {
        self.held().kept.contains(&trace)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a span that was not meant to be.
    fn send(&self, mut span: SpanData) {
        let context = &span.span_context;
        span.span_context = SpanContext::new(
            context.trace_id(),
            context.span_id(),
            context.trace_flags().with_sampled(true),
            context.is_remote(),
            context.trace_state().clone(),
        );
        self.0.sender.on_end(span);
    }
}

impl ShouldSample for Keeper {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        _name: &str,
        _kind: &SpanKind,
        _attributes: &[KeyValue],
        _links: &[Link],
    ) -> SamplingResult {
        let parent = parent.map(|context| context.span().span_context().clone()).filter(SpanContext::is_valid);
        let meant = parent.map_or_else(|| rand::random::<f64>() < self.0.ratio, |parent| parent.is_sampled());
        let kept = meant || self.is_kept(trace_id);
        let decision = if kept { SamplingDecision::RecordAndSample } else { SamplingDecision::RecordOnly };
        SamplingResult { decision, attributes: Vec::new(), trace_state: TraceState::default() }
    }
}

impl SpanProcessor for Keeper {
    fn on_start(&self, _span: &mut Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        let trace = span.span_context.trace_id();
        if span.span_context.is_sampled() {
            self.0.sender.on_end(span);
            // Whoever carried it here has seen a failure in it since.
            let late = self.held().spans.contains_key(&trace);
            if late {
                self.keep_here(trace);
            }
            return;
        }
        let kept = self.held().hold(span, Instant::now());
        if let Some(span) = kept {
            self.send(span);
            self.keep_here(trace);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.sender.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.sender.shutdown_with_timeout(timeout)
    }
}

/// What is held, and what is not to be.
#[derive(Debug, Default)]
struct Held {
    spans: HashMap<TraceId, Vec<SpanData>>,
    /// How many that are.
    count: usize,
    /// Their traces with when each began here, the oldest first; some are released already.
    order: VecDeque<(TraceId, Instant)>,
    kept: HashSet<TraceId>,
    /// The same, the oldest first.
    kept_order: VecDeque<TraceId>,
}

impl Held {
    /// Holds a span; gives it back where its trace is kept.
    fn hold(&mut self, span: SpanData, now: Instant) -> Option<SpanData> {
        let trace = span.span_context.trace_id();
        if self.kept.contains(&trace) {
            return Some(span);
        }
        self.make_room(now);
        let order = &mut self.order;
        let held = self.spans.entry(trace).or_insert_with(|| {
            order.push_back((trace, now));
            // Most traces are a single span.
            Vec::with_capacity(1)
        });
        if held.len() < MOST_OF_ONE {
            held.push(span);
            self.count += 1;
        }
        None
    }

    fn make_room(&mut self, now: Instant) {
        for _ in 0..MOST_AT_ONCE {
            let Some((oldest, began)) = self.order.front().copied() else { break };
            let full = self.count >= MOST || self.order.len() >= MOST;
            if !full && now.saturating_duration_since(began) < LONGEST {
                break;
            }
            self.order.pop_front();
            self.count -= self.spans.remove(&oldest).map_or(0, |spans| spans.len());
        }
    }

    /// Knows a trace as one that is kept. Gives whether that is news.
    fn remember(&mut self, trace: TraceId) -> bool {
        if !self.kept.insert(trace) {
            return false;
        }
        self.kept_order.push_back(trace);
        if self.kept_order.len() > MOST_KEPT
            && let Some(oldest) = self.kept_order.pop_front()
        {
            self.kept.remove(&oldest);
        }
        true
    }

    /// What is held of a trace.
    fn take(&mut self, trace: TraceId) -> Vec<SpanData> {
        let spans = self.spans.remove(&trace).unwrap_or_default();
        self.count -= spans.len();
        spans
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanBuilder, SpanId, TraceFlags, Tracer as _, TracerProvider as _};
    use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

    use super::*;

    #[derive(Debug, Clone, Default)]
    struct Sent(Arc<Mutex<Vec<SpanData>>>);

    impl Sent {
        /// The names of what was sent, in order.
        fn names(&self) -> Vec<String> {
            let sent = self.0.lock().unwrap();
            assert!(sent.iter().all(|span| span.span_context.is_sampled()), "a receiver would pass it over");
            sent.iter().map(|span| span.name.to_string()).collect()
        }
    }

    impl SpanProcessor for Sent {
        fn on_start(&self, _span: &mut Span, _context: &Context) {}
        fn on_end(&self, span: SpanData) {
            self.0.lock().unwrap().push(span);
        }
        fn force_flush(&self) -> OTelSdkResult {
            Ok(())
        }
        fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
            Ok(())
        }
    }

    struct Process {
        sent: Sent,
        keeper: Keeper,
        told: mpsc::Receiver<String>,
        tracer: SdkTracer,
    }

    impl Process {
        fn new() -> Self {
            let sent = Sent::default();
            let (keeper, told) = Keeper::new(sent.clone(), 0.0);
            let provider = SdkTracerProvider::builder();
            let provider = provider.with_sampler(keeper.clone()).with_span_processor(keeper.clone()).build();
            Self { sent, keeper, told, tracer: provider.tracer("test") }
        }

        /// A span of a trace with this flag, which ends at once.
        fn span(&self, name: &str, trace: u128, flag: u8) {
            let (flags, state) = (TraceFlags::new(flag), TraceState::default());
            let parent = SpanContext::new(TraceId::from(trace), SpanId::from(1), flags, true, state);
            let context = Context::new().with_remote_span_context(parent);
            drop(self.tracer.build_with_context(SpanBuilder::from_name(name.to_owned()), &context));
        }
    }

    #[test]
    fn what_came_before_a_failure_and_what_follows_it_are_sent() {
        let mut process = Process::new();
        process.span("of another", 2, 0);
        process.span("before", 1, 0);
        assert!(process.sent.names().is_empty());
        process.keeper.keep(TraceId::from(1));
        process.span("failed", 1, 0);
        process.span("after", 1, 0);
        // First of all what failed, whatever room there is.
        assert_eq!(process.sent.names(), ["failed", "before", "after"]);
        // Others hear of it once.
        process.keeper.keep(TraceId::from(1));
        assert_eq!(process.told.try_recv().ok(), Some(TraceId::from(1).to_string()));
        assert!(process.told.try_recv().is_err());
    }

    #[test]
    fn a_flag_that_another_process_has_set_releases_what_is_held() {
        let mut process = Process::new();
        process.span("before", 1, 0);
        process.span("after", 1, 1);
        process.span("beside", 1, 0);
        assert_eq!(process.sent.names(), ["after", "before", "beside"]);
        // A trace that was to be kept from its beginning is none to remember.
        process.span("meant", 2, 1);
        assert!(!process.keeper.is_kept(TraceId::from(2)));
        assert!(process.told.try_recv().is_err(), "whoever has set it has told of it");
    }

    #[test]
    fn the_oldest_traces_make_room_and_no_trace_has_all_of_it() {
        let process = Process::new();
        process.span("the oldest", 1, 0);
        for _ in 0..2 * MOST_OF_ONE {
            process.span("one of many", 2, 0);
        }
        assert_eq!(process.keeper.held().count, 1 + MOST_OF_ONE);
        for trace in 3..3 + MOST as u128 {
            process.span("other", trace, 0);
        }
        let (held, traces, order) = {
            let held = process.keeper.held();
            (held.count, held.spans.len(), held.order.len())
        };
        assert_eq!((held, traces, order), (MOST, MOST, MOST));
        process.keeper.keep_here(TraceId::from(1));
        process.keeper.keep_here(TraceId::from(2));
        assert!(process.sent.names().is_empty(), "they had to make room");
        process.keeper.keep_here(TraceId::from(MOST as u128));
        assert_eq!(process.sent.names(), ["other"]);
    }

    #[test]
    fn what_is_old_is_let_go_and_so_is_the_memory_of_what_is_kept() {
        let process = Process::new();
        process.span("old", 1, 0);
        process.keeper.held().make_room(Instant::now() + LONGEST);
        process.keeper.keep_here(TraceId::from(1));
        assert!(process.sent.names().is_empty());
        for trace in 2..2 + MOST_KEPT as u128 {
            process.keeper.keep(TraceId::from(trace));
        }
        assert!(!process.keeper.is_kept(TraceId::from(1)) && process.keeper.is_kept(TraceId::from(2)));
        assert_eq!(process.keeper.held().kept.len(), MOST_KEPT);
    }
}
