//! Everything one sandbox knows, shared by all connections: accounts, tokens, limits, faults, arrivals, clock, ids.
//! A reset leaves the clock, the id counters, and the accounts and limits of the command line.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{
        Arc, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::task::JoinSet;

use crate::{
    arrivals::Arrivals,
    clock::Clock,
    faults::Faults,
    limits::{LimitTable, Limits},
    state::{State, StateFile},
    store::{Account, Ids},
    tokens::Tokens,
};

/// How a sandbox starts.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Account ids with their API keys.
    pub accounts: Vec<(u64, String)>,
    /// Rate limits enforced.
    pub limits: LimitTable,
    /// How long after its issue a token becomes usable (documented: about one second).
    pub token_delay: Duration,
    /// How long the background import of posted images takes.
    pub image_delay: Duration,
    /// Where accounts, tokens, listings, reservations and id counters are kept for the next start.
    pub state_file: Option<PathBuf>,
    /// Whether arrivals keep the bodies of calls, but for token calls.
    pub keep_bodies: bool,
}

pub type Shared = Arc<World>;

pub struct World {
    pub config: Config,
    pub clock: Clock,
    pub tokens: Tokens,
    pub limits: Limits,
    pub faults: Faults,
    pub arrivals: Arrivals,
    pub ids: Ids,
    pub state_file: Option<StateFile>,
    /// Counts calls that may have changed something.
    changes: AtomicU64,
    /// Imports of images under way.
    imports: Mutex<JoinSet<()>>,
    accounts: RwLock<HashMap<u64, Arc<Account>>>,
}

impl World {
    /// As the state file has it, if there is one, else new. Accounts of the configuration are added to those there.
    pub fn open(config: Config) -> anyhow::Result<Self> {
        let state_file = config.state_file.clone().map(StateFile::new);
        let saved = state_file.as_ref().map(StateFile::read).transpose()?.flatten();
        let is_new = saved.is_none();
        let State { accounts, tokens, ids, .. } = saved.unwrap_or_default();
        let world = Self {
            clock: Clock::new(),
            tokens,
            limits: Limits::new(config.limits.clone()),
            faults: Faults::default(),
            arrivals: Arrivals::default(),
            ids,
            state_file,
            changes: AtomicU64::new(0),
            imports: Mutex::default(),
            accounts: RwLock::new(accounts.into_iter().map(|(id, account)| (id, Arc::new(account))).collect()),
            config,
        };
        for (id, secret) in &world.config.accounts {
            world.put_account(*id, secret.clone());
        }
        // A file that cannot be written is better told now than at the stop.
        if is_new {
            world.save()?;
        }
        Ok(world)
    }

    /// Writes the state file, where there is to be one.
    pub fn save(&self) -> anyhow::Result<()> {
        self.state_file.as_ref().map_or(Ok(()), |file| file.write(self))
    }

    /// Something may have changed that the state file keeps.
    pub fn touch(&self) {
        self.changes.fetch_add(1, Ordering::Release);
    }

    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Runs an import of images in the background.
    pub fn import(&self, import: impl Future<Output = ()> + Send + 'static) {
        let mut imports = self.imports.lock().expect("no holder of the imports panics");
        while imports.try_join_next().is_some() {}
        imports.spawn(import);
    }

    /// Waits for the imports under way.
    pub async fn imported(&self) {
        let imports = std::mem::take(&mut *self.imports.lock().expect("no holder of the imports panics"));
        imports.join_all().await;
    }

    pub fn account(&self, id: u64) -> Option<Arc<Account>> {
        self.read().get(&id).cloned()
    }

    /// All accounts, by id.
    pub fn accounts(&self) -> BTreeMap<u64, Arc<Account>> {
        self.read().iter().map(|(id, account)| (*id, account.clone())).collect()
    }

    /// Adds an account, or gives a known one a new secret (its listings and tokens stay).
    pub fn put_account(&self, id: u64, secret: String) {
        let mut accounts = self.write();
        match accounts.get(&id) {
            Some(account) => account.books().secret = secret,
            None => {
                accounts.insert(id, Arc::new(Account::new(id, secret)));
            }
        }
    }

    pub fn reset(&self) {
        *self.write() = first_accounts(&self.config);
        self.tokens.clear();
        self.faults.clear();
        self.limits.forget(self.config.limits.clone());
        self.arrivals.clear();
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<u64, Arc<Account>>> {
        self.accounts.read().expect("no holder of the accounts panics")
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<u64, Arc<Account>>> {
        self.accounts.write().expect("no holder of the accounts panics")
    }
}

fn first_accounts(config: &Config) -> HashMap<u64, Arc<Account>> {
    let account = |(id, secret): &(u64, String)| (*id, Arc::new(Account::new(*id, secret.clone())));
    config.accounts.iter().map(account).collect()
}
