//! The gate: the one task of a dispatcher that takes and frees slots and leases listings, in batches.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use adapters::dispatch::{Claims, DispatchStore, Lane, Lease, RoundRequest, ScopeLimit};
use adapters::nats::Nats;
use domain::channel::Section;
use domain::ids::{ListingId, TargetId};
use domain::window::Scope;
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::allocation::{Grantee, Waiting, allocate};
use super::ledger::{Told, Want};
use super::message::{Granted, Message};
use super::work::work;
use super::{LEASE, START_GRACE, Shared};

/// Lanes that one round looks at.
const LANES: i64 = 500;
/// Due listings that one lane shows in one round.
const PER_LANE: usize = 64;
/// The longest sleep: nudges are hints, this is the guarantee.
const POLL: Duration = Duration::from_millis(250);
/// The shortest time between two rounds, so that a storm of nudges is one round.
const PAUSE: Duration = Duration::from_millis(2);

pub(super) struct Gate {
    store: DispatchStore,
    nats: Nats,
    shared: Arc<Shared>,
    inbox: mpsc::UnboundedReceiver<Message>,
    outbox: mpsc::UnboundedSender<Message>,
    wants: BTreeMap<TargetId, VecDeque<Want>>,
    /// A lane whose calls wait and that has no slot before this moment.
    blocked: HashMap<TargetId, Instant>,
    active: HashMap<ListingId, Lease>,
    /// The version of each target whose limits are in the tables.
    ensured: HashMap<TargetId, i64>,
    workers: TaskTracker,
}

impl Gate {
    pub(super) fn new(store: DispatchStore, nats: Nats, shared: Arc<Shared>) -> Self {
        let (outbox, inbox) = mpsc::unbounded_channel();
        Self {
            store,
            nats,
            shared,
            inbox,
            outbox,
            wants: BTreeMap::new(),
            blocked: HashMap::new(),
            active: HashMap::new(),
            ensured: HashMap::new(),
            workers: TaskTracker::new(),
        }
    }

    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut nudges = self.nats.client.subscribe(self.nats.prefix.nudge_queue()).await.ok();
        let mut extended_at = Instant::now();
        let mut swept_at: Option<Instant> = None;
        let mut inbox = Vec::new();
        while !stop.is_cancelled() {
            while let Ok(message) = self.inbox.try_recv() {
                inbox.push(message);
            }
            if let Err(error) = self.settle(&mut inbox).await {
                self.rest_after(&error).await;
                continue;
            }
            if extended_at.elapsed() > LEASE / 4 {
                extended_at = Instant::now();
                self.keep_up(&mut swept_at).await;
            }
            match self.round().await {
                Ok(true) => {}
                Ok(false) => self.wait(&mut nudges, &mut inbox, &stop).await,
                Err(error) => self.rest_after(&error).await,
            }
        }
        self.finish(inbox).await;
    }

    async fn rest_after(&mut self, error: &sqlx::Error) {
        tracing::warn!(error = %error, "the dispatcher cannot reach the database");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }

    /// Leases are kept, and every now and then each lane with work is woken, whatever the hints did.
    async fn keep_up(&mut self, swept_at: &mut Option<Instant>) {
        let listings: Vec<ListingId> = self.active.keys().copied().collect();
        if !listings.is_empty()
            && let Err(error) = self.store.extend_leases(&listings, LEASE).await
        {
            tracing::warn!(error = %error, "failed to extend leases");
        }
        if swept_at.is_none_or(|at| at.elapsed() > Duration::from_secs(30)) {
            *swept_at = Some(Instant::now());
            if let Err(error) = self.store.wake_all().await {
                tracing::warn!(error = %error, "failed to wake the lanes");
            }
        }
    }

    /// Sleeps until something may have changed.
    async fn wait(
        &mut self,
        nudges: &mut Option<async_nats::Subscriber>,
        inbox: &mut Vec<Message>,
        stop: &CancellationToken,
    ) {
        // Without room for more, only a worker's word can change anything.
        let full = self.active.len() >= self.shared.options.concurrency;
        let planned = if full { None } else { self.store.next_wake_ms().await.ok().flatten() };
        let planned = planned.map_or(POLL, |ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0)));
        let now = Instant::now();
        let waits = self.wants.keys().map(|target| {
            self.blocked.get(target).map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
        });
        let sleep = waits.min().unwrap_or(POLL).min(planned).clamp(PAUSE, POLL);
        let nudged = async {
            match nudges.as_mut() {
                Some(nudges) => drop(nudges.next().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(sleep) => {}
            () = nudged => {}
            message = self.inbox.recv() => inbox.extend(message),
        }
        // Nudges that came together are one.
        while let Some(Some(_)) = nudges.as_mut().map(|nudges| futures::FutureExt::now_or_never(nudges.next())) {}
    }

    /// Writes down what the workers told, and takes the wishes for slots in. What could not be written stays in the
    /// inbox.
    async fn settle(&mut self, inbox: &mut Vec<Message>) -> Result<(), sqlx::Error> {
        let mut told = Told::sort(inbox.drain(..));
        for (target_id, want) in told.wants.drain(..) {
            self.wants.entry(target_id).or_default().push_back(want);
        }
        for lease in told.ended() {
            self.active.remove(&lease.listing_id);
        }
        let written = told.write(&self.store).await;
        self.blocked.retain(|target, _| !written.unused.contains(target));
        inbox.extend(written.kept);
        written.failure.map_or(Ok(()), Err)
    }

    /// One round over the due lanes. Says whether it gave anything, in which case there may be more.
    async fn round(&mut self) -> Result<bool, sqlx::Error> {
        self.wants.retain(|_, wants| {
            wants.retain(|want| !want.reply.is_closed());
            !wants.is_empty()
        });
        let now = Instant::now();
        self.blocked.retain(|_, until| *until > now);
        let waiting: Vec<TargetId> =
            self.wants.keys().filter(|target| !self.blocked.contains_key(target)).copied().collect();
        let capacity = self.shared.options.concurrency.saturating_sub(self.active.len());
        if capacity == 0 && waiting.is_empty() {
            return Ok(false);
        }
        let per_lane = i64::try_from(PER_LANE.min(capacity)).unwrap_or(0);
        let request = RoundRequest { waiting, lanes: LANES, per_lane };
        let store = self.store.clone();
        let mut round = store.open_round(&request).await?;
        if round.lanes.is_empty() {
            return Ok(false);
        }
        let egress = Scope::Egress(self.shared.options.egress.clone()).to_string();
        let mut scopes: Vec<String> = round.lanes.iter().map(|lane| lane.account_scope.clone()).collect();
        scopes.push(egress.clone());
        scopes.sort();
        scopes.dedup();
        let mut shared = round.shared_scopes(&scopes).await?;
        let waiting: BTreeMap<TargetId, Waiting> = round
            .lanes
            .iter()
            .filter_map(|lane| Some((lane.target_id, count(self.wants.get(&lane.target_id)?))))
            .collect();
        let under_way = self.under_way();
        let allocation = allocate(&round.lanes, &waiting, &mut shared, &egress, &under_way, capacity);
        let leases = allocation.grants.iter().filter_map(|grant| match &grant.grantee {
            Grantee::New(candidate) => Some(candidate.lease),
            Grantee::Waiting(_) => None,
        });
        let claims = Claims {
            leases: leases.collect(),
            holds: allocation.grants.iter().map(|grant| grant.hold.clone()).collect(),
            held_back: allocation.held_back,
        };
        let lanes = std::mem::take(&mut round.lanes);
        round.lanes.clone_from(&lanes);
        let kept_for = START_GRACE + self.shared.options.call_timeout;
        round.write(&claims, kept_for, LEASE).await?;
        let gave = !allocation.grants.is_empty();
        for grant in allocation.grants {
            let granted = Granted { hold: grant.hold, at: Instant::now(), kept_for };
            match grant.grantee {
                Grantee::Waiting(urgency) => self.hand_over(urgency, granted),
                Grantee::New(candidate) => self.start(candidate.lease, granted),
            }
        }
        self.note_blocked(&lanes);
        Ok(self.ensure_limits(&lanes).await? || gave)
    }

    fn under_way(&self) -> HashMap<TargetId, usize> {
        let mut count = HashMap::new();
        for lease in self.active.values() {
            *count.entry(lease.target_id).or_default() += 1;
        }
        count
    }

    fn hand_over(&mut self, urgency: Section, granted: Granted) {
        let target = granted.hold.target_id;
        let found = self.wants.get_mut(&target).and_then(|wants| {
            let index = wants.iter().position(|want| want.urgency == urgency)?;
            wants.remove(index)
        });
        match found {
            Some(want) => {
                if let Err(granted) = want.reply.send(granted) {
                    let _ = self.outbox.send(Message::Unused(granted.hold));
                }
            }
            None => drop(self.outbox.send(Message::Unused(granted.hold))),
        }
    }

    fn start(&mut self, lease: Lease, granted: Granted) {
        self.active.insert(lease.listing_id, lease);
        self.workers.spawn(work(self.shared.clone(), lease, granted, self.outbox.clone()));
    }

    /// Calls still wait in these lanes: when is it worth to look again?
    fn note_blocked(&mut self, lanes: &[Lane]) {
        let now = Instant::now();
        for lane in lanes.iter().filter(|lane| self.wants.get(&lane.target_id).is_some_and(|w| !w.is_empty())) {
            let wait = lane.next_free_s.map_or(POLL, Duration::from_secs_f64).clamp(PAUSE, POLL);
            self.blocked.insert(lane.target_id, now + wait);
        }
    }

    /// Brings the limits of targets that were seen for the first time, or changed, into the tables.
    async fn ensure_limits(&mut self, lanes: &[Lane]) -> Result<bool, sqlx::Error> {
        let stale: Vec<&Lane> =
            lanes.iter().filter(|lane| self.ensured.get(&lane.target_id) != Some(&lane.version)).collect();
        if stale.is_empty() {
            return Ok(false);
        }
        let mut limits = Vec::new();
        let mut known = HashSet::new();
        for lane in &stale {
            let Ok(target) = self.shared.commands.load_target(lane.target_id).await else { continue };
            let Some(settings) = target.settings() else { continue };
            limits.push(ScopeLimit { scope: settings.target_scope(), limit: Some(settings.rate_limit) });
            let account = settings.account_scope();
            let limit = self.store.account_limit(&account).await?;
            limits.push(ScopeLimit { scope: account, limit });
            known.insert((lane.target_id, lane.version));
        }
        self.store.ensure_scopes(&limits).await?;
        let any = !known.is_empty();
        self.ensured.extend(known);
        Ok(any)
    }

    /// Nobody gets a slot any more; calls under way end, their outcomes and slots are written.
    async fn finish(mut self, mut inbox: Vec<Message>) {
        self.wants.clear();
        self.workers.close();
        let workers = self.workers.clone();
        let mut idle = std::pin::pin!(workers.wait());
        let mut extended_at = Instant::now();
        loop {
            let done = tokio::select! {
                () = &mut idle => true,
                message = self.inbox.recv() => { inbox.extend(message); false }
                () = tokio::time::sleep(LEASE / 4) => false,
            };
            while let Ok(message) = self.inbox.try_recv() {
                inbox.push(message);
            }
            if let Err(error) = self.settle(&mut inbox).await {
                self.rest_after(&error).await;
            }
            self.wants.clear();
            if extended_at.elapsed() > LEASE / 4 {
                extended_at = Instant::now();
                self.keep_up(&mut Some(Instant::now())).await;
            }
            if done && inbox.is_empty() {
                return;
            }
        }
    }
}

fn count(wants: &VecDeque<Want>) -> Waiting {
    let mut waiting = Waiting::new();
    for want in wants {
        *waiting.entry(want.urgency).or_default() += 1;
    }
    waiting
}
