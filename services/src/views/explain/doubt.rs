//! Why it is not certain that the channel has of a section what it took last. The aggregate sends such a section again in any case;
//! this tells people more, as far as it is recorded: a refusal with an answer wrote nothing, so what was there before is there still.
//! Of a call that may be taken in part nobody knows that.

use chrono::{DateTime, Utc};
use domain::call::CallRecord;
use domain::channel::Section;
use domain::listing::SyncAttempt;
use domain::mapping;
use domain::outcome::OutcomeClass;

/// The HTTP status of what is not there.
pub const NO_SUCH_LISTING: u16 = 404;

/// A definite refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status: 400 to 499, or 200 to 299 where the answer said that it failed.
    pub status: u16,
    /// When the call was made, UTC.
    pub at: DateTime<Utc>,
    /// Nothing went in, of this call and of those of the section that were refused before it.
    pub certain: bool,
}

/// Why it is not certain that the channel has of a section what it took last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// It refused whatever it was sent of the section since.
    Refused(Refusal),
    /// Something else may have been written since.
    Unknown,
    /// It was unlinked since, and what becomes of it at the channel is not followed meanwhile. No call is known to have ended so.
    Unlinked,
}

impl Doubt {
    /// After an attempt that left the section in doubt, whatever it was before: the same where no call carried the section. What is
    /// unknown stays so. `sent` are the sections that the attempt may have sent.
    pub(super) fn after(
        before: Option<Self>,
        attempt: &SyncAttempt,
        sent: &[Section],
        section: Section,
    ) -> Option<Self> {
        // The one before it, of which nobody told, may have written anything.
        if attempt.takes_over {
            return Some(Self::Unknown);
        }
        let carriers = carriers(attempt, sent, section).into_iter();
        carriers.fold(before, |before, (call, is_sure)| Self::after_call(before, call, is_sure))
    }

    /// After it was linked again. That a call may have written something is known, and stays so.
    pub(super) fn after_link(before: Option<Self>) -> Self {
        if before == Some(Self::Unknown) { Self::Unknown } else { Self::Unlinked }
    }

    /// After a call that carried the section, or may have.
    fn after_call(before: Option<Self>, call: &CallRecord, is_sure: bool) -> Option<Self> {
        let Some(status) = refusal(call) else { return Some(Self::Unknown) };
        let was_certain = match before {
            Some(Self::Unknown | Self::Unlinked) => return before,
            Some(Self::Refused(refusal)) => refusal.certain,
            None => true,
        };
        if is_sure {
            let certain = was_certain && nothing_went_in(call);
            return Some(Self::Refused(Refusal { status, at: call.started_at, certain }));
        }
        if nothing_went_in(call) { before } else { Some(Self::Unknown) }
    }
}

/// The HTTP status of a call that was refused. A channel may refuse what it validates with a status of success, and say so in the body:
/// nothing else ends a call rejected with such a status.
fn refusal(call: &CallRecord) -> Option<u16> {
    call.status.filter(|status| call.class == OutcomeClass::Rejected && matches!(status, 200..=299 | 400..=499))
}

/// Of a call that was refused: it was about one object, or about one that is not there.
fn nothing_went_in(call: &CallRecord) -> bool {
    call.status == Some(NO_SUCH_LISTING) || !mapping::may_be_taken_in_part(call)
}

fn may_have_written(call: &CallRecord, section: Section) -> bool {
    call.may_have_written() && call.purpose.writes().contains(&section)
}

/// The calls that carried a section, in order; `false` with those of which that is not certain.
///
/// What a call carried is not recorded, but follows: a call of both sections of its kind that is refused is made again as one call of
/// each, and a section whose own call is refused is named as refused, and no longer sent. So there is one refusal more than sections
/// that are named where both went in one call; where each had its own from the beginning, there are as many.
fn carriers<'a>(attempt: &'a SyncAttempt, sent: &[Section], section: Section) -> Vec<(&'a CallRecord, bool)> {
    let calls: Vec<&CallRecord> = attempt.calls.iter().filter(|call| may_have_written(call, section)).collect();
    let Some(kind) = calls.first().map(|call| call.purpose.writes()) else { return Vec::new() };
    let is_named = |one: &Section| attempt.rejected.iter().any(|part| part.section == *one && part.is_all_of_it());
    let named: Vec<Section> = kind.iter().copied().filter(is_named).collect();
    let sent: Vec<Section> = kind.iter().copied().filter(|one| sent.contains(one) || named.contains(one)).collect();
    // Where none was to be sent, and there are calls, the build that made them saw other differences than are told.
    let sent = if sent.is_empty() { kind.to_vec() } else { sent };
    if !sent.contains(&section) {
        return Vec::new();
    }
    let places = calls.iter().enumerate();
    let refused: Vec<usize> = places.filter(|(_, call)| call.refused_part()).map(|(place, _)| place).collect();
    let is_first = kind.first() == Some(&section);
    let took = attempt.progress.sections.contains_key(&section);
    let carried = |place: usize| match (refused.len().checked_sub(named.len()), &sent[..], &named[..]) {
        // A call carries something.
        (_, [_], _) => Some(true),
        // Both sections went in the first call, and each in one of its own after that.
        (Some(1), ..) => (place == 0 || (place == 1) == is_first).then_some(true),
        // The first section was sent until a call of it was refused, and then the second one;
        (Some(0), _, [one, ..]) if kind.first() == Some(one) => ((place <= refused[0]) == is_first).then_some(true),
        // or a call of the second was.
        (Some(0), _, [_]) if place == refused[0] => (!is_first).then_some(true),
        // Whether the second section was in the first call, nobody knows. The first one was, unless it was there already.
        (Some(0), _, []) if place == 0 && is_first && !took => Some(true),
        _ => Some(false),
    };
    calls.into_iter().enumerate().filter_map(|(place, call)| Some((call, carried(place)?))).collect()
}
