//! Everything one sandbox knows, shared by all connections: accounts, tokens, limits, faults, arrivals, clock, ids.
//! A reset brings all of it but the clock and the id counters back to the state after the start.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

use crate::{
    arrivals::Arrivals,
    clock::Clock,
    faults::Faults,
    limits::{LimitTable, Limits},
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
    accounts: RwLock<HashMap<u64, Arc<Account>>>,
}

impl World {
    pub fn new(config: Config) -> Self {
        Self {
            clock: Clock::new(),
            tokens: Tokens::default(),
            limits: Limits::new(config.limits.clone()),
            faults: Faults::default(),
            arrivals: Arrivals::default(),
            ids: Ids::default(),
            accounts: RwLock::new(first_accounts(&config)),
            config,
        }
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
