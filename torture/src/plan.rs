//! What a run does, and when: drawn from the seed alone, so that the same seed gives the same plan.

mod faults;
mod recovery;
mod work;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

pub use faults::{Fault, FaultKind, SandboxFault};
pub use recovery::Recovery;
pub use work::{TargetPlan, TargetStep, UnitPlan, UnitStep};

/// The organisations. Nothing of one may be found with another, so none of the names is part of another.
pub const ORGS: [&str; 3] = ["aurora", "borealis", "cascade"];

/// A target that a run has.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Which of `ORGS` it belongs to.
    pub org: usize,
    /// Its account at the channel.
    pub account: u64,
}

/// The targets. The last two share an account.
pub const PLACES: [Place; 5] = [
    Place { org: 0, account: 8_001 },
    Place { org: 0, account: 8_002 },
    Place { org: 1, account: 8_003 },
    Place { org: 2, account: 8_004 },
    Place { org: 2, account: 8_004 },
];

/// The window of every limit, in milliseconds.
pub const WINDOW_MS: u32 = 2_000;
/// Requests of a target in a window.
pub const TARGET_LIMIT: u32 = 24;
/// Requests of the shared account in a window.
pub const ACCOUNT_LIMIT: u32 = 30;
/// What the accounts of `PLACES` may have in a window, all of them together: three have one target each.
const ALL_ACCOUNTS: u32 = 3 * TARGET_LIMIT + ACCOUNT_LIMIT;
/// Requests in a window from the address that all calls leave from: some less than the accounts may have, so that it is met where all
/// are busy, and nobody starves.
pub const EGRESS_LIMIT: u32 = ALL_ACCOUNTS * 3 / 4;

/// How much there is to be of each.
#[derive(Debug, Clone)]
pub struct Size {
    /// How long faults and work go on.
    pub seconds: u64,
    /// Units of all organisations together.
    pub units: u64,
    /// Faults in ten seconds.
    pub faults: u64,
    /// Names that faults may begin with; all, if there are none.
    pub only: Vec<String>,
}

impl Size {
    /// One of the names that no fault begins with.
    pub fn unknown(&self) -> Option<&str> {
        let known = |name: &&String| FaultKind::names().iter().any(|fault| fault.starts_with(name.as_str()));
        self.only.iter().find(|name| !known(name)).map(String::as_str)
    }

    /// Whether there may be such a fault.
    fn wants(&self, kind: FaultKind) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| kind.name().starts_with(name))
    }
}

/// All that is drawn.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How long all of it goes on.
    pub seconds: u64,
    /// What breaks, by time.
    pub faults: Vec<Fault>,
    /// What breaks afterwards, one after the other, to see how long the recovery takes.
    pub recoveries: Vec<Recovery>,
    /// What is done with each unit.
    pub units: Vec<UnitPlan>,
    /// What is done with each of `PLACES`.
    pub targets: Vec<TargetPlan>,
}

impl Plan {
    /// Draws one.
    pub fn draw(seed: u64, size: &Size) -> Self {
        // Streams of their own: another number of units leaves the faults as they were.
        let stream = |number: u64| StdRng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number);
        Self {
            seconds: size.seconds,
            faults: faults::draw(&mut stream(1), size),
            units: work::draw_units(&mut stream(2), size),
            targets: work::draw_targets(&mut stream(3), size),
            recoveries: recovery::draw(&mut stream(4), size),
        }
    }

    /// The schedule for people, one step a line.
    pub fn lines(&self) -> Vec<String> {
        let faults = self.faults.iter().map(|fault| (fault.at_ms, fault.to_string()));
        let units = self
            .units
            .iter()
            .flat_map(|unit| unit.steps.iter().map(|(at_ms, step)| (*at_ms, format!("{}: {step:?}", unit.unit_id()))));
        let targets = self.targets.iter().enumerate().flat_map(|(index, target)| {
            target.steps.iter().map(move |(at_ms, step)| (*at_ms, format!("target {index}: {step:?}")))
        });
        let mut lines: Vec<(u64, String)> = faults.chain(units).chain(targets).collect();
        lines.sort();
        let timed = lines.into_iter().map(|(at_ms, what)| format!("{:>8.3} s  {what}", at_ms as f64 / 1_000.0));
        let recoveries = self.recoveries.iter();
        let last = recoveries.map(|one| format!("afterwards  {} for {} ms: {:?}", one.class, one.for_ms, one.kinds));
        timed.chain(last).collect()
    }
}
