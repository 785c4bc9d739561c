//! NATS JetStream: transport, never truth. Every stream can be lost and nothing is.
//!
//! Streams and consumers stand as files in `nats/`; subjects are built in [`subject`] alone.

pub mod batch;
pub mod dead_letters;
pub mod definition;
pub mod in_journal;
pub mod intake;
mod marks;
pub mod owner;
mod placement;
pub mod size;
pub mod subject;
pub mod topology;

use std::time::Duration;

use async_nats::jetstream;

pub use subject::Prefix;

fn options(name: &str) -> async_nats::ConnectOptions {
    async_nats::ConnectOptions::new()
        .name(name)
        .connection_timeout(Duration::from_secs(5))
        .request_timeout(Some(Duration::from_secs(10)))
        .ping_interval(Duration::from_secs(10))
        .reconnect_delay_callback(|attempts| Duration::from_millis(std::cmp::min(attempts as u64 * 100, 2_000)))
}

fn servers(url: &str) -> Vec<&str> {
    url.split(',').map(str::trim).collect()
}

/// A connection with its JetStream context and the prefix that all names carry.
#[derive(Debug, Clone)]
pub struct Nats {
    /// Core NATS.
    pub client: async_nats::Client,
    /// JetStream.
    pub jetstream: jetstream::Context,
    /// What every stream and subject begins with; empty in production.
    pub prefix: Prefix,
    /// On how many servers of a cluster each stream is; `None` leaves that of a stream that is there as it is.
    pub replicas: Option<usize>,
    owner: owner::Owner,
}

impl Nats {
    /// Connects, and goes on reconnecting for as long as it lives. `url` may name several servers of a cluster, with
    /// commas in between.
    pub async fn connect(url: &str, prefix: Prefix, name: &str) -> Result<Self, async_nats::ConnectError> {
        Ok(Self::over(options(name).connect(servers(url)).await?, prefix))
    }

    /// The same for whoever stops waiting after `within`: an address that is silent leaves time for the others. It has its share of
    /// that, no more than half (a name may have several addresses) and no less than a second (a slow one is not taken for silent).
    pub async fn connect_within(
        within: Duration,
        url: &str,
        prefix: Prefix,
        name: &str,
    ) -> Result<Self, async_nats::ConnectError> {
        let servers = servers(url);
        let share = within / u32::try_from(servers.len().max(2)).unwrap_or(u32::MAX);
        let share = share.max(Duration::from_secs(1));
        Ok(Self::over(options(name).connection_timeout(share).connect(servers).await?, prefix))
    }

    /// The first without waiting: the connection is made in the background, as soon as a server is there. What is asked before
    /// that fails when its time is over.
    pub async fn connect_later(url: &str, prefix: Prefix, name: &str) -> Result<Self, async_nats::ConnectError> {
        Ok(Self::over(options(name).retry_on_initial_connect().connect(servers(url)).await?, prefix))
    }

    fn over(client: async_nats::Client, prefix: Prefix) -> Self {
        let jetstream = jetstream::new(client.clone());
        Self { client, jetstream, prefix, replicas: None, owner: owner::Owner::default() }
    }

    /// The same with streams on so many servers.
    #[must_use]
    pub fn with_replicas(self, replicas: Option<usize>) -> Self {
        Self { replicas, ..self }
    }

    /// Whether JetStream answers within a time. A connection to a server that hangs looks well until its pings were missed, half
    /// a minute later; so it is asked for something.
    pub async fn answers(&self, within: Duration) -> bool {
        let connected = self.client.connection_state() == async_nats::connection::State::Connected;
        connected && matches!(tokio::time::timeout(within, self.jetstream.query_account()).await, Ok(Ok(_)))
    }

    /// Wakes whoever waits on a subject. A hint: lost when nobody listens, and not kept for a server that is away.
    pub async fn nudge(&self, subject: String) {
        if self.client.connection_state() != async_nats::connection::State::Connected {
            return;
        }
        if let Err(error) = self.client.publish(subject, bytes::Bytes::new()).await {
            tracing::debug!(error = %error, "failed to nudge");
        }
    }
}
