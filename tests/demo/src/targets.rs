//! The three targets: one at the strict default limit with few villas, and two that are wider, one per part of the world.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};

use anyhow::Context as _;
use demo::villas::{Region, region};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::stage::Stage;

/// What a target is made with.
#[derive(Debug)]
pub struct Role {
    /// The name.
    pub name: &'static str,
    /// The account at the channel.
    pub channel_account: u64,
    /// So many requests ...
    pub requests: u64,
    /// ... in any such window.
    pub window_ms: u64,
}

/// The cast. All windows are of ten seconds.
pub const CAST: [Role; 3] = [
    Role { name: "strict", channel_account: 1001, requests: 12, window_ms: 10_000 },
    Role { name: "hostaway-eu", channel_account: 1002, requests: 150, window_ms: 10_000 },
    Role { name: "hostaway-asia", channel_account: 1003, requests: 200, window_ms: 10_000 },
];

/// So many villas are on the strict target: two windows of calls.
const ON_STRICT: usize = 5;

/// A target that was made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Target {
    /// Its id.
    pub target_id: Uuid,
    /// Which of the cast it is.
    role: usize,
}

impl Role {
    /// The limit as the command line takes it.
    pub fn limit(&self) -> String {
        format!("{}/{}ms", self.requests, self.window_ms)
    }

    /// The file in the secrets folder.
    pub fn secret(&self) -> String {
        format!("hostaway-{}", self.channel_account)
    }
}

impl Target {
    /// The target that plays this role.
    pub fn new(target_id: Uuid, role: usize) -> Self {
        Self { target_id, role }
    }

    /// Its role.
    pub fn role(&self) -> &'static Role {
        &CAST[self.role]
    }
}

/// The role whose target a villa is on.
pub fn role_of(villa: usize) -> usize {
    match region(villa) {
        _ if villa < ON_STRICT => 0,
        Region::Europe => 1,
        Region::Asia => 2,
    }
}

/// Makes up a secret for each account and keeps it where only its owner may read it.
pub fn make_secrets(stage: &Stage) -> anyhow::Result<BTreeMap<u64, String>> {
    let folder = stage.secrets();
    DirBuilder::new().recursive(true).mode(0o700).create(&folder).context("cannot make the secrets folder")?;
    let mut secrets = BTreeMap::new();
    for role in &CAST {
        let secret = Uuid::new_v4().simple().to_string();
        let path = folder.join(role.secret());
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        file.write_all(secret.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
        secrets.insert(role.channel_account, secret);
    }
    Ok(secrets)
}
