//! The nights: availability first, at most 200 intervals a call, and read back afterwards, because Hostaway answers
//! success for nights that it did not change.

use std::collections::{BTreeSet, VecDeque};

use domain::call::CallPurpose;
use domain::channel::Section;
use domain::counted::agreeing;
use domain::mapping::hostaway::{CalendarCall, CalendarDifference, calendar_calls, calendar_differences};
use reqwest::Method;
use serde_json::Value;

use super::answer::Wanted;
use super::failure::Failure;
use super::push::Run;
use super::session::{Call, Session};

/// Differences beyond this are counted, not listed: a report goes into the journal.
const MOST_LISTED: usize = 50;

impl Run<'_> {
    /// Sends what is wanted of availability and rates. A section counts as taken once its nights were read back.
    pub(super) async fn calendar(&mut self, id: &str, wanted: &BTreeSet<Section>) -> Result<(), Failure> {
        let mut wanted: BTreeSet<Section> = wanted.iter().copied().filter(|section| is_nights(*section)).collect();
        if self.verify && !wanted.is_empty() {
            self.leave_out_what_is_there(id, &mut wanted).await?;
        }
        let mut queue: VecDeque<CalendarCall> = self.calls_for(&wanted).into();
        let mut unread = Vec::new();
        let mut differences = Vec::new();
        while let Some(call) = queue.pop_front() {
            if call.sections.iter().all(|section| self.is_refused(*section)) {
                continue;
            }
            match self.put_nights(id, &call).await {
                Ok(Some(days)) => differences.extend(calendar_differences(&call.intervals, &days)),
                Ok(None) => unread.extend(call.intervals),
                Err(failure) if failure.refuses_part() => self.apart_or_refused(&call, &failure, &mut queue),
                Err(failure) => return Err(failure),
            }
        }
        if let Some(days) = read_nights(&mut self.session, id, &unread).await? {
            differences.extend(calendar_differences(&unread, &days));
        }
        self.note_differences(&differences);
        for section in wanted {
            if !self.is_refused(section) {
                self.accept(section);
            }
        }
        Ok(())
    }

    fn calls_for(&self, wanted: &BTreeSet<Section>) -> Vec<CalendarCall> {
        let body = |section| wanted.contains(&section).then(|| self.body(section)).flatten();
        calendar_calls(body(Section::Availability), body(Section::Rates))
    }

    /// A refused call of both sections is made again as one of each, so that a bad rate does not hold availability.
    fn apart_or_refused(&mut self, call: &CalendarCall, failure: &Failure, queue: &mut VecDeque<CalendarCall>) {
        if let [section] = call.sections[..] {
            self.refuse(section, failure);
            return;
        }
        for section in call.sections.iter().rev() {
            for call in self.calls_for(&BTreeSet::from([*section])).into_iter().rev() {
                queue.push_front(call);
            }
        }
    }

    /// One interval has a call of its own, whose answer holds the days: it needs no read-back.
    async fn put_nights(&mut self, id: &str, nights: &CalendarCall) -> Result<Option<Vec<Value>>, Failure> {
        let urgency = nights.sections.iter().min().copied().unwrap_or(Section::Rates);
        let (route, body) = nights.request();
        let path = format!("/listings/{id}/{route}");
        let (purpose, wanted) = (CallPurpose::Calendar, Wanted::Nothing);
        let call = Call { purpose, urgency, method: Method::PUT, path, body: Some(body), wanted };
        match self.session.call(&call).await?.result {
            Value::Array(days) if nights.intervals.len() == 1 && !days.is_empty() => Ok(Some(days)),
            _ => Ok(None),
        }
    }

    /// Reads the calendar and takes those sections as sent whose nights are as they should be.
    async fn leave_out_what_is_there(&mut self, id: &str, wanted: &mut BTreeSet<Section>) -> Result<(), Failure> {
        let intervals = |section: &Section| self.body(*section).and_then(Value::as_array).cloned().unwrap_or_default();
        let sections: Vec<(Section, Vec<Value>)> =
            wanted.iter().map(|section| (*section, intervals(section))).collect();
        let all: Vec<Value> = sections.iter().flat_map(|(_, intervals)| intervals.clone()).collect();
        let days = read_nights(&mut self.session, id, &all).await?.unwrap_or_default();
        for (section, intervals) in sections {
            let differences = calendar_differences(&intervals, &days);
            if differences.iter().all(|difference| difference.expected) {
                self.note_differences(&differences);
                self.accept(section);
                wanted.remove(&section);
            }
        }
        Ok(())
    }

    fn note_differences(&mut self, differences: &[CalendarDifference]) {
        // Unexpected ones first: they are the ones to look at, should the list be cut.
        let (expected, unexpected): (Vec<_>, Vec<_>) = differences.iter().partition(|difference| difference.expected);
        for difference in unexpected.into_iter().chain(expected).take(MOST_LISTED) {
            self.note_ignored(difference.to_rejected_part(), difference.expected);
        }
        if let Some(more) = differences.len().checked_sub(MOST_LISTED).filter(|more| *more > 0) {
            let differences = agreeing(more, "difference in the calendar is", "differences in the calendar are");
            self.note(format!("{more} more {differences} not listed"));
        }
    }
}

/// The channel's days from the first to the last night of the intervals; `None` without intervals.
pub(super) async fn read_nights(
    session: &mut Session<'_>,
    id: &str,
    intervals: &[Value],
) -> Result<Option<Vec<Value>>, Failure> {
    let Some((first, last)) = span(intervals) else { return Ok(None) };
    let path = format!("/listings/{id}/calendar?startDate={first}&endDate={last}");
    let (purpose, urgency) = (CallPurpose::ReadBack, Section::Availability);
    let call = Call { purpose, urgency, method: Method::GET, path, body: None, wanted: Wanted::List };
    match session.call(&call).await?.result {
        Value::Array(days) => Ok(Some(days)),
        _ => Ok(Some(Vec::new())),
    }
}

/// The first and the last night of intervals; `None` without any.
pub(super) fn span(intervals: &[Value]) -> Option<(String, String)> {
    // Dates of the form YYYY-MM-DD are in order as text.
    let dates = |field: &'static str| intervals.iter().filter_map(move |interval| interval.get(field)?.as_str());
    Some((dates("startDate").min()?.to_owned(), dates("endDate").max()?.to_owned()))
}

pub(super) fn is_nights(section: Section) -> bool {
    matches!(section, Section::Availability | Section::Rates)
}
