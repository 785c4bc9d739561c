//! Histories at random: any commands in any order, as far as the real aggregates let them through.

use domain::channel::{Section, SectionHashes};
use domain::ids::{SyncId, TargetId, UnitId};
use domain::listing::{Cause, ListingCommand, SyncReport};
use domain::outcome::OutcomeClass;
use domain::target::{Configuration, Health, TargetCommand};
use domain::window::RateLimit;
use proptest::prelude::*;
use std::collections::HashMap;
use uuid::Uuid;

use crate::story::{Story, sections, target, unit};

const TARGETS: u32 = 3;
const UNITS: u32 = 4;

/// A step: which target and unit, what is done, and a number to vary it.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    target: u32,
    unit: u32,
    what: u8,
    number: u32,
}

pub fn steps(length: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = (0..TARGETS, 0..UNITS, 0..100u8, any::<u32>());
    prop::collection::vec(step.prop_map(|(target, unit, what, number)| Step { target, unit, what, number }), length)
}

/// Plays the steps.
pub fn tell(story: &mut Story, steps: &[Step]) {
    let mut telling = Telling { revisions: HashMap::new(), under_way: HashMap::new(), reported: HashMap::new() };
    for n in 0..TARGETS {
        story.create_target(target(n));
    }
    for step in steps {
        telling.step(story, *step);
    }
}

type Pair = (TargetId, UnitId);

struct Telling {
    revisions: HashMap<UnitId, u64>,
    under_way: HashMap<Pair, (SyncId, u64, SectionHashes)>,
    reported: HashMap<Pair, SyncReport>,
}

impl Telling {
    fn step(&mut self, story: &mut Story, step: Step) {
        let (target, unit) = (target(step.target), unit(step.unit));
        let pair = (target, unit.clone());
        let reason = || "at random".to_owned();
        match step.what {
            0..5 => drop(story.command_target(target, target_command(step.number))),
            5..17 => drop(story.link(target, &unit)),
            17..20 => drop(story.command_listing(target, &unit, ListingCommand::Unlink { reason: reason() })),
            20..24 => drop(story.command_listing(target, &unit, ListingCommand::Pause { reason: reason() })),
            24..28 => drop(story.command_listing(target, &unit, ListingCommand::Resume)),
            28..52 => self.change_unit(story, &pair, step.number),
            52..58 => {
                let request_id = Uuid::from_u128(u128::from(step.number % 5));
                let revision = self.revisions.get(&unit).copied().unwrap_or(1);
                story.request(target, &unit, Cause::Manual { reason: reason(), request_id }, revision);
            }
            58..68 => drop(story.pending(target, &unit).map(|job| self.under_way.insert(pair, job))),
            68..72 => {
                if let Some((sync_id, ordinal, ..)) = story.pending(target, &unit) {
                    let at = story.now();
                    story.command_listing(
                        target,
                        &unit,
                        ListingCommand::StartCreation { sync_id, ordinal, at, began_at: at, replaces: None },
                    );
                }
            }
            72..95 => self.report(story, pair, step.number),
            _ => {
                // A report that is told again.
                if let Some(report) = self.reported.get(&pair) {
                    story.command_listing(target, &unit, ListingCommand::RecordOutcome(report.clone()));
                }
            }
        }
    }

    fn change_unit(&mut self, story: &mut Story, (target, unit): &Pair, number: u32) {
        let revision = self.revisions.entry(unit.clone()).or_default();
        *revision += u64::from(!number.is_multiple_of(4));
        let some = &Section::ALL[..=(number as usize / 4 % 4)];
        // Few different looks, so that a change is sometimes none.
        let looks = sections(some, u64::from(number / 16 % 3));
        story.request_sections(*target, unit, Cause::UnitChanged, *revision, looks);
    }

    fn report(&mut self, story: &mut Story, pair: Pair, number: u32) {
        let (target, unit) = pair.clone();
        let Some(job) = self.under_way.get(&pair).cloned().or_else(|| story.pending(target, &unit)) else { return };
        let class = match number % 13 {
            0..4 => Some(OutcomeClass::Accepted),
            4 => Some(OutcomeClass::AcceptedWithRejections),
            5 | 6 => Some(OutcomeClass::Transient),
            7 => Some(OutcomeClass::Throttled),
            8 => Some(OutcomeClass::Unauthorised),
            9 => Some(OutcomeClass::Rejected),
            10 => Some(OutcomeClass::Unknown),
            11 => Some(OutcomeClass::Stopped),
            _ => None,
        };
        let report = story.report(job, class, u128::from(number / 13 % 4));
        self.reported.insert(pair, report.clone());
        story.command_listing(target, &unit, ListingCommand::RecordOutcome(report));
    }
}

fn target_command(number: u32) -> TargetCommand {
    let reason = "at random".to_owned();
    match number % 16 {
        0 => TargetCommand::Delete { reason },
        1..4 => TargetCommand::Pause { reason },
        4..7 => TargetCommand::Resume,
        7 | 8 => TargetCommand::RotateCredential { credential: "env:NEXT".parse().unwrap() },
        9 | 10 => TargetCommand::Configure(Configuration {
            rate_limit: Some(RateLimit::new(1 + number / 16 % 9, 10_000).unwrap()),
            ..Configuration::default()
        }),
        11 => TargetCommand::Configure(Configuration { name: Some(format!("T{number}")), ..Default::default() }),
        12 => report(Health::Healthy, reason),
        13 => report(Health::Degraded, reason),
        14 => report(Health::Unreachable, reason),
        _ => report(Health::Unauthorised, reason),
    }
}

fn report(health: Health, reason: String) -> TargetCommand {
    TargetCommand::ReportHealth { health, reason, credential_epoch: 0 }
}
