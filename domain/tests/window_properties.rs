//! The strict window: slots that rest for `RateLimit::rest_ms` never let more than n calls arrive in any window,
//! whatever the latencies are. A model of n slots, a sender that is as eager as it may be, and a receiver with a clock.

use chrono::{DateTime, TimeDelta, Utc};
use domain::window::RateLimit;
use proptest::prelude::*;

/// How one call goes: milliseconds to the receiver, back again, and how long the sender idles before it.
#[derive(Debug, Clone, Copy)]
struct Trip {
    there_ms: i64,
    back_ms: i64,
    idle_ms: i64,
}

fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).expect("a time")
}

fn ms(milliseconds: i64) -> TimeDelta {
    TimeDelta::milliseconds(milliseconds)
}

/// When each call arrives at the receiver, if a call starts as soon as a slot is free and is freed by its answer.
fn arrivals(limit: RateLimit, trips: &[Trip]) -> Vec<DateTime<Utc>> {
    let mut free_at = vec![start(); usize::try_from(limit.requests()).expect("a small limit")];
    let (mut now, mut arrivals) = (start(), Vec::new());
    for trip in trips {
        now += ms(trip.idle_ms);
        let slot = free_at.iter_mut().min().expect("a limit has a slot");
        now = now.max(*slot);
        let arrived = now + ms(trip.there_ms);
        *slot = arrived + ms(trip.back_ms) + ms(i64::from(limit.rest_ms()));
        arrivals.push(arrived);
    }
    arrivals
}

/// The most arrivals in any span of a window, both of its ends counted.
fn worst(limit: RateLimit, mut arrivals: Vec<DateTime<Utc>>) -> usize {
    arrivals.sort_unstable();
    let window = ms(i64::from(limit.window_ms()));
    (0..arrivals.len())
        .map(|first| arrivals[first..].iter().take_while(|at| **at - arrivals[first] <= window).count())
        .max()
        .unwrap_or(0)
}

/// Every way in which the first four of six calls can take none, some or a window's time there and back.
#[test]
fn no_small_case_overruns() {
    let latencies = [0_i64, 1, 60, 100];
    let ways = latencies.iter().flat_map(|there| latencies.iter().map(move |back| (*there, *back)));
    let ways: Vec<(i64, i64)> = ways.collect();
    for requests in 1..=3 {
        let limit = RateLimit::new(requests, 100).expect("a limit");
        for mut number in 0..ways.len().pow(4) {
            let trips: Vec<Trip> = (0..6)
                .map(|_| {
                    let (there_ms, back_ms) = ways[number % ways.len()];
                    number /= ways.len();
                    Trip { there_ms, back_ms, idle_ms: 0 }
                })
                .collect();
            assert!(worst(limit, arrivals(limit, &trips)) <= requests as usize, "{limit}: {trips:?}");
        }
    }
}

/// The same count of slots freed at the start of a call, as a log kept at send time does it, overruns: the model sees it.
#[test]
fn the_model_sees_an_overrun_where_there_is_one() {
    let limit = RateLimit::new(1, 100).expect("a limit");
    let slow_then_fast = [start() + ms(90), start() + ms(150)];
    assert_eq!(worst(limit, slow_then_fast.into()), 2);
}

#[test]
fn a_window_is_used_but_for_the_margin_and_the_round_trip() {
    let limit = RateLimit::default();
    let trips = [Trip { there_ms: 40, back_ms: 40, idle_ms: 0 }; 12 * 60];
    let arrivals = arrivals(limit, &trips);
    let span = *arrivals.last().expect("there are calls") - arrivals[0];
    let calls = arrivals.len() - 12;
    let use_of_budget = calls as f64 / (span.as_seconds_f64() / 10.0) / 12.0;
    assert!(use_of_budget > 0.98, "{use_of_budget:.3}");
}

fn trip() -> impl Strategy<Value = Trip> {
    let latency = || prop_oneof![6 => 0_i64..300, 1 => 0_i64..20_000];
    let idle = prop_oneof![6 => Just(0_i64), 1 => 0_i64..15_000];
    (latency(), latency(), idle).prop_map(|(there_ms, back_ms, idle_ms)| Trip { there_ms, back_ms, idle_ms })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_latency_overruns(
        requests in 1_u32..40,
        window_ms in 100_u32..12_000,
        trips in proptest::collection::vec(trip(), 1..400),
    ) {
        let limit = RateLimit::new(requests, window_ms).expect("a limit");
        prop_assert!(worst(limit, arrivals(limit, &trips)) <= requests as usize);
    }
}
