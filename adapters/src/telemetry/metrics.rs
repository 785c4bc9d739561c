//! What is counted and measured, named by OpenTelemetry's conventions where there is one. Nothing here names an
//! organisation, and targets are named for the [`MostTargets`] fullest queues alone, so that the number of series is
//! bounded.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter};
use opentelemetry_sdk::metrics::{Instrument, Stream};

/// How many targets have series of their own.
#[derive(Debug, Clone, Copy)]
pub struct MostTargets;

impl MostTargets {
    /// Beyond these they are in the sums alone.
    pub const NUMBER: i64 = 20;
}

/// What the tables and streams say, as it was read last.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Gauges {
    /// Listings with something to send, and for how many seconds a channel has been behind at the most, by the class of their
    /// target: its health, or `paused`, or `circuit_open`. Those of listings that are paused are a class of their own.
    pub queues: BTreeMap<String, (u64, f64)>,
    /// The queues of the targets with the longest, by target.
    pub longest_queues: BTreeMap<String, u64>,
    /// Targets by health.
    pub targets: BTreeMap<String, u64>,
    /// Active targets that are left alone because they failed again and again, and for how many seconds the first of them has been, by
    /// health.
    pub open_circuits: BTreeMap<String, (u64, f64)>,
    /// The share of their slots that windows use now, 0 to 1, by the kind of their scope (`target`, `account`,
    /// `egress`); those of targets by the target's class, too.
    pub window_use: BTreeMap<(String, Option<String>), f64>,
    /// How many events each read model, and each stream of the relay, is behind, and for how many seconds.
    pub lags: BTreeMap<String, (u64, f64)>,
    /// Messages that could not be used.
    pub dead_letters: u64,
    /// Unit changes that are not taken in.
    pub untaken: Untaken,
    /// Connections to Postgres that are used, and idle, by pool.
    pub connections: BTreeMap<&'static str, (u64, u64)>,
    /// When whom these figures are from was asked last with success.
    pub read_at: BTreeMap<&'static str, Instant>,
}

/// Unit changes that are published and not taken in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Untaken {
    /// No intake was given them.
    pub waiting: u64,
    /// An intake was, and has not answered.
    pub unanswered: u64,
    /// The stream has dropped them before an intake was given them; those since the last that was given. At least.
    pub dropped: u64,
}

/// A call to a channel that has ended.
#[derive(Debug, Clone, Copy)]
pub struct ChannelCall<'a> {
    /// The host that was called.
    pub host: &'a str,
    /// Its port, that of the scheme where the address names none.
    pub port: Option<u16>,
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
    /// The route as the router knows it, with its parameters' names; empty where there is none.
    pub route: &'a str,
    /// HTTP status.
    pub status: u16,
    /// Until its answer began, in seconds.
    pub seconds: f64,
}

struct Instruments {
    calls: Histogram<f64>,
    starts: Histogram<f64>,
    served: Histogram<f64>,
    throttled: Counter<u64>,
    attempts: Counter<u64>,
    syncs: Counter<u64>,
    commits: Histogram<u64>,
    verdicts: Counter<u64>,
    gauges: Arc<Mutex<Gauges>>,
}

/// One set for each way out: gauges that several readers share show what one of them saw before.
static INSTRUMENTS: OnceLock<Vec<Instruments>> = OnceLock::new();

/// What an intake of this process has found dropped, as it was given later changes, and when last.
static FOUND_DROPPED: Mutex<Option<(u64, Instant)>> = Mutex::new(None);
/// So long that is shown: each who reads metrics has read them by then.
const SHOWN: Duration = Duration::from_secs(600);

/// Bounds of durations, in seconds.
const SECONDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
/// The name by OpenTelemetry's conventions.
const CONNECTIONS: &str = "db.client.connection.count";
/// Bounds of batches.
const COMMITS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 512.0];

/// Prometheus keeps the ending `_count` for histograms, so what OpenTelemetry calls by it is called otherwise there.
pub(super) fn for_prometheus(instrument: &Instrument) -> Option<Stream> {
    let is_count = instrument.name() == CONNECTIONS;
    is_count.then(|| Stream::builder().with_name("db.client.connections").build().ok()).flatten()
}

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
        starts: meter
            .f64_histogram("distribution.call.start.delay")
            .with_unit("s")
            .with_description("Calls to channels, from the grant of their slot to their start")
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
            .with_unit("{call}")
            .with_description("Calls that a channel refused for their rate (HTTP 429)")
            .build(),
        attempts: meter
            .u64_counter("distribution.sync.attempts")
            .with_unit("{attempt}")
            .with_description("Tries at a listing, by how they ended")
            .build(),
        syncs: meter
            .u64_counter("distribution.syncs")
            .with_unit("{sync}")
            .with_description("Ends of sync jobs, by outcome")
            .build(),
        commits: meter
            .u64_histogram("distribution.journal.batch.commits")
            .with_unit("{commit}")
            .with_description("Commits that one statement of the journal wrote")
            .with_boundaries(COMMITS.to_vec())
            .build(),
        verdicts: meter
            .u64_counter("distribution.intake.verdicts")
            .with_unit("{change}")
            .with_description("Unit changes that the intake is done with, by what became of them")
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

/// Gauges that show what was observed last; the age of that grows while nobody can be asked.
fn observe_tables(meter: &Meter, gauges: &Arc<Mutex<Gauges>>) {
    let counts = |name: &'static str, unit: &'static str, description: &'static str, of: Of<u64>| {
        let gauges = gauges.clone();
        let gauge = meter.u64_observable_gauge(name).with_unit(unit).with_description(description);
        gauge
            .with_callback(move |observer| of(&read(&gauges)).iter().for_each(|(n, of)| observer.observe(*n, of)))
            .build()
    };
    counts(
        "distribution.queue.depth",
        "{listing}",
        "Listings with something to send, by class of target; those of paused listings apart",
        |gauges| gauges.queues.iter().map(|(class, (depth, _))| (*depth, labels("target.class", class))).collect(),
    );
    let most = "The same of the targets with the longest queues";
    counts("distribution.target.queue.depth", "{listing}", most, |gauges| {
        gauges.longest_queues.iter().map(|(target, depth)| (*depth, labels("target.id", target))).collect()
    });
    counts("distribution.targets", "{target}", "Targets by health", |gauges| {
        gauges.targets.iter().map(|(health, count)| (*count, labels("target.health", health))).collect()
    });
    let open = "Active targets that failed again and again and are left alone";
    counts("distribution.circuits.open", "{target}", open, |gauges| {
        gauges.open_circuits.iter().map(|(health, (open, _))| (*open, labels("target.health", health))).collect()
    });
    counts("distribution.lag.events", "{event}", "Events that a reader of the journal is behind", |gauges| {
        gauges.lags.iter().map(|(reader, (events, _))| (*events, labels("reader", reader))).collect()
    });
    counts("distribution.dead_letters", "{message}", "Messages that could not be used", |gauges| {
        vec![(gauges.dead_letters, vec![])]
    });
    let waiting = "Unit changes that are not taken in, given to an intake or not";
    counts("distribution.intake.waiting", "{change}", waiting, |gauges| {
        let state = |state| labels("intake.state", state);
        vec![(gauges.untaken.waiting, state("waiting")), (gauges.untaken.unanswered, state("unanswered"))]
    });
    let dropped = "Unit changes that NATS dropped before they were taken in, at least";
    counts("distribution.intake.dropped", "{change}", dropped, |gauges| {
        vec![(gauges.untaken.dropped.max(found_lately()), vec![])]
    });
    counts(CONNECTIONS, "{connection}", "Connections to Postgres, by pool", |gauges| {
        let of = |pool: &'static str, state: &'static str| {
            let state = KeyValue::new("db.client.connection.state", state);
            vec![KeyValue::new("db.client.connection.pool.name", pool), state]
        };
        let pools = gauges.connections.iter();
        pools.flat_map(|(&pool, &(used, idle))| [(used, of(pool, "used")), (idle, of(pool, "idle"))]).collect()
    });
    observe_measures(meter, gauges);
}

/// Those of them that are no counts.
fn observe_measures(meter: &Meter, gauges: &Arc<Mutex<Gauges>>) {
    let measures = |name: &'static str, unit: &'static str, description: &'static str, of: Of<f64>| {
        let gauges = gauges.clone();
        let gauge = meter.f64_observable_gauge(name).with_unit(unit).with_description(description);
        gauge
            .with_callback(move |observer| of(&read(&gauges)).iter().for_each(|(n, of)| observer.observe(*n, of)))
            .build()
    };
    let age = "How long channels have been behind at the most: since the first change that waits, by class of target";
    measures("distribution.queue.age", "s", age, |gauges| {
        gauges.queues.iter().map(|(class, (_, age))| (*age, labels("target.class", class))).collect()
    });
    measures(
        "distribution.circuits.age",
        "s",
        "How long the first target that is left alone has been, by health",
        |gauges| {
            gauges.open_circuits.iter().map(|(health, (_, age))| (*age, labels("target.health", health))).collect()
        },
    );
    measures("distribution.lag.time", "s", "How long a reader of the journal has been behind", |gauges| {
        gauges.lags.iter().map(|(reader, (_, seconds))| (*seconds, labels("reader", reader))).collect()
    });
    measures("distribution.window.use", "1", "The share of their slots that windows use, by kind of scope", |gauges| {
        let of = |(scope, class): &(String, Option<String>)| {
            let class = class.iter().flat_map(|class| labels("target.class", class));
            labels("window.scope", scope).into_iter().chain(class).collect::<Vec<_>>()
        };
        gauges.window_use.iter().map(|(window, share)| (*share, of(window))).collect()
    });
    measures("distribution.figures.age", "s", "How long ago Postgres or NATS was asked for what is shown", |gauges| {
        gauges.read_at.iter().map(|(source, at)| (at.elapsed().as_secs_f64(), labels("source", source))).collect()
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
    if let Some(port) = call.port {
        labels.push(KeyValue::new("server.port", i64::from(port)));
    }
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

/// A call to a channel starts, so long after its slot was granted: what the process itself added to its wait.
pub fn call_starts(after_grant: Duration) {
    for instruments in started() {
        instruments.starts.record(after_grant.as_secs_f64(), &[]);
    }
}

/// A request to this service was answered.
pub fn request_served(request: ServedRequest<'_>) {
    let mut labels = vec![
        KeyValue::new("http.request.method", request.method.to_owned()),
        KeyValue::new("http.response.status_code", i64::from(request.status)),
        // Whoever stands in front may speak TLS; this process does not.
        KeyValue::new("url.scheme", "http"),
    ];
    if !request.route.is_empty() {
        labels.push(KeyValue::new("http.route", request.route.to_owned()));
    }
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

/// A sync job has ended; `again` is of one that had ended before. Only those have the label: whoever passes it over counts what was
/// done, and whoever leaves them out counts each wish for a sync once.
pub fn sync_done(outcome: &str, again: bool) {
    let mut labels = labels("outcome", outcome);
    if again {
        labels.push(KeyValue::new("ended.again", true));
    }
    for instruments in started() {
        instruments.syncs.add(1, &labels);
    }
}

/// One statement of the journal wrote so many commits.
pub fn commits_written(commits: usize) {
    for instruments in started() {
        instruments.commits.record(u64::try_from(commits).unwrap_or(u64::MAX), &[]);
    }
}

/// The intake is done with so many unit changes, of which this became.
pub fn intake_done(verdict: &str, changes: u64) {
    for instruments in started() {
        instruments.verdicts.add(changes, &labels("verdict", verdict));
    }
}

/// An intake has found that NATS dropped so many unit changes, which can no longer be seen once it was given later ones.
pub fn found_dropped(changes: u64) {
    // One task tells of it.
    let all = found_lately() + changes;
    *FOUND_DROPPED.lock().unwrap_or_else(PoisonError::into_inner) = Some((all, Instant::now()));
}

fn found_lately() -> u64 {
    let found = *FOUND_DROPPED.lock().unwrap_or_else(PoisonError::into_inner);
    found.filter(|(_, at)| at.elapsed() < SHOWN).map_or(0, |(changes, _)| changes)
}
