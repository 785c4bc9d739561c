//! What the benchmarks ask of the channel itself, below `/_bench/`: neither counted nor delayed.

use std::fmt::Write as _;

use bytes::Bytes;

use super::state::{Latency, State};

pub fn answer(state: &State, path: &str, body: &Bytes) -> Bytes {
    match path {
        "writes" => {
            let account = serde_json::from_slice(body).unwrap_or_default();
            let writes: u64 = state.writes.borrow().get(&account).copied().unwrap_or_default();
            Bytes::from(writes.to_string())
        }
        "arrivals" => arrivals(state),
        "reset" => {
            state.arrivals.borrow_mut().clear();
            state.writes.borrow_mut().clear();
            Bytes::from_static(b"0")
        }
        "latencies" => {
            let latencies: Vec<Latency> = serde_json::from_slice(body).unwrap_or_default();
            let known = latencies.len().to_string();
            state.latencies.borrow_mut().extend(latencies.into_iter().map(|latency| (latency.account, latency)));
            Bytes::from(known)
        }
        _ => Bytes::from_static(b"?"),
    }
}

/// One line for each: microseconds, account, listing, kind.
fn arrivals(state: &State) -> Bytes {
    let mut text = String::new();
    for arrival in state.arrivals.borrow().iter() {
        let _ = writeln!(text, "{} {} {} {}", arrival.at_us, arrival.account, arrival.listing, arrival.kind);
    }
    Bytes::from(text)
}
