//! What is known of a listing at the channel that is not followed: put aside by a link and found again, written by an attempt that ended
//! after the listing was unlinked, or maybe by one of another listing.

use std::collections::BTreeMap;

use domain::channel::Section;
use domain::ids::{ExternalId, SyncId};
use domain::listing::{Cause, LinkState, ListingEvent, SyncAttempt};
use domain::metadata::Actor;

use super::{BeforeUnlinking, Doubt, History, Known, not_taken};
use crate::holders::MAY_HAVE_BEEN_WRITTEN_TO;
use crate::views::not_its_own::NotItsOwn;

impl History {
    /// What its newest attempts have found or made at the channel, where that is not known to be its own.
    pub fn not_its_own(&self) -> Option<NotItsOwn> {
        let end = self.syncs.back().and_then(|newest| newest.end.as_ref());
        let (outcome, detail) = (end.map(|end| end.outcome.as_str()), end.and_then(|end| end.reason.as_deref()));
        NotItsOwn::of(&self.listing, outcome, detail)
    }

    /// Follows another listing at the channel than before: what is known of the one `before` a link is put aside. Of one that is linked or
    /// found again the channel has what it had, though nobody knows what became of it meanwhile.
    pub(super) fn follow(&mut self, before: Option<ExternalId>, relinked: bool) {
        if relinked {
            let known = std::mem::take(&mut self.known);
            self.left.extend(before.filter(|_| !known.is_empty()).map(|left| (left, known)));
        }
        let Some(mut found) = self.listing.external_id().map(|id| self.left.remove(id).unwrap_or_default()) else {
            return;
        };
        found.values_mut().for_each(|known| known.doubt = Some(Doubt::after_link(known.doubt)));
        found.append(&mut self.known);
        self.known = found;
        // What the channel had when they were sent is known only now.
        for story in self.syncs.iter_mut().filter(|story| story.is_afresh && !relinked) {
            story.is_afresh = false;
            if story.known.as_ref().is_some_and(BTreeMap::is_empty) {
                story.known = Some(self.known.clone());
            }
        }
    }

    /// How the listing stood before it was unlinked, of a sync that ended with that: it waited then, or another one waited that had taken its
    /// place.
    pub(super) fn unlinked(&self, sync: SyncId) -> Option<&BeforeUnlinking> {
        let mut story = self.sync(sync)?;
        while let Some(later) = story.superseded_by {
            story = self.sync(later)?;
        }
        story.unlinked.as_ref()
    }

    /// The attempt that an event tells of, where it is told late as its listing was unlinked while it was made, with how that stood before.
    /// After one that a younger attempt overtook nobody knows which of the two wrote last.
    pub(super) fn outlasting<'a>(&self, event: &'a ListingEvent) -> Option<(&'a SyncAttempt, BeforeUnlinking)> {
        let ListingEvent::LateAttemptRecorded { attempt, .. } = event else { return None };
        let before = self.unlinked(attempt.sync_id).filter(|_| !self.listing.knows_younger(attempt))?;
        Some((attempt, before.clone()))
    }

    /// Takes what such an attempt wrote: it is told as that of any other attempt, of the listing at the channel that it wrote to.
    pub(super) fn take_outlasting(&mut self, attempt: &SyncAttempt, before: BeforeUnlinking) {
        let Some(story) = self.sync(attempt.sync_id) else { return };
        let request = story.request.clone();
        let needs = story.attempts.last().map(|told| told.needs.clone()).unwrap_or_default();
        let is_unlinked = self.listing.state() == Some(LinkState::Unlinked);
        let written_to = attempt.progress.external_id.clone().or(before.external_id);
        let known = match written_to {
            same if same.as_ref() == self.listing.external_id() => &mut self.known,
            Some(other) => self.left.entry(other).or_default(),
            None => return,
        };
        for (section, known) in known.iter_mut() {
            known.doubt = Doubt::after(known.doubt, attempt, &needs, *section);
        }
        // Once it is linked again, nobody has followed what became of it between.
        let doubt = (!is_unlinked).then_some(Doubt::Unlinked);
        for (section, hash) in &attempt.progress.sections {
            // A build that maps the snapshot differently has sent something else than it says.
            if request.sections.get(section) == Some(hash) {
                let not_taken = not_taken(attempt, *section).cloned().collect();
                known.insert(*section, Known { snapshot: request.snapshot, hash: *hash, doubt, not_taken });
            }
        }
    }

    /// An attempt of another listing may have written to the one at the channel: the dispatcher says so as it asks for this one once more.
    /// Until each section is taken again nobody knows what is there. `in_time` is the attempt that the event tells of, where that counts.
    pub(super) fn doubt_what_another_wrote(&mut self, event: &ListingEvent, by: &Actor, in_time: Option<&SyncAttempt>) {
        if let ListingEvent::SyncRequested { request, .. } = event
            && let Cause::Manual { reason, .. } | Cause::Replayed { reason, .. } = &request.cause
            && by.credential == "service"
            && reason == MAY_HAVE_BEEN_WRITTEN_TO
        {
            self.written_to.extend(Section::ALL);
        }
        if let Some(attempt) = in_time {
            self.written_to.retain(|section| !attempt.progress.sections.contains_key(section));
        }
        if matches!(event, ListingEvent::ListingLinked { .. }) {
            self.written_to.clear();
        }
        for (section, known) in &mut self.known {
            if self.written_to.contains(section) {
                known.doubt = Some(Doubt::Unknown);
            }
        }
    }
}
