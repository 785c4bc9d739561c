//! One sync, explained: which change by whom, which fields differ, which calls with which answers.

use chrono::{DateTime, Utc};
use domain::call::CallRecord;
use domain::channel::{ChannelKind, RejectedPart, Section};
use domain::difference::Differences;
use domain::difference::staying::Staying;
use domain::listing::Link;
use domain::mapping::{self, Sent};
use domain::outcome::{OutcomeClass, SyncOutcome};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::cancelled::Cancelled;
use super::history::{Attempt, KnownSections, SyncStory, not_taken};
use crate::payloads::Payloads;
use crate::views::known::{CALL_UNKNOWN, CALL_WAS_UNKNOWN, ComparedWith, KnownPayload};

/// Who did something, and what ties it to the rest.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Who {
    /// A person or a part of this service.
    #[schema(example = "service:intake")]
    pub actor: String,
    /// The kind of credential.
    #[schema(example = "service")]
    pub credential: String,
    /// Which token or session it was; never a secret.
    pub credential_id: Option<String>,
    /// Who had asked, where a part of this service acts on that wish.
    pub on_behalf_of: Option<String>,
    /// What published the unit change that led to it, as it names itself (`ce-source`); `null` where it did not, or where it was
    /// no unit change.
    #[schema(example = "urn:sunstay:bookings")]
    pub source: Option<String>,
    /// The same for everything that one request or message set off.
    pub correlation_id: Uuid,
    /// The message or event that led to it.
    pub causation_id: Option<Uuid>,
    /// W3C trace context.
    pub traceparent: Option<String>,
}

/// A call and its answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the fields of the call's record")]
pub struct ExplainedCall {
    pub request_id: Uuid,
    #[schema(example = "calendar")]
    pub purpose: &'static str,
    #[schema(example = "PUT")]
    pub method: String,
    #[schema(example = "/v1/listings/51600/calendarIntervals")]
    pub path: String,
    pub status: Option<u16>,
    #[schema(example = "accepted")]
    pub class: &'static str,
    pub started_at: DateTime<Utc>,
    pub duration_ms: u64,
    pub detail: Option<String>,
    /// The beginning of the answer's body, of a call that failed.
    pub answer: Option<String>,
}

impl From<&CallRecord> for ExplainedCall {
    fn from(call: &CallRecord) -> Self {
        Self {
            request_id: call.request_id,
            purpose: call.purpose.as_str(),
            method: call.method.clone(),
            path: call.path.clone(),
            status: call.status,
            class: call.class.as_str(),
            started_at: call.started_at,
            duration_ms: call.duration_ms,
            detail: call.detail.clone(),
            answer: call.answer.clone(),
        }
    }
}

/// An attempt with its calls.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ExplainedAttempt {
    /// Attempts that had been burned, this one included if it was.
    pub burned: u32,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: DateTime<Utc>,
    /// How it ended; `null` where nothing differed when it began, so that nothing was sent.
    pub class: Option<&'static str>,
    /// Why, in words.
    pub detail: Option<String>,
    /// When the next one was due; `null` where it waited for other credentials.
    pub due_at: Option<DateTime<Utc>>,
    /// The sync had ended before it was told: by another attempt, or as its listing was unlinked.
    pub late: bool,
    /// That is as its listing was unlinked.
    #[serde(skip)]
    pub after_unlinking: bool,
    /// Sections that the channel took.
    pub took: Vec<&'static str>,
    /// Those of them of which it did not take all.
    pub took_in_part: Vec<&'static str>,
    /// Every call.
    pub calls: Vec<ExplainedCall>,
}

impl From<&Attempt> for ExplainedAttempt {
    fn from(told: &Attempt) -> Self {
        let attempt = &told.attempt;
        let took = attempt.progress.sections.keys().copied();
        let in_part = took.clone().filter(|section| not_taken(attempt, *section).next().is_some());
        Self {
            burned: attempt.attempt,
            started_at: attempt.started_at,
            finished_at: attempt.finished_at,
            class: told.class.map(OutcomeClass::as_str),
            detail: attempt.detail.clone(),
            due_at: told.due_at.filter(|_| !told.waits_for_credentials()),
            late: told.late,
            after_unlinking: told.after_unlinking,
            took: took.map(Section::as_str).collect(),
            took_in_part: in_part.map(Section::as_str).collect(),
            calls: attempt.calls.iter().map(Into::into).collect(),
        }
    }
}

/// A sync job.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ExplainedSync {
    /// The sync.
    pub sync_id: Uuid,
    /// `unit_changed`, `linked`, `manual` or `replayed`.
    pub cause: &'static str,
    /// Why, where somebody asked for it.
    pub reason: Option<String>,
    /// The unit's revision that it sends.
    pub revision: u64,
    /// The snapshot that it sends.
    pub snapshot: String,
    /// When it was asked for.
    pub requested_at: DateTime<Utc>,
    /// Where that stands in the journal.
    pub position: i64,
    /// Who asked.
    pub by: Who,
    /// The sections that had to be sent when it was asked for.
    pub needs: Vec<&'static str>,
    /// Every section is sent, whatever the channel has.
    pub forced: bool,
    /// What the differences are told against; `null` where the snapshots are gone.
    pub compared_with: Option<ComparedWith>,
    /// What differs between what the channel took last and what this sends, section by section; at most 50 fields of each.
    #[schema(value_type = Option<Vec<Object>>)]
    pub differences: Option<Differences>,
    /// What the channel took last and this tells nothing of, section by section: it stays at the channel as it is.
    #[schema(value_type = Vec<Object>)]
    pub stays: Vec<Staying>,
    /// Why there are none, where they cannot be told.
    pub differences_missing: Option<String>,
    /// Of what the channel took last it did not take all, which is known without the snapshots, too.
    #[serde(skip)]
    pub has_untaken: bool,
    /// `pending`, `accepted`, `accepted_with_rejections`, `skipped_unchanged`, `superseded`, `rejected`, `unauthorised`,
    /// `exhausted` or `cancelled`.
    pub outcome: &'static str,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Why, in words.
    pub detail: Option<String>,
    /// What cancelled it, and who did that; `null` where it was not cancelled.
    pub cancelled: Option<Cancelled>,
    /// Every attempt.
    pub attempts: Vec<ExplainedAttempt>,
    /// Parts that the mapping or the channel left out.
    #[schema(value_type = Vec<Object>)]
    pub refused: Vec<RejectedPart>,
}

impl ExplainedSync {
    /// The sections that it sends because their hashes differ; none where every section is sent.
    pub fn sent_for_hash(&self) -> &[&'static str] {
        if self.forced { &[] } else { &self.needs }
    }

    /// What the channel had refused of what this is compared with, each in a sentence: until it was sent or ended, or until now.
    pub fn refusals(&self) -> Vec<String> {
        let until = match self.ended_at {
            _ if !self.attempts.is_empty() => Some("this was sent"),
            Some(_) => Some("this ended"),
            None => None,
        };
        self.compared_with.iter().flat_map(|with| with.refusals(until)).collect()
    }

    /// That nobody knows what a call wrote of what this is compared with, where one ended so: before it was sent or ended, or before now.
    pub fn doubt(&self) -> Option<String> {
        let is_in_doubt = self.compared_with.as_ref().is_some_and(|with| !with.in_doubt.is_empty());
        let waits = self.attempts.is_empty() && self.ended_at.is_none();
        is_in_doubt.then(|| format!("{}.", if waits { CALL_UNKNOWN } else { CALL_WAS_UNKNOWN }))
    }
}

/// How a sync stands.
pub(super) fn outcome(story: &SyncStory) -> SyncOutcome {
    story.end.as_ref().map_or(SyncOutcome::Pending, |end| end.outcome)
}

/// Explains a sync `of` a listing at a channel. `known` is what the channel is known to have now: for one that has not been sent yet.
/// `fields` are those of each section that are told.
pub(super) async fn explained(
    story: &SyncStory,
    known: &KnownSections,
    of: (ChannelKind, &Link),
    payloads: &Payloads,
    fields: usize,
) -> ExplainedSync {
    let (request, metadata) = (&story.request, &story.metadata);
    let known = story.known.as_ref().unwrap_or(known);
    let compared = compare(story, known, of, payloads, fields).await;
    let (compared_with, differences, stays, differences_missing) = match compared {
        Ok((with, differences, stays)) => (Some(with), Some(differences), stays, None),
        Err(reason) => (None, None, Vec::new(), Some(reason)),
    };
    let last = story.attempts.last().map(|last| &last.attempt.rejected);
    ExplainedSync {
        sync_id: request.sync_id.0,
        cause: request.cause.as_str(),
        reason: match &request.cause {
            domain::listing::Cause::Manual { reason, .. } | domain::listing::Cause::Replayed { reason, .. } => {
                Some(reason.clone())
            }
            domain::listing::Cause::UnitChanged | domain::listing::Cause::Linked => None,
        },
        revision: request.revision,
        snapshot: request.snapshot.to_string(),
        requested_at: story.requested_at,
        position: story.position,
        by: Who {
            actor: metadata.actor.name.clone(),
            credential: metadata.actor.credential.clone(),
            credential_id: metadata.actor.credential_id.clone(),
            on_behalf_of: metadata.on_behalf_of.clone(),
            source: metadata.source.clone(),
            correlation_id: metadata.correlation_id,
            causation_id: metadata.causation_id,
            traceparent: metadata.traceparent.clone(),
        },
        needs: story.needs().iter().map(|section| section.as_str()).collect(),
        forced: story.forced,
        compared_with,
        differences,
        stays,
        differences_missing,
        has_untaken: known.values().any(|known| !known.not_taken.is_empty()),
        outcome: outcome(story).as_str(),
        ended_at: story.end.as_ref().map(|end| end.at),
        detail: story.end.as_ref().and_then(|end| end.reason.clone()),
        cancelled: story.end.as_ref().and_then(|end| end.cancelled.clone()),
        attempts: story.attempts.iter().map(Into::into).collect(),
        refused: last.unwrap_or(&request.rejected).clone(),
    }
}

/// The calls of a sync that were refused as a whole, so that what they carried was sent apart after them; none where its snapshot
/// is gone, as nobody knows then.
pub(super) async fn sent_apart(
    story: &SyncStory,
    (kind, link): (ChannelKind, &Link),
    payloads: &Payloads,
) -> Vec<Uuid> {
    let refused = |told: &Attempt| told.attempt.calls.iter().any(|call| call.class == OutcomeClass::Rejected);
    if !story.attempts.iter().any(refused) {
        return Vec::new();
    }
    let Ok(payload) = payloads.of_snapshot(kind, story.request.snapshot, link).await else { return Vec::new() };
    let bodies = payload.bodies();
    let whole = story.attempts.iter().flat_map(|told| {
        let sent = Sent { needs: &told.needs, exists: told.existed, verified: told.verified };
        let calls = &told.attempt.calls;
        let places = mapping::sent_apart(kind, &bodies, &sent, calls);
        places.into_iter().map(move |index| calls[index].request_id)
    });
    whole.collect()
}

async fn compare(
    story: &SyncStory,
    known: &KnownSections,
    (kind, link): (ChannelKind, &Link),
    payloads: &Payloads,
    fields: usize,
) -> Result<(ComparedWith, Differences, Vec<Staying>), String> {
    let wanted = payloads.of_snapshot(kind, story.request.snapshot, link).await.map_err(|e| e.to_string())?;
    let has = KnownPayload::load(payloads, kind, link, known).await.map_err(|e| e.to_string())?;
    let mut with = has.described().afresh(story.is_afresh);
    with.exact &= wanted.hashes() == story.request.sections;
    let (has, wanted) = (has.bodies(), wanted.bodies());
    let mut differences = mapping::differences_up_to(kind, &has, &wanted, fields);
    with.remark(&mut differences);
    Ok((with, differences, mapping::staying(kind, &has, &wanted)))
}
