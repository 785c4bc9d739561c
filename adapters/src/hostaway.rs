//! Hostaway's public API v1 behind the channel port: one push is one attempt, every call takes a slot, and success is
//! what the body says, not the status.
//!
//! Reading order: `push` (what is sent, in which order), `calendar`, `listing`, `creation`, and `read`; below them
//! `session` (one call: token, slot, record) with its `authorization` (which token), `token`, `issue`, `client` (one HTTP
//! exchange) and `verdict` (what an answer means); `withheld` keeps what an answer may say back out of its words.

mod answer;
mod calendar;
mod check;
mod client;
mod creation;
mod failure;
#[cfg(any(test, fuzzing))]
pub mod fuzz_door;
mod guard;
mod issue;
mod listing;
mod push;
mod read;
mod retry_after;
mod session;
mod token;
mod unproved;
mod verdict;
mod withheld;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::port::{Channel, CheckReport, Push, PushReport, ReadReport, Reading, SlotSource};
use domain::target::Target;

use crate::destinations::Destinations;
use crate::secrets::SecretStore;

/// How calls are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The longest that one call may take, its answer included. A slot must be held at least this long.
    pub call_timeout: Duration,
    /// The longest that making a connection may take.
    pub connect_timeout: Duration,
    /// A longer answer is not read to its end, and counts as malformed.
    pub max_response_bytes: usize,
    /// Where calls may go.
    pub destinations: Destinations,
    /// Sent as `User-Agent`.
    pub user_agent: String,
}

impl Default for Config {
    /// 20 s a call, 5 s to connect, answers up to 8 MiB, public addresses.
    fn default() -> Self {
        Self {
            call_timeout: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(5),
            max_response_bytes: 8 * 1024 * 1024,
            destinations: Destinations::Public,
            user_agent: concat!("distribution/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// The HTTP client could not be made: TLS has no roots, or the user agent is no header value.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client for Hostaway cannot be made")]
pub struct ClientUnavailable(#[source] reqwest::Error);

/// The channel. Shared by all targets: connections are reused, and a token serves every target of its account.
pub struct Hostaway {
    client: client::Client,
    tokens: token::Tokens,
    secrets: Arc<dyn SecretStore>,
}

impl Hostaway {
    /// A channel that reads its credentials from `secrets`.
    pub fn new(config: &Config, secrets: Arc<dyn SecretStore>) -> Result<Self, ClientUnavailable> {
        let client = client::Client::new(config).map_err(ClientUnavailable)?;
        Ok(Self { client, tokens: token::Tokens::default(), secrets })
    }
}

#[async_trait]
impl Channel for Hostaway {
    async fn push(&self, push: Push<'_>, slots: &dyn SlotSource) -> PushReport {
        push::Run::new(session::Session::new(self, push.target, slots).of(push.listing_id), push).finish().await
    }

    async fn read(&self, reading: Reading<'_>, slots: &dyn SlotSource) -> ReadReport {
        read::read(session::Session::new(self, reading.target, slots), reading).await
    }

    async fn check(&self, target: &Target, slots: &dyn SlotSource) -> CheckReport {
        check::check(self, target, slots).await
    }
}
