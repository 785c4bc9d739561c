//! A trace of which something failed is kept, whatever process it was in: each tells the others over core NATS, and sends what it
//! holds of those that it hears of. A hint: who does not hear of a trace in time has kept less of it, and no work waits.

use adapters::nats::Nats;
use adapters::telemetry::keep_as_told;
use futures::StreamExt as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Tells of what is `kept` here, and hears of the others, until `stop`.
pub(super) async fn share(mut kept: mpsc::Receiver<String>, nats: Nats, stop: CancellationToken) {
    let subject = nats.prefix.kept_traces();
    let mut others = match nats.client.subscribe(subject.clone()).await {
        Ok(others) => others,
        Err(error) => return tracing::warn!(error = %error, "failed to hear of traces that other processes keep"),
    };
    loop {
        let told = tokio::select! {
            () = stop.cancelled() => return,
            trace = kept.recv() => trace,
            heard = others.next() => {
                let Some(heard) = heard else { return };
                // What it has told itself comes back, too, and is no news.
                if let Ok(trace) = str::from_utf8(&heard.payload) {
                    keep_as_told(trace);
                }
                continue;
            }
        };
        let Some(trace) = told else { return };
        // While NATS is away it takes no more at some time.
        tokio::select! {
            () = stop.cancelled() => return,
            sent = nats.client.publish(subject.clone(), trace.into()) => {
                if let Err(error) = sent {
                    tracing::debug!(error = %error, "failed to tell that a trace is kept");
                }
            }
        }
    }
}
