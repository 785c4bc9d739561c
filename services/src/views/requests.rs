//! What the calls of a sync carried. Bodies are not stored; they follow from the snapshot, so they are made again from it.

use std::collections::HashMap;

use domain::listing::Link;
use domain::mapping::{self, Sent};
use domain::target::Target;
use serde_json::Value;
use uuid::Uuid;

use super::explain::history::SyncStory;
use crate::payloads::{PayloadError, Payloads};

/// The bodies of a sync's calls.
#[derive(Debug, Default)]
pub struct Requests {
    /// By the call's request id; of a call that writes and is not here nobody knows.
    pub bodies: HashMap<Uuid, Value>,
    /// `false` where this build makes something else of the snapshot than the one that sent it.
    pub exact: bool,
}

/// Makes them again.
pub async fn of_sync(
    payloads: &Payloads,
    target: &Target,
    link: &Link,
    story: &SyncStory,
) -> Result<Requests, PayloadError> {
    if story.attempts.iter().all(|told| told.attempt.calls.is_empty()) {
        return Ok(Requests { bodies: HashMap::new(), exact: true });
    }
    let kind = target.channel;
    let payload = payloads.of_snapshot(kind, story.request.snapshot, link).await?;
    let sections = payload.bodies();
    let mut requests = Requests { bodies: HashMap::new(), exact: payload.hashes() == story.request.sections };
    for told in &story.attempts {
        let sent = Sent { needs: &told.needs, exists: told.existed, verified: told.verified };
        let calls = &told.attempt.calls;
        let made = mapping::request_bodies(kind, &sections, &sent, calls);
        requests.bodies.extend(made.into_iter().map(|(index, body)| (calls[index].request_id, body)));
    }
    Ok(requests)
}
