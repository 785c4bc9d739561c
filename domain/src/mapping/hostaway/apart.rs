//! Calls that the channel refused as a whole, so that what they carried was sent apart after them: what is bad then stops only
//! itself.

use super::calls::calendar_calls;
use crate::call::{CallPurpose, CallRecord};
use crate::channel::{Bodies, Section};
use crate::mapping::Sent;

/// The places of those calls among `calls`: one of content with photos and one of the nights, at most.
pub fn sent_apart(bodies: &Bodies<'_>, sent: &Sent<'_>, calls: &[CallRecord]) -> Vec<usize> {
    let body =
        |section: Section| bodies.get(&section).copied().filter(|_| !sent.exists || sent.needs.contains(&section));
    let refused = |purposes: &[CallPurpose]| {
        let mut alike = calls.iter().enumerate().filter(|(_, call)| purposes.contains(&call.purpose));
        let (index, _) = alike.find(|(_, call)| call.refused_part())?;
        // Where nothing of its kind came after it, the push ended with it.
        alike.next().map(|_| index)
    };
    let whole = body(Section::Content).is_some() && body(Section::Images).is_some();
    let listing = [CallPurpose::Create, CallPurpose::Content, CallPurpose::Images];
    // Where both sections do not fit into one call, each had its own from the beginning.
    let nights = calendar_calls(body(Section::Availability), body(Section::Rates));
    let united = nights.first().is_some_and(|first| first.sections.len() > 1);
    let listing = whole.then(|| refused(&listing)).flatten();
    let nights = united.then(|| refused(&[CallPurpose::Calendar])).flatten();
    let mut found: Vec<usize> = listing.into_iter().chain(nights).collect();
    found.sort_unstable();
    found
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;
    use crate::outcome::OutcomeClass;

    fn call(purpose: CallPurpose, class: OutcomeClass) -> CallRecord {
        CallRecord {
            request_id: Uuid::nil(),
            purpose,
            method: "PUT".to_owned(),
            path: "/v1/listings/51600".to_owned(),
            started_at: DateTime::UNIX_EPOCH,
            duration_ms: 1,
            status: Some(422),
            class,
            detail: None,
            answer: None,
        }
    }

    #[test]
    fn a_call_of_two_sections_that_was_refused_was_sent_apart_and_one_of_a_single_section_was_not() {
        use CallPurpose::{Calendar, Content, Images};
        use OutcomeClass::{Accepted, Rejected, Transient};
        let nights = |field: &str, value: i64| {
            let mut interval = json!({ "startDate": "2030-01-01", "endDate": "2030-01-09" });
            interval[field] = json!(value);
            json!([interval])
        };
        let (availability, rates) = (nights("isAvailable", 0), nights("price", -1));
        let (content, images) = (json!({ "name": "Villa" }), json!([]));
        let all: [(Section, &Value); 4] = [
            (Section::Availability, &availability),
            (Section::Rates, &rates),
            (Section::Content, &content),
            (Section::Images, &images),
        ];
        let bodies: Bodies<'_> = all.into_iter().collect();
        let told = |needs: &[Section], calls: &[(CallPurpose, OutcomeClass)]| {
            let calls: Vec<CallRecord> = calls.iter().map(|(purpose, class)| call(*purpose, *class)).collect();
            sent_apart(&bodies, &Sent { needs, exists: true, verified: false }, &calls)
        };
        let calls = [
            (Calendar, Rejected),
            (Calendar, Accepted),
            (Calendar, Rejected),
            (Content, Rejected),
            (Content, Accepted),
            (Images, Rejected),
        ];
        assert_eq!(told(&Section::ALL, &calls), [0, 3]);
        assert_eq!(told(&Section::ALL, &calls[..1]), [0; 0], "the push ended with it");
        assert_eq!(told(&[Section::Rates], &[(Calendar, Rejected)]), [0; 0]);
        assert_eq!(told(&Section::ALL, &[(Calendar, Transient), (Content, Accepted)]), [0; 0]);
    }
}
