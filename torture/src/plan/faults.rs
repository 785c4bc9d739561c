//! Faults, how often each comes, and how long it lasts.

use std::fmt;

use end_to_end::proxy::Line;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

use super::Size;
use crate::far::Far;
use crate::who::{NAMES, Who};

/// How the sandbox fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SandboxFault {
    /// 429, of the account.
    Throttles,
    /// 503.
    Fails,
    /// Does what it is told after the client has given up.
    Hangs,
    /// Does what it is told, and the answer is lost.
    LosesAnswers,
    /// Closes the connection and does nothing.
    Closes,
    /// Answers half of its JSON.
    Garbles,
    /// Revokes the token.
    ForgetsTokens,
    /// Takes its time.
    IsSlow,
}

/// What breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// kill -9; it comes back afterwards.
    Kill(Who),
    /// SIGSTOP, then SIGCONT.
    Stop(Who),
    /// SIGTERM; it comes back when it has ended.
    Roll(Who),
    /// Postgres ends at once, as in a crash.
    CrashPostgres,
    /// Postgres ends its sessions, writes everything and ends (57P01 for whoever is connected), and comes back.
    RestartPostgres,
    /// SIGSTOP of Postgres with all its sessions, then SIGCONT.
    StopPostgres,
    /// kill -9 of NATS.
    KillNats,
    /// The same, and its store is gone.
    WipeNats,
    /// SIGSTOP of NATS, then SIGCONT.
    StopNats,
    /// There is no room left in NATS's store.
    FillNats,
    /// There is no room left on NATS's disk.
    FillDisk,
    /// The connections of one process to one server; of all processes without one.
    Break(Option<Who>, Far, Line),
    /// The sandbox, for so many of a hundred calls.
    Sandbox(SandboxFault, u32),
}

/// What breaks, when and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Since the start, in milliseconds.
    pub at_ms: u64,
    /// How long, in milliseconds.
    pub for_ms: u64,
    /// What.
    pub kind: FaultKind,
}

impl FaultKind {
    /// Every name that may be drawn, by a sample that is large enough to have each.
    pub fn names() -> Vec<String> {
        let mut rng = StdRng::seed_from_u64(0);
        let mut names: Vec<String> = DRAWS
            .iter()
            .flat_map(|(_, _, draw)| (0..SAMPLE).map(|_| draw(&mut rng).name()).collect::<Vec<_>>())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Its name, by which faults are counted and chosen.
    pub fn name(self) -> String {
        match self {
            Self::Kill(who) => format!("kill-{}", who.role()),
            Self::Stop(who) => format!("stop-{}", who.role()),
            Self::Roll(who) => format!("roll-{}", who.role()),
            Self::CrashPostgres => "crash-postgres".to_owned(),
            Self::RestartPostgres => "restart-postgres".to_owned(),
            Self::StopPostgres => "stop-postgres".to_owned(),
            Self::KillNats => "kill-nats".to_owned(),
            Self::StopNats => "stop-nats".to_owned(),
            Self::WipeNats => "wipe-nats".to_owned(),
            Self::FillNats => "fill-nats".to_owned(),
            Self::FillDisk => "fill-disk".to_owned(),
            Self::Break(_, far, line) => {
                let line = match line {
                    Line::Cut => "cut",
                    Line::Slow { .. } => "slow",
                    Line::Silent => "silent",
                    Line::Lost => "lost",
                    Line::Reset => "reset",
                };
                format!("{line}-{far:?}").to_lowercase()
            }
            Self::Sandbox(fault, _) => {
                let name = match fault {
                    SandboxFault::Throttles => "throttles",
                    SandboxFault::Fails => "fails",
                    SandboxFault::Hangs => "hangs",
                    SandboxFault::LosesAnswers => "loses-answers",
                    SandboxFault::Closes => "closes",
                    SandboxFault::Garbles => "garbles",
                    SandboxFault::ForgetsTokens => "forgets-tokens",
                    SandboxFault::IsSlow => "is-slow",
                };
                format!("channel-{name}")
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {} ms: {:?}", self.kind.name(), self.for_ms, self.kind)
    }
}

/// Kinds of faults with how often each comes, how long it lasts, and how one is drawn.
type Draw = (u32, (u64, u64), fn(&mut StdRng) -> FaultKind);

/// How long after the end of the work a fault may still last.
const AFTER_THE_END_MS: u64 = 10_000;

/// Each kind comes in a few dozen forms at most.
const SAMPLE: usize = 2_000;

const DRAWS: [Draw; 17] = [
    (26, (100, 3_000), |rng| FaultKind::Kill(anybody(rng))),
    (14, (500, 14_000), |rng| FaultKind::Stop(anybody(rng))),
    (8, (100, 1_000), |rng| FaultKind::Roll(anybody(rng))),
    (6, (100, 2_500), |_| FaultKind::CrashPostgres),
    (4, (100, 2_500), |_| FaultKind::RestartPostgres),
    (4, (500, 6_000), |_| FaultKind::StopPostgres),
    (6, (100, 2_500), |_| FaultKind::KillNats),
    (4, (500, 8_000), |_| FaultKind::StopNats),
    (3, (100, 1_500), |_| FaultKind::WipeNats),
    (3, (1_000, 4_000), |_| FaultKind::FillNats),
    (3, (1_000, 4_000), |_| FaultKind::FillDisk),
    (18, (200, 8_000), |rng| FaultKind::Break(Some(anybody(rng)), far(rng), line(rng))),
    (6, (200, 4_000), |rng| FaultKind::Break(None, far(rng), line(rng))),
    (8, (200, 6_000), |rng| FaultKind::Break(one_or_all_dispatchers(rng), Far::Channel, line(rng))),
    // Longer than a lease.
    (5, (15_000, 45_000), |rng| FaultKind::Stop(dispatcher(rng))),
    (5, (10_000, 40_000), |rng| FaultKind::Break(Some(dispatcher(rng)), Far::Postgres, Line::Silent)),
    (20, (500, 6_000), |rng| FaultKind::Sandbox(sandbox(rng), one_of(&[10, 30, 60, 100], rng))),
];

pub(super) fn one_of<T: Copy>(items: &[T], rng: &mut StdRng) -> T {
    *items.choose(rng).expect("something to choose from")
}

fn anybody(rng: &mut StdRng) -> Who {
    Who(rng.random_range(0..NAMES.len()))
}

fn dispatcher(rng: &mut StdRng) -> Who {
    let all: Vec<Who> = Who::all().filter(|who| who.role() == "dispatcher").collect();
    one_of(&all, rng)
}

/// Nobody but dispatchers calls the channel, so all are all of them.
fn one_or_all_dispatchers(rng: &mut StdRng) -> Option<Who> {
    let one = dispatcher(rng);
    rng.random_bool(0.7).then_some(one)
}

fn far(rng: &mut StdRng) -> Far {
    one_of(&[Far::Postgres, Far::Nats], rng)
}

fn line(rng: &mut StdRng) -> Line {
    match rng.random_range(0..3) {
        0 => Line::Cut,
        1 => Line::Slow { ms: rng.random_range(20..=1_500) },
        _ => Line::Silent,
    }
}

fn sandbox(rng: &mut StdRng) -> SandboxFault {
    use SandboxFault::{Closes, Fails, ForgetsTokens, Garbles, Hangs, IsSlow, LosesAnswers, Throttles};
    one_of(&[Throttles, Fails, Hangs, LosesAnswers, Closes, Garbles, ForgetsTokens, IsSlow], rng)
}

fn draw_kind(rng: &mut StdRng) -> (FaultKind, (u64, u64)) {
    let mut at = rng.random_range(0..DRAWS.iter().map(|(often, ..)| often).sum());
    for (often, span, kind) in DRAWS {
        if at < often {
            return (kind(rng), span);
        }
        at -= often;
    }
    unreachable!("the draw is below the sum")
}

/// Draws the faults of a run, in the order of their times.
pub(super) fn draw(rng: &mut StdRng, size: &Size) -> Vec<Fault> {
    let end_ms = size.seconds * 1_000;
    let count = (size.seconds * size.faults).div_ceil(10);
    let mut faults = Vec::new();
    for _ in 0..count {
        let at_ms = rng.random_range(1_000..end_ms);
        // Bounded: names that nothing has would be drawn for ever.
        let drawn = (0..1_000).map(|_| draw_kind(rng)).find(|(kind, _)| size.wants(*kind));
        let Some((kind, (shortest, longest))) = drawn else { break };
        // Many are short, few are long.
        let most = rng.random_range(shortest..=longest);
        // What outlives the run by much makes it longer and no worse.
        let for_ms = rng.random_range(shortest..=most).min(end_ms - at_ms + AFTER_THE_END_MS);
        faults.push(Fault { at_ms, for_ms, kind });
    }
    faults.sort_by_key(|fault| fault.at_ms);
    faults
}
