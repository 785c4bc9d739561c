//! The state file: what a sandbox knows, as JSON, so that the next one goes on with it. Arrivals, faults, limits and
//! windows are not in it. Must stay true: the file is whole at any moment (written beside, then renamed), and no id in
//! it is above its counters.

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize, Serializer};

use crate::{
    store::{Account, Ids},
    tokens::Tokens,
    world::{Shared, World},
};

/// Of the file's shape; another one is refused.
const VERSION: u32 = 1;

/// At most so much is lost by a kill.
const EVERY: Duration = Duration::from_secs(5);

/// What a new world begins with.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    version: u32,
    pub accounts: BTreeMap<u64, Account>,
    pub tokens: Tokens,
    pub ids: Ids,
}

/// The counters come last: an account that is written before them has no id that they have not given out.
#[derive(Serialize)]
struct Picture<'a> {
    version: u32,
    accounts: Accounts,
    tokens: &'a Tokens,
    ids: &'a Ids,
}

struct Accounts(BTreeMap<u64, Arc<Account>>);

impl Serialize for Accounts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(id, account)| (id, &**account)))
    }
}

pub struct StateFile {
    path: PathBuf,
    /// The number of the last change that is in the file. The lock lets one write at a time.
    written: Mutex<u64>,
}

impl StateFile {
    pub fn new(path: PathBuf) -> Self {
        Self { path, written: Mutex::new(0) }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is in it; `None` where there is none yet.
    pub fn read(&self) -> anyhow::Result<Option<State>> {
        let about = || format!("cannot read the state file {}", self.path.display());
        let json = match std::fs::read(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            read => read.with_context(about)?,
        };
        let mut state: State = serde_json::from_slice(&json).with_context(about)?;
        anyhow::ensure!(state.version == VERSION, "{}: it is of version {}, not {VERSION}", about(), state.version);
        state.accounts.values_mut().for_each(Account::index_anew);
        Ok(Some(state))
    }

    pub fn write(&self, world: &World) -> anyhow::Result<()> {
        let mut written = self.written.lock().expect("no holder of the state file panics");
        // Read before the picture is taken: a change that comes between is written once more, never left out.
        let changes = world.changes();
        self.replace(world).with_context(|| format!("cannot write the state file {}", self.path.display()))?;
        *written = changes;
        Ok(())
    }

    fn write_changes(&self, world: &World) -> anyhow::Result<()> {
        let written = *self.written.lock().expect("no holder of the state file panics");
        if written == world.changes() { Ok(()) } else { self.write(world) }
    }

    fn replace(&self, world: &World) -> anyhow::Result<()> {
        let accounts = Accounts(world.accounts());
        let picture = Picture { version: VERSION, accounts, tokens: &world.tokens, ids: &world.ids };
        // First into memory: accounts are locked while they are written.
        let json = serde_json::to_vec(&picture)?;
        let mut beside = self.path.as_os_str().to_owned();
        beside.push(".tmp");
        // What a kill left here may be anybody's to read.
        let _absent = std::fs::remove_file(&beside);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(&json)?;
        Ok(std::fs::rename(&beside, &self.path)?)
    }
}

/// Writes what has changed, every few seconds and for ever. A failure is told and tried again.
pub async fn keep(world: Shared) {
    loop {
        tokio::time::sleep(EVERY).await;
        let world = world.clone();
        let write = move || world.state_file.as_ref().map_or(Ok(()), |file| file.write_changes(&world));
        if let Ok(Err(error)) = tokio::task::spawn_blocking(write).await {
            // Nothing depends on its being read.
            let _unread = writeln!(std::io::stderr(), "{error:#}");
        }
    }
}
