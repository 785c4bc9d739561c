//! One push: availability before rates before content before photos, and what came of it. A part that is refused stops
//! that part; any other failure ends the push, and what was done until then is reported.

use std::collections::{BTreeMap, BTreeSet};

use domain::channel::{ChannelKind, RejectedPart, Section};
use domain::ids::ExternalId;
use domain::listing::Progress;
use domain::outcome::OutcomeClass;
use domain::port::{Push, PushReport};
use serde_json::Value;

use super::failure::{Failure, Reach, concealed};
use super::guard::check_body;
use super::session::Session;

/// A push under way.
pub(super) struct Run<'a> {
    pub session: Session<'a>,
    pub push: Push<'a>,
    /// Whether the listing may hold more than we know, so that it is read before it is written.
    pub verify: bool,
    progress: Progress,
    rejected: Vec<RejectedPart>,
    /// Sections that the channel refused as a whole, with its words.
    refused: BTreeMap<Section, String>,
    /// Something was answered with success and not taken, and no rule of the channel explains it.
    ignored: bool,
    notes: Vec<String>,
}

impl<'a> Run<'a> {
    pub fn new(session: Session<'a>, push: Push<'a>) -> Self {
        Self {
            session,
            push,
            verify: push.verify_first,
            progress: Progress::default(),
            rejected: Vec::new(),
            refused: BTreeMap::new(),
            ignored: false,
            notes: Vec::new(),
        }
    }

    /// Does it and reports.
    pub async fn finish(mut self) -> PushReport {
        match self.steps().await {
            Ok(()) => self.done(),
            Err(failure) => self.stopped(&failure),
        }
    }

    async fn steps(&mut self) -> Result<(), Failure> {
        let (id, wanted) = match self.push.external_id {
            Some(id) => (checked_id(id)?, self.push.needs.iter().copied().collect()),
            None => self.adopt_or_create().await?,
        };
        let wanted = self.sendable(wanted);
        self.calendar(&id, &wanted).await?;
        self.listing(&id, &wanted).await
    }

    /// The wanted sections that the payload has and that may be sent at all.
    fn sendable(&mut self, mut wanted: BTreeSet<Section>) -> BTreeSet<Section> {
        wanted.retain(|section| match self.body(*section).map(check_body) {
            None => false,
            Some(Ok(())) => true,
            Some(Err(why)) => {
                let reason = format!("not sent, because the body{why}");
                self.refuse(*section, &Failure::new(OutcomeClass::Rejected, reason));
                false
            }
        });
        wanted
    }

    /// The body of a section.
    pub fn body(&self, section: Section) -> Option<&'a Value> {
        self.push.payload.sections.get(&section).map(|payload| &payload.body)
    }

    /// The listing's id at the channel, learned in this push.
    pub fn learn_id(&mut self, id: &str) {
        self.progress.external_id = Some(ExternalId(id.to_owned()));
        self.progress.unproved = None;
    }

    /// A creation was given this id, and nothing has proved yet that it is the listing's.
    pub fn doubt_id(&mut self, id: &str) {
        self.progress.unproved = Some(ExternalId(id.to_owned()));
    }

    /// The channel has the section.
    pub fn accept(&mut self, section: Section) {
        if let Some(payload) = self.push.payload.sections.get(&section) {
            self.progress.sections.insert(section, payload.hash);
        }
    }

    /// The channel refuses the section as a whole.
    pub fn refuse(&mut self, section: Section, failure: &Failure) {
        self.rejected.push(RejectedPart::all_of(section, failure.detail.clone()));
        self.refused.insert(section, failure.detail.clone());
    }

    pub fn is_refused(&self, section: Section) -> bool {
        self.refused.contains_key(&section)
    }

    /// Parts that the channel answered with success and did not take; `expected` where its rules explain it.
    pub fn note_ignored(&mut self, part: RejectedPart, expected: bool) {
        self.ignored |= !expected;
        self.rejected.push(part);
    }

    /// Words for whoever reads the report.
    pub fn note(&mut self, words: String) {
        self.notes.push(words);
    }

    fn done(self) -> PushReport {
        let class = if !self.refused.is_empty() && self.progress.sections.is_empty() {
            OutcomeClass::Rejected
        } else if self.ignored || !self.refused.is_empty() {
            OutcomeClass::AcceptedWithRejections
        } else {
            OutcomeClass::Accepted
        };
        let refusals = self.refused.iter().map(|(section, words)| format!("{section} refused: {words}"));
        let words: Vec<String> = self.notes.iter().cloned().chain(refusals).collect();
        let detail = (!words.is_empty()).then(|| in_a_row(&words));
        self.report(class, detail, None, false)
    }

    fn stopped(self, failure: &Failure) -> PushReport {
        let words: Vec<String> = self.notes.iter().cloned().chain([failure.detail.clone()]).collect();
        let detail = Some(in_a_row(&words));
        self.report(failure.class, detail, failure.retry_at, failure.reach == Reach::Credentials)
    }

    fn report(
        self,
        class: OutcomeClass,
        detail: Option<String>,
        retry_at: Option<chrono::DateTime<chrono::Utc>>,
        credentials_refused: bool,
    ) -> PushReport {
        // What the channel has in the place of what was sent are words of its own, too.
        let withheld = &self.session.withheld;
        let part = |part: RejectedPart| RejectedPart { reason: concealed(&part.reason, withheld), ..part };
        let new_secret_refused = self.session.new_secret_refused.as_deref().map(|words| concealed(words, withheld));
        PushReport {
            class,
            detail: detail.map(|detail| concealed(&detail, withheld)),
            progress: self.progress,
            rejected: self.rejected.into_iter().map(part).collect(),
            calls: self.session.calls,
            retry_at,
            credentials_refused,
            new_secret_refused,
        }
    }
}

/// Sentences as one: the channel's own end with a full stop, behind which this one goes on.
fn in_a_row(words: &[String]) -> String {
    let Some((last, before)) = words.split_last() else { return String::new() };
    let before = before.iter().map(|words| words.trim_end_matches(|c: char| c == '.' || c.is_whitespace()));
    before.chain([last.as_str()]).collect::<Vec<_>>().join("; ")
}

/// Listing ids are numbers at Hostaway; anything else would change the path that it is written into.
pub(super) fn checked_id(id: &ExternalId) -> Result<String, Failure> {
    let given = ChannelKind::Hostaway.external_id(&id.0);
    given.map(|ExternalId(id)| id).map_err(|_| {
        let why = format!("{:?} is not the id of a listing at Hostaway, which is a number", id.0);
        Failure::new(OutcomeClass::Rejected, why).reaching(Reach::Listing)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_channel_said_ends_with_a_full_stop_at_the_end_alone() {
        let told = |words: &[&str]| in_a_row(&words.iter().map(|&words| words.to_owned()).collect::<Vec<_>>());
        let both = told(&["availability refused: it cannot be changed.", "rates refused: closed."]);
        assert_eq!(both, "availability refused: it cannot be changed; rates refused: closed.");
        assert_eq!((told(&["one."]).as_str(), told(&[]).as_str()), ("one.", ""));
    }
}
