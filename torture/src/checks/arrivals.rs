//! Calls as the channel saw them.

use std::net::Ipv4Addr;

use end_to_end::sandbox::Sandbox;
use serde::Deserialize;
use uuid::Uuid;

/// A call that arrived.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Arrival {
    /// When, in microseconds since the epoch.
    pub at_us: u64,
    /// Whose; `None` where no token tells.
    pub account: Option<u64>,
    /// Which process it came from.
    pub ip: Ipv4Addr,
    /// By method and path, as the sandbox names it.
    pub purpose: String,
    pub method: String,
    pub path: String,
    pub query: String,
    pub body: Option<String>,
    pub request_id: Option<Uuid>,
    pub status: Option<u16>,
}

/// All of them, oldest first.
pub(super) async fn read(sandbox: &Sandbox) -> anyhow::Result<Vec<Arrival>> {
    let answer = sandbox.get("/arrivals?limit=10000000").await?;
    anyhow::ensure!(answer["dropped"] == 0, "the sandbox has forgotten calls: it was a run too long");
    Ok(serde_json::from_value(answer["arrivals"].clone())?)
}
