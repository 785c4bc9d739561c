//! A target as plain texts and flags, and what each command does to it.

use domain::target::Health;
use proptest::prelude::*;
use proptest::sample::select;
use proptest_state_machine::ReferenceStateMachine;

/// Names, and whether they can be used.
const NAMES: [(&str, bool); 4] = [("Bali", true), ("Villas by the sea", true), ("", false), (" \t ", false)];
/// Roots of an API, and what is kept of them.
const ROOTS: [(&str, Option<&str>); 7] = [
    ("https://api.example/v1", Some("https://api.example/v1")),
    ("https://api.example/v1/", Some("https://api.example/v1")),
    ("http://127.0.0.1:8080", Some("http://127.0.0.1:8080")),
    ("api.example", None),
    ("https://", None),
    ("https://user@api.example", None),
    ("https://api.example/?key=1", None),
];
/// Accounts at the channel, and whether they can be used.
const ACCOUNTS: [(&str, bool); 3] = [("10450", true), ("", false), ("10450/../1", false)];
const LIMITS: [&str; 3] = ["12/10s", "30/10s", "1/1s"];
const CREDENTIALS: [&str; 2] = ["env:ONE", "file:two"];

/// What is asked of a target.
#[derive(Debug, Clone, Copy)]
pub enum Ask {
    Create {
        name: (&'static str, bool),
        root: (&'static str, Option<&'static str>),
        account: (&'static str, bool),
    },
    Configure {
        name: Option<(&'static str, bool)>,
        root: Option<(&'static str, Option<&'static str>)>,
        account_limit: Option<Option<&'static str>>,
        limit: Option<&'static str>,
    },
    Rotate(&'static str),
    Pause,
    Resume,
    Delete,
    /// Somebody saw this health with the credentials of that epoch.
    Saw(Health, u32),
}

/// The events' names, or the refusal's, a field by its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Events(Vec<&'static str>),
    Refused(&'static str),
}

/// A target that was created.
#[derive(Debug, Clone)]
pub struct Target {
    pub name: &'static str,
    pub root: &'static str,
    pub account: &'static str,
    pub limit: &'static str,
    pub account_limit: Option<&'static str>,
    pub credential: &'static str,
    pub paused: bool,
    pub deleted: bool,
    pub health: Health,
    pub epoch: u32,
}

/// The target, if there is one, and the answer to the last command.
#[derive(Debug, Clone)]
pub struct Model {
    pub target: Option<Target>,
    pub answer: Answer,
}

/// Where a root that is kept leads to.
fn host(root: &str) -> Option<&str> {
    root.split('/').nth(2)
}

impl Target {
    fn configure(
        &mut self,
        name: Option<(&'static str, bool)>,
        root: Option<(&'static str, Option<&'static str>)>,
        account_limit: Option<Option<&'static str>>,
        limit: Option<&'static str>,
    ) -> Answer {
        if name.is_some_and(|(_, fits)| !fits) {
            return Answer::Refused("name");
        }
        if root.is_some_and(|(_, kept)| kept.is_none()) {
            return Answer::Refused("base_url");
        }
        let before = (self.name, self.root, self.account_limit);
        if let Some((name, _)) = name {
            self.name = name;
        }
        if let Some((_, Some(root))) = root {
            self.root = root;
        }
        if let Some(limit) = account_limit {
            self.account_limit = limit;
        }
        let mut events = Vec::new();
        // Of another host nothing is known.
        if host(before.1) != host(self.root) {
            if self.health != Health::Unknown {
                self.becomes(Health::Unknown);
                events.push("HealthChanged");
            }
            self.epoch += 1;
        }
        if before != (self.name, self.root, self.account_limit) {
            events.push("TargetConfigured");
        }
        if let Some(limit) = limit.filter(|limit| *limit != self.limit) {
            self.limit = limit;
            events.push("RateLimitChanged");
        }
        Answer::Events(events)
    }

    /// Whoever says that refused credentials are good again begins a new epoch, like a rotation.
    fn becomes(&mut self, health: Health) {
        if self.health == Health::Unauthorised {
            self.epoch += 1;
        }
        self.health = health;
    }

    fn ask(&mut self, ask: &Ask) -> Answer {
        match ask {
            Ask::Create { .. } => Answer::Refused("AlreadyExists"),
            Ask::Delete if self.deleted => Answer::Refused("AlreadyDeleted"),
            _ if self.deleted => Answer::Refused("Deleted"),
            Ask::Configure { name, root, account_limit, limit } => self.configure(*name, *root, *account_limit, *limit),
            Ask::Rotate(credential) => {
                (self.credential, self.health) = (credential, Health::Unknown);
                self.epoch += 1;
                Answer::Events(vec!["CredentialRotated"])
            }
            Ask::Pause if self.paused => Answer::Refused("AlreadyPaused"),
            Ask::Pause => {
                self.paused = true;
                Answer::Events(vec!["TargetPaused"])
            }
            Ask::Resume => {
                let mut events = Vec::new();
                if std::mem::take(&mut self.paused) {
                    events.push("TargetResumed");
                }
                if self.health == Health::Unauthorised {
                    self.becomes(Health::Unknown);
                    events.push("HealthChanged");
                }
                if events.is_empty() { Answer::Refused("NotPaused") } else { Answer::Events(events) }
            }
            Ask::Delete => {
                self.deleted = true;
                Answer::Events(vec!["TargetDeleted"])
            }
            Ask::Saw(health, epoch) if *epoch != self.epoch || *health == self.health => Answer::Events(Vec::new()),
            Ask::Saw(health, _) if self.health == Health::Unauthorised && *health != Health::Healthy => {
                Answer::Events(Vec::new())
            }
            Ask::Saw(health, _) => {
                self.becomes(*health);
                Answer::Events(vec!["HealthChanged"])
            }
        }
    }
}

impl Model {
    fn ask(&mut self, ask: &Ask) -> Answer {
        if let Some(target) = &mut self.target {
            return target.ask(ask);
        }
        let Ask::Create { name, root, account } = ask else { return Answer::Refused("NotFound") };
        match (name, root, account) {
            ((_, false), _, _) => Answer::Refused("name"),
            (_, (_, None), _) => Answer::Refused("base_url"),
            (_, _, (_, false)) => Answer::Refused("channel_account"),
            ((name, true), (_, Some(root)), (account, true)) => {
                self.target = Some(Target {
                    name,
                    root,
                    account,
                    limit: LIMITS[0],
                    account_limit: None,
                    credential: CREDENTIALS[0],
                    paused: false,
                    deleted: false,
                    health: Health::Unknown,
                    epoch: 0,
                });
                Answer::Events(vec!["TargetCreated"])
            }
        }
    }
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Ask;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self { target: None, answer: Answer::Events(Vec::new()) }).boxed()
    }

    fn transitions(state: &Self) -> BoxedStrategy<Ask> {
        let (name, root) = (|| select(&NAMES[..]), || select(&ROOTS[..]));
        let limit = || select(&LIMITS[..]);
        let create = (name(), root(), select(&ACCOUNTS[..])).prop_map(|(name, root, account)| Ask::Create {
            name,
            root,
            account,
        });
        let configure = (
            proptest::option::of(name()),
            proptest::option::of(root()),
            proptest::option::of(proptest::option::of(limit())),
            proptest::option::of(limit()),
        )
            .prop_map(|(name, root, account_limit, limit)| Ask::Configure { name, root, account_limit, limit });
        let epoch = state.target.as_ref().map_or(0, |target| target.epoch);
        let saw = (select(&Health::ALL[..]), prop_oneof![4 => Just(epoch), 1 => 0..epoch + 2])
            .prop_map(|(health, epoch)| Ask::Saw(health, epoch));
        prop_oneof![
            if state.target.is_some() { 1 } else { 20 } => create,
            6 => configure,
            3 => select(&CREDENTIALS[..]).prop_map(Ask::Rotate),
            3 => Just(Ask::Pause),
            4 => Just(Ask::Resume),
            1 => Just(Ask::Delete),
            8 => saw,
        ]
        .boxed()
    }

    fn apply(mut state: Self, ask: &Ask) -> Self {
        state.answer = state.ask(ask);
        state
    }
}
