//! A worker at one job: its calls go out in order, and each may end in any way that a call can end.

use domain::call::CallPurpose;
use domain::outcome::OutcomeClass;

use crate::listing_channel::{Channel, Content, NONE};

/// How a call ends. What was lost or failed inside the channel may have been applied all the same.
#[derive(Debug, Clone, Copy)]
pub enum Fate {
    Taken,
    Lost {
        applied: bool,
    },
    Fault {
        applied: bool,
    },
    Throttled,
    Denied,
    /// Of nights, those in front of the bad one may have gone in.
    Refused {
        partly: bool,
    },
}

/// The part that a call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Create,
    Nights,
    Listing,
}

/// An attempt under way, or one that has ended and was not told yet.
#[derive(Debug, Clone)]
pub struct Worker {
    pub number: u32,
    pub ordinal: u64,
    pub generation: u32,
    pub content: Content,
    pub takes_over: bool,
    pub needs: [bool; 4],
    pub id: Option<u32>,
    pub learned: Option<u32>,
    /// When it looked for the listing, in seconds.
    pub began: i64,
    /// When it wrote down that it is about to create.
    pub intended: Option<i64>,
    /// What each call was for, how it ended, and when it began.
    pub calls: Vec<(CallPurpose, OutcomeClass, i64)>,
    pub got: [bool; 4],
    pub refused: [bool; 4],
    pub ended: bool,
    /// It made a call after others had the listing.
    pub strayed: bool,
    /// `None` where nothing differed.
    pub class: Option<OutcomeClass>,
}

/// The sections that a call of this purpose may write.
pub fn written(purpose: CallPurpose) -> [usize; 2] {
    if purpose == CallPurpose::Calendar { [0, 1] } else { [2, 3] }
}

impl Worker {
    /// What its calls may have written, and when the last one ended.
    pub fn wrote(&self) -> ([bool; 4], i64) {
        let (mut sections, mut until) = ([false; 4], self.began);
        for (purpose, class, at) in &self.calls {
            if !matches!(class, OutcomeClass::Throttled | OutcomeClass::Unauthorised) {
                written(*purpose).into_iter().for_each(|section| sections[section] = true);
                until = until.max(*at);
            }
        }
        (sections, until)
    }

    /// It wrote to the listing after others had it. Were it to die before it tells of that, nobody would ever know.
    pub fn wrote_astray(&self) -> bool {
        self.strayed && self.calls.last().is_some_and(|(purpose, ..)| *purpose != CallPurpose::Create)
    }

    /// What it does next.
    pub fn next(&self) -> Option<Part> {
        let open = |section: usize| self.needs[section] && !self.got[section] && !self.refused[section];
        match self.id {
            _ if self.ended => None,
            None => Some(Part::Create),
            Some(_) if open(0) || open(1) => Some(Part::Nights),
            Some(_) if open(2) || open(3) => Some(Part::Listing),
            Some(_) => None,
        }
    }

    pub fn end(&mut self, class: Option<OutcomeClass>) {
        (self.ended, self.class) = (true, class);
    }

    /// The worker's next call goes out and ends so.
    pub fn call(&mut self, channel: &mut Channel, now: i64, fate: Fate) {
        let Some(part) = self.next() else { return };
        let range = if part == Part::Nights { [0, 1] } else { [2, 3] };
        let sections: Vec<usize> = range.into_iter().filter(|section| self.needs[*section]).collect();
        let class = match fate {
            Fate::Taken => OutcomeClass::Accepted,
            Fate::Lost { .. } => OutcomeClass::Unknown,
            Fate::Fault { .. } => OutcomeClass::Transient,
            Fate::Throttled => OutcomeClass::Throttled,
            Fate::Denied => OutcomeClass::Unauthorised,
            Fate::Refused { .. } => OutcomeClass::Rejected,
        };
        let purpose = match part {
            Part::Create => CallPurpose::Create,
            Part::Nights => CallPurpose::Calendar,
            Part::Listing if sections == [3] => CallPurpose::Images,
            Part::Listing => CallPurpose::Content,
        };
        self.calls.push((purpose, class, now));
        match self.id {
            None => self.created(channel, now, fate),
            Some(id) => {
                match fate {
                    Fate::Taken | Fate::Lost { applied: true } | Fate::Fault { applied: true } => {
                        channel.write(id, &sections, self.content);
                    }
                    Fate::Refused { partly: true } if part == Part::Nights => {
                        channel.write_partly(id, &sections, self.content);
                    }
                    _ => {}
                }
                match fate {
                    Fate::Taken => sections.iter().for_each(|section| self.got[*section] = true),
                    Fate::Refused { .. } => sections.iter().for_each(|section| self.refused[*section] = true),
                    _ => self.end(Some(class)),
                }
            }
        }
        if !self.ended && self.next().is_none() {
            self.end(Some(self.sum()));
        }
    }

    fn created(&mut self, channel: &mut Channel, now: i64, fate: Fate) {
        match fate {
            Fate::Taken => {
                let id = channel.create(self.content);
                (self.id, self.learned) = (Some(id), Some(id));
                [2, 3].into_iter().for_each(|section| self.got[section] = self.content[section] != NONE);
            }
            // A gateway gives up earlier than what stands behind it: a fault tells as little as silence.
            Fate::Lost { applied } | Fate::Fault { applied } => {
                channel.creation_lost(self.content, applied, now);
                self.end(Some(OutcomeClass::Unknown));
            }
            Fate::Throttled => self.end(Some(OutcomeClass::Throttled)),
            Fate::Denied => self.end(Some(OutcomeClass::Unauthorised)),
            Fate::Refused { .. } => self.end(Some(OutcomeClass::Rejected)),
        }
    }

    /// Of calls that all had an answer.
    fn sum(&self) -> OutcomeClass {
        match (self.refused.contains(&true), self.got.contains(&true)) {
            (false, _) => OutcomeClass::Accepted,
            (true, true) => OutcomeClass::AcceptedWithRejections,
            (true, false) => OutcomeClass::Rejected,
        }
    }
}
