//! A try at a listing as a part of its trace: the try, the calls under it, and what it carries on. Told when the try is
//! over, because a failure is kept whatever was decided about its trace, and so are the tries that follow it. A check of a
//! target is a trace of its own, and a look for drift a part of that of whoever asked for it.

use std::time::SystemTime;

use adapters::masking::masked;
use adapters::telemetry::{
    Attributes, Happened, Kind, Stage, about, happened, is_flagged, is_traced, new_trace, sync_tried,
};
use chrono::{DateTime, Utc};
use domain::call::CallRecord;
use domain::ids::ListingId;
use domain::outcome::OutcomeClass;
use domain::port::{CheckReport, PushReport, ReadReport, Standing};
use domain::target::Target;
use url::Url;

use super::Shared;
use super::job::Job;

/// The moments of a try, UTC.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moments {
    /// The listing was leased and given to a worker.
    pub claimed_at: DateTime<Utc>,
    /// It was read, and the push began.
    pub started_at: DateTime<Utc>,
}

/// Tells of a try, with its calls. What is recorded next belongs under the stage.
pub(super) async fn tell(shared: &Shared, job: &Job, moments: Moments, report: Option<&PushReport>) -> Stage {
    let class = report.map_or("unchanged", |report| report.class.as_str());
    sync_tried(class);
    let calls = report.map(|report| report.calls.as_slice()).unwrap_or_default();
    let root = root(&job.target);
    let failed = report.filter(|report| report.class.is_failure());
    let parent = job.metadata.traceparent.as_deref();
    let mut stage = match failed {
        Some(_) => {
            let under = asked_for(shared, job, moments).await;
            Stage::failed_since("sync", under.as_deref(), moments.claimed_at.into())
        }
        None => Stage::since("sync", parent, moments.claimed_at.into()),
    };
    of(job).into_iter().for_each(|(name, value)| stage.set(name, value));
    stage.set("distribution.sync.class", class);
    if let Some(report) = failed {
        stage.fail(report.detail.clone().unwrap_or_else(|| class.to_owned()));
    }
    let under = stage.traceparent();
    happened(Happened {
        name: "claim".into(),
        kind: Kind::Internal,
        parent: under.as_deref(),
        began: moments.claimed_at.into(),
        ended: moments.started_at.into(),
        attributes: of(job),
        failed: None,
    });
    for call in calls {
        tell_call(call, root.as_ref(), under.as_deref());
    }
    stage
}

/// What a try is about, where somebody is told.
fn of(job: &Job) -> Attributes {
    if !is_traced() {
        return Attributes::new();
    }
    about(&job.metadata, Some(job.link.listing_id), Some(job.pending.sync_id))
}

/// What led to a first try that failed, where its trace was not kept: earlier spans may be gone, so what the journal
/// knows is told afterwards, from when the sync was asked for to its turn. Gives what the try stands under.
async fn asked_for(shared: &Shared, job: &Job, moments: Moments) -> Option<String> {
    let parent = job.metadata.traceparent.as_deref();
    if !is_traced() || is_flagged(parent) || job.pending.attempts > 0 {
        return parent.map(str::to_owned);
    }
    let asked_at = shared.commands.journal().asked_for_at(job.link.listing_id, job.pending.sync_id).await;
    let asked_at = match asked_at {
        Ok(Some(asked_at)) => asked_at,
        Ok(None) => return parent.map(str::to_owned),
        Err(error) => {
            tracing::debug!(%error, "when a sync was asked for is missing in its trace");
            return parent.map(str::to_owned);
        }
    };
    let mut stage = Stage::failed_since("asked for", parent, asked_at.into());
    of(job).into_iter().for_each(|(name, value)| stage.set(name, value));
    stage.set("distribution.asked_for.by", job.pending.origin.requested_by.clone());
    stage.set("distribution.unit.revision", i64::try_from(job.pending.revision).unwrap_or(i64::MAX));
    stage.set("distribution.told_afterwards", true);
    let under = stage.traceparent();
    stage.ended_at(moments.claimed_at.into());
    under
}

fn tell_call(call: &CallRecord, root: Option<&Url>, parent: Option<&str>) {
    if !is_traced() {
        return;
    }
    // Nothing secret is put there, but the path begins with that of the target's address, which people write.
    let shown = masked(&call.path);
    let mut attributes: Attributes = vec![
        ("http.request.method", call.method.clone().into()),
        ("url.path", shown.split('?').next().unwrap_or_default().to_owned().into()),
        ("distribution.call.purpose", call.purpose.as_str().into()),
        ("distribution.request.id", call.request_id.to_string().into()),
    ];
    if let Some(root) = root {
        attributes.push(("server.address", root.host_str().unwrap_or_default().to_owned().into()));
        // Without what may stand before the host of an older target: a user and a password.
        attributes.push(("url.full", format!("{}{shown}", root.origin().ascii_serialization()).into()));
    }
    if let Some(port) = root.and_then(Url::port_or_known_default) {
        attributes.push(("server.port", i64::from(port).into()));
    }
    if let Some(status) = call.status {
        attributes.push(("http.response.status_code", i64::from(status).into()));
    }
    let failed = !call.class.succeeded();
    if failed {
        attributes.push(("error.type", call.class.as_str().into()));
    }
    happened(Happened {
        name: format!("{} {}", call.method, call.purpose.as_str()).into(),
        kind: Kind::Client,
        parent,
        began: call.started_at.into(),
        ended: SystemTime::from(call.ended_at()),
        attributes,
        failed: failed.then(|| call.detail.clone().unwrap_or_default()),
    });
}

/// What the addresses of a target's calls begin with.
fn root(target: &Target) -> Option<Url> {
    Url::parse(&target.base_url).ok()
}

/// A check or a look for drift that is under way: its calls are no sync's.
#[derive(Debug)]
pub(crate) struct VisitTrace {
    stage: Stage,
    traceparent: String,
}

impl VisitTrace {
    /// Begins a check, in a trace of its own.
    pub(super) fn of_check() -> Self {
        Self::begin("check", None)
    }

    /// Begins a look for drift, under what whoever asked for it carries.
    pub(crate) fn of_drift(parent: Option<&str>) -> Self {
        Self::begin("drift", parent)
    }

    /// It has an id also where this process sends no traces, for the log and the change of health.
    fn begin(name: &'static str, parent: Option<&str>) -> Self {
        let stage = Stage::begin(name, Kind::Internal, parent);
        let traceparent = stage.traceparent().unwrap_or_else(|| new_trace(false));
        Self { stage, traceparent }
    }

    /// What follows from it is to carry.
    pub(crate) fn traceparent(&self) -> &str {
        &self.traceparent
    }

    /// Tells how a check ended, with its calls.
    pub(super) fn tell_check(&mut self, target: &Target, report: &CheckReport) {
        self.stage.set("distribution.check.class", report.class.as_str());
        self.tell(target, report.class, report.detail.as_deref(), &report.calls);
    }

    /// Tells how a look for drift ended, with its calls.
    pub(crate) fn tell_drift(&mut self, target: &Target, listing: ListingId, report: &ReadReport) {
        self.stage.set("distribution.listing.id", listing.to_string());
        self.stage.set("distribution.drift.class", report.class.as_str());
        // That the channel has no such listing is an answer as good as any.
        let class = if report.standing == Standing::Gone { OutcomeClass::Accepted } else { report.class };
        self.tell(target, class, report.detail.as_deref(), &report.calls);
    }

    fn tell(&mut self, target: &Target, class: OutcomeClass, detail: Option<&str>, calls: &[CallRecord]) {
        self.stage.set("distribution.org.id", target.org_id.to_string());
        self.stage.set("distribution.target.id", target.target_id.to_string());
        if class.is_failure() {
            self.stage.fail(detail.unwrap_or(class.as_str()).to_owned());
        }
        if let Some(traceparent) = self.stage.traceparent() {
            self.traceparent = traceparent;
        }
        let root = root(target);
        for call in calls {
            tell_call(call, root.as_ref(), Some(&self.traceparent));
        }
    }
}
