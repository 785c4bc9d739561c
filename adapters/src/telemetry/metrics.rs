//! What is counted and measured, named by OpenTelemetry's conventions where there is one. Nothing here names an
//! organisation, and targets are named for the [`MostTargets`] fullest queues alone, so that the number of series is
//! bounded.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter};

/// How many targets have series of their own.
#[derive(Debug, Clone, Copy)]
pub struct MostTargets;

impl MostTargets {
    /// Beyond these they are in the sums alone.
    pub const NUMBER: i64 = 20;
}

/// What the tables say at a moment; asked for every few seconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Gauges {
    /// Listings with something to send, and the age of the oldest in seconds, by the class of their target: its health,
    /// or `paused`.
    pub queues: BTreeMap<String, (u64, f64)>,
    /// The queues of the targets with the longest, by target.
    pub longest_queues: BTreeMap<String, u64>,
    /// Targets by health.
    pub targets: BTreeMap<String, u64>,
    /// The share of its slots that a class's targets use now, 0 to 1.
    pub window_use: BTreeMap<String, f64>,
    /// How many events each read model, and each stream of the relay, is behind, and for how many seconds.
    pub lags: BTreeMap<String, (u64, f64)>,
    /// Messages that could not be used.
    pub dead_letters: u64,
    /// Connections to Postgres that are used, and idle.
    pub connections: (u64, u64),
}

/// A call to a channel that has ended.
#[derive(Debug, Clone, Copy)]
pub struct ChannelCall<'a> {
    /// The host that was called.
    pub host: &'a str,
    /// HTTP method.
    pub method: &'a str,
    /// HTTP status; absent where no answer came.
    pub status: Option<u16>,
    /// How it ended, by the class of its outcome.
    pub class: &'a str,
    /// What it was for.
    pub purpose: &'a str,
    /// From its start to the answer, in seconds.
    pub seconds: f64,
}

/// A request to this service that was answered.
#[derive(Debug, Clone, Copy)]
pub struct ServedRequest<'a> {
    /// HTTP method.
    pub method: &'a str,
    /// The route as the router knows it, with its parameters' names; empty where none was meant for callers of the API or pages.
    pub route: &'a str,
    /// HTTP status.
    pub status: u16,
    /// Until its answer began, in seconds.
    pub seconds: f64,
}

struct Instruments {
    calls: Histogram<f64>,
    served: Histogram<f64>,
    throttled: Counter<u64>,
    attempts: Counter<u64>,
    syncs: Counter<u64>,
    commits: Histogram<u64>,
    gauges: Arc<Mutex<Gauges>>,
}

/// One set for each way out: gauges that several readers share show what one of them saw before.
static INSTRUMENTS: OnceLock<Vec<Instruments>> = OnceLock::new();

/// Bounds of durations, in seconds.
const SECONDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
/// Bounds of batches.
const COMMITS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 512.0];

pub(super) fn start(meters: &[Meter]) {
    // Started once: `Telemetry::start` sees to that.
    let _ = INSTRUMENTS.set(meters.iter().map(instruments).collect());
}

fn instruments(meter: &Meter) -> Instruments {
    let gauges = Arc::<Mutex<Gauges>>::default();
    let instruments = Instruments {
        calls: meter
            .f64_histogram("http.client.request.duration")
            .with_unit("s")
            .with_description("Calls to channels, from their start to the answer")
            .with_boundaries(SECONDS.to_vec())
            .build(),
        served: meter
            .f64_histogram("http.server.request.duration")
            .with_unit("s")
            .with_description("Requests to this service, until their answer began")
            .with_boundaries(SECONDS.to_vec())
            .build(),
        throttled: meter
            .u64_counter("distribution.channel.throttled")
            .with_description("Calls that a channel refused for their rate (HTTP 429)")
            .build(),
        attempts: meter
            .u64_counter("distribution.sync.attempts")
            .with_description("Tries at a listing, by how they ended")
            .build(),
        syncs: meter.u64_counter("distribution.syncs").with_description("Sync jobs that ended, by outcome").build(),
        commits: meter
            .u64_histogram("distribution.journal.batch.commits")
            .with_description("Commits that one statement of the journal wrote")
            .with_boundaries(COMMITS.to_vec())
            .build(),
        gauges: gauges.clone(),
    };
    observe_tables(meter, &gauges);
    instruments
}

fn started() -> impl Iterator<Item = &'static Instruments> {
    INSTRUMENTS.get().into_iter().flatten()
}

/// What of the tables' figures a gauge shows, a value for each series.
type Of<T> = fn(&Gauges) -> Vec<(T, Vec<KeyValue>)>;

/// Gauges that show what was observed last.
fn observe_tables(meter: &Meter, gauges: &Arc<Mutex<Gauges>>) {
    let counts = |name: &'static str, description: &'static str, of: Of<u64>| {
        let gauges = gauges.clone();
        let gauge = meter.u64_observable_gauge(name).with_description(description);
        gauge
            .with_callback(move |observer| of(&read(&gauges)).iter().for_each(|(n, of)| observer.observe(*n, of)))
            .build()
    };
    counts("distribution.queue.depth", "Listings with something to send, by class of target", |gauges| {
        gauges.queues.iter().map(|(class, (depth, _))| (*depth, labels("target.class", class))).collect()
    });
    counts("distribution.target.queue.depth", "The same of the targets with the longest queues", |gauges| {
        gauges.longest_queues.iter().map(|(target, depth)| (*depth, labels("target.id", target))).collect()
    });
    counts("distribution.targets", "Targets by health", |gauges| {
        gauges.targets.iter().map(|(health, count)| (*count, labels("target.health", health))).collect()
    });
    counts("distribution.lag.events", "Events that a reader of the journal is behind", |gauges| {
        gauges.lags.iter().map(|(reader, (events, _))| (*events, labels("reader", reader))).collect()
    });
    counts("distribution.dead_letters", "Messages that could not be used", |gauges| {
        vec![(gauges.dead_letters, vec![])]
    });
    counts("db.client.connection.count", "Connections of the pool", |gauges| {
        let state = |state| labels("db.client.connection.state", state);
        vec![(gauges.connections.0, state("used")), (gauges.connections.1, state("idle"))]
    });
    let measures = |name: &'static str, unit: &'static str, description: &'static str, of: Of<f64>| {
        let gauges = gauges.clone();
        let gauge = meter.f64_observable_gauge(name).with_unit(unit).with_description(description);
        gauge
            .with_callback(move |observer| of(&read(&gauges)).iter().for_each(|(n, of)| observer.observe(*n, of)))
            .build()
    };
    measures("distribution.queue.age", "s", "How long the oldest sync has waited, by class of target", |gauges| {
        gauges.queues.iter().map(|(class, (_, age))| (*age, labels("target.class", class))).collect()
    });
    measures("distribution.lag.time", "s", "How long a reader of the journal has been behind", |gauges| {
        gauges.lags.iter().map(|(reader, (_, seconds))| (*seconds, labels("reader", reader))).collect()
    });
    measures("distribution.window.use", "1", "The share of their slots that targets use, by class", |gauges| {
        gauges.window_use.iter().map(|(class, share)| (*share, labels("target.class", class))).collect()
    });
}

fn read(gauges: &Mutex<Gauges>) -> Gauges {
    gauges.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn labels(name: &'static str, value: &str) -> Vec<KeyValue> {
    vec![KeyValue::new(name, value.to_owned())]
}

/// Shows what the tables say now, until the next time.
pub fn observe(now: &Gauges) {
    for instruments in started() {
        *instruments.gauges.lock().unwrap_or_else(PoisonError::into_inner) = now.clone();
    }
}

/// A call to a channel has ended.
pub fn call_made(call: ChannelCall<'_>) {
    let mut labels = vec![
        KeyValue::new("http.request.method", call.method.to_owned()),
        KeyValue::new("server.address", call.host.to_owned()),
        KeyValue::new("distribution.call.purpose", call.purpose.to_owned()),
    ];
    match call.status {
        Some(status) => labels.push(KeyValue::new("http.response.status_code", i64::from(status))),
        None => labels.push(KeyValue::new("error.type", call.class.to_owned())),
    }
    for instruments in started() {
        instruments.calls.record(call.seconds, &labels);
        if call.status == Some(429) {
            instruments.throttled.add(1, &[]);
        }
    }
}

/// A request to this service was answered.
pub fn request_served(request: ServedRequest<'_>) {
    let labels = [
        KeyValue::new("http.request.method", request.method.to_owned()),
        KeyValue::new("http.route", request.route.to_owned()),
        KeyValue::new("http.response.status_code", i64::from(request.status)),
    ];
    for instruments in started() {
        instruments.served.record(request.seconds, &labels);
    }
}

/// A try at a listing has ended, with this class or without a call.
pub fn sync_tried(class: &str) {
    for instruments in started() {
        instruments.attempts.add(1, &labels("class", class));
    }
}

/// A sync job has ended.
pub fn sync_done(outcome: &str) {
    for instruments in started() {
        instruments.syncs.add(1, &labels("outcome", outcome));
    }
}

/// One statement of the journal wrote so many commits.
pub fn commits_written(commits: usize) {
    for instruments in started() {
        instruments.commits.record(u64::try_from(commits).unwrap_or(u64::MAX), &[]);
    }
}
