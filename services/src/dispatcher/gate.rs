//! The gate: the one task of a dispatcher that takes slots for syncs, frees them and leases listings, in batches.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use adapters::dispatch::{Lease, Settlement};
use adapters::nats::Nats;
use chrono::{DateTime, Utc};
use domain::ids::{ListingId, TargetId};
use domain::port::Stopped;
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::checks;
use super::message::Message;
use super::{EXTENDED_EACH, Shared};
use crate::slots::boot_instant::BootInstant;
use crate::slots::waiting::WaitingCalls;
use crate::stopping::Stopping;

/// The longest sleep: nudges are hints, this is the guarantee.
pub(super) const POLL: Duration = Duration::from_millis(250);
/// The shortest time between two rounds, so that a storm of nudges is one round.
pub(super) const PAUSE: Duration = Duration::from_millis(2);
/// Rounds take at most one part in so many of the time: the busier the database, the more goes into one round.
const SHARE: u32 = 2;
/// Nobody waits longer for the next round because the last one was slow.
const LONGEST_PAUSE: Duration = Duration::from_millis(25);

/// An extension of the leases that failed is tried again after so long: meanwhile calls may get no slot.
const EXTENDED_AGAIN: Duration = Duration::from_secs(1);
/// How often the last settlement is tried at a stop.
const MOST_FAILURES: u32 = 10;

pub(super) struct Gate {
    nats: Nats,
    pub(super) shared: Arc<Shared>,
    inbox: mpsc::UnboundedReceiver<Message>,
    pub(super) outbox: mpsc::UnboundedSender<Message>,
    pub(super) waiting: WaitingCalls,
    pub(super) active: HashMap<ListingId, Lease>,
    /// Listings under way that are not surely this dispatcher's any more, each with why: their workers get no further slot.
    lost: HashMap<ListingId, Stopped>,
    /// What the workers told and the tables do not show yet.
    told: Settlement,
    /// The version of each target whose limits are in the tables.
    pub(super) ensured: HashMap<TargetId, i64>,
    /// Targets that could not be read the last time.
    pub(super) unreadable: HashSet<TargetId>,
    /// Wakes that stayed the last time, and are not looked at the next.
    wakes_passed_over: i64,
    pub(super) workers: TaskTracker,
    extended_at: BootInstant,
    /// The leases of all listings under way were written after this.
    pub(super) held_since: BootInstant,
    swept_at: Option<Instant>,
    /// Since when the tables are on the server that they were on when it was looked last.
    on_server_since: Option<DateTime<Utc>>,
    pub(super) stopping: Stopping,
}

impl Gate {
    pub(super) fn new(nats: Nats, shared: Arc<Shared>, stopping: Stopping) -> Self {
        let (outbox, inbox) = mpsc::unbounded_channel();
        Self {
            nats,
            shared,
            inbox,
            outbox,
            waiting: WaitingCalls::default(),
            active: HashMap::new(),
            lost: HashMap::new(),
            told: Settlement::default(),
            ensured: HashMap::new(),
            unreadable: HashSet::new(),
            wakes_passed_over: 0,
            workers: TaskTracker::new(),
            extended_at: BootInstant::now(),
            held_since: BootInstant::now(),
            swept_at: None,
            on_server_since: None,
            stopping,
        }
    }

    pub(super) async fn run(self) {
        let (workers, in_vain) = (self.workers.clone(), self.stopping.in_vain.clone());
        tokio::select! {
            () = self.work() => {}
            () = in_vain.cancelled() => {
                // Each tells the log of what it had under way.
                workers.close();
                workers.wait().await;
            }
        }
    }

    async fn work(mut self) {
        let checks = checks::run(self.shared.clone(), self.outbox.clone(), self.stopping.asked.clone());
        self.workers.spawn(self.stopping.clone().unless_in_vain(checks));
        let mut nudges = None;
        self.notice_server().await;
        while !self.stopping.asked.is_cancelled() {
            let began = Instant::now();
            if nudges.is_none() {
                nudges = self.nats.client.subscribe(self.nats.prefix.nudge_queue()).await.ok();
            }
            // First of all: a lease must not run out because something else fails.
            self.keep_up().await;
            match self.step().await {
                Ok(true) => tokio::time::sleep(pause_after(began.elapsed())).await,
                Ok(false) => {
                    let not_before = Instant::now() + pause_after(began.elapsed());
                    self.wait(&mut nudges, not_before).await;
                }
                Err(error) => rest_after(&error).await,
            }
        }
        self.finish().await;
    }

    async fn step(&mut self) -> Result<bool, sqlx::Error> {
        self.hear();
        self.settle().await?;
        self.wakes_passed_over = self.shared.store.take_wakes(self.wakes_passed_over).await?.beyond;
        self.round().await
    }

    /// Leases are kept, accounts have the limits that their targets give them, and every now and then each lane with
    /// work is woken, whatever the hints did.
    async fn keep_up(&mut self) {
        let failed = self.held_since < self.extended_at;
        if self.extended_at.elapsed() < if failed { EXTENDED_AGAIN } else { EXTENDED_EACH } {
            return;
        }
        let at = BootInstant::now();
        self.extended_at = at;
        let listings: Vec<ListingId> = self.active.keys().copied().collect();
        let extended = if listings.is_empty() {
            Ok(HashSet::new())
        } else {
            self.shared.store.extend_leases(&listings, self.shared.options.lease()).await
        };
        let mut lost = listings;
        match extended {
            Ok(kept) => {
                self.held_since = at;
                lost.retain(|listing| !kept.contains(listing));
            }
            Err(error) => {
                lost.clear();
                tracing::warn!(error = %error, "failed to extend leases");
            }
        }
        // Where the tables are of another state, that is why a lease is not there.
        self.notice_server().await;
        self.lose(lost, Stopped::OtherHands);
        if let Err(error) = self.ensure_account_limits().await {
            tracing::warn!(error = %error, "failed to bring the accounts' limits up to date");
        }
        if let Err(error) = self.shared.store.rest_closed_lanes().await {
            tracing::warn!(error = %error, "failed to let the lanes of held targets rest");
        }
        if self.swept_at.is_none_or(|at| at.elapsed() > Duration::from_secs(30)) {
            self.swept_at = Some(Instant::now());
            if let Err(error) = self.shared.store.wake_all().await {
                tracing::warn!(error = %error, "failed to wake the lanes");
            }
        }
    }

    /// On another server, or in an earlier state of the database, the tables may know neither of limits that were brought there nor of
    /// leases, and the journal not of the jobs: all slots rest there by now, and before they are over nobody goes on with what was
    /// begun.
    async fn notice_server(&mut self) {
        let since = match self.shared.store.on_server_since().await {
            Ok(since) => since,
            Err(error) => return tracing::warn!(error = %error, "failed to look which server the tables are on"),
        };
        if self.on_server_since.replace(since).is_some_and(|before| before != since) {
            self.ensured.clear();
            let under_way: Vec<ListingId> = self.active.keys().copied().collect();
            self.lose(under_way, Stopped::DatabaseMoved);
        }
    }

    /// The first reason stands.
    fn lose(&mut self, listings: Vec<ListingId>, why: Stopped) {
        for listing in listings {
            if let Entry::Vacant(entry) = self.lost.entry(listing) {
                entry.insert(why);
                tracing::warn!(listing_id = %listing, "{why}; the worker gets no further slot");
            }
        }
        let lost = &self.lost;
        self.waiting.stop(|want| lost.get(&want.listing_id).copied());
    }

    /// Sleeps until something may have changed.
    async fn wait(&mut self, nudges: &mut Option<async_nats::Subscriber>, not_before: Instant) {
        // Without room for more, only a worker's word can change anything.
        let full = self.active.len() >= self.shared.options.concurrency;
        let planned = if full { None } else { self.shared.store.next_wake_ms().await.ok().flatten() };
        let planned = planned.map_or(POLL, |ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0)));
        let look = self.waiting.next_look(Instant::now()).unwrap_or(POLL);
        let sleep = look.min(planned).clamp(PAUSE, POLL);
        let nudged = async {
            match nudges.as_mut() {
                Some(nudges) => nudges.next().await.is_some(),
                None => std::future::pending().await,
            }
        };
        let mut heard = None;
        let alive = tokio::select! {
            () = self.stopping.asked.cancelled() => true,
            () = tokio::time::sleep(sleep) => true,
            alive = nudged => alive,
            message = self.inbox.recv() => { heard = message; true }
        };
        if let Some(message) = heard {
            self.take_in(message);
        }
        if !alive {
            *nudges = None;
        }
        tokio::time::sleep_until(not_before).await;
        // Nudges that came together are one.
        while let Some(Some(_)) = nudges.as_mut().and_then(|nudges| futures::FutureExt::now_or_never(nudges.next())) {}
    }

    fn hear(&mut self) {
        while let Ok(message) = self.inbox.try_recv() {
            self.take_in(message);
        }
    }

    fn take_in(&mut self, message: Message) {
        match message {
            Message::Want(want) => match self.lost.get(&want.listing_id) {
                Some(why) => want.stop(*why),
                None => self.waiting.add(want),
            },
            Message::Slot(end) => end.note(&mut self.told),
            Message::Ended(target, failed) => self.told.ended.push((target, failed)),
            Message::Finished(done) => {
                self.forget(done.lease.listing_id);
                self.told.finished.push(done);
            }
            Message::SetAside(lease, length) => {
                self.forget(lease.listing_id);
                self.told.set_aside.push((lease, length));
            }
            Message::Released(lease) => {
                self.forget(lease.listing_id);
                self.told.released.push(lease);
            }
        }
    }

    fn forget(&mut self, listing: ListingId) {
        self.active.remove(&listing);
        self.lost.remove(&listing);
    }

    /// Writes down what the workers told. What could not be written is kept for the next time.
    async fn settle(&mut self) -> Result<(), sqlx::Error> {
        if self.told.is_empty() {
            return Ok(());
        }
        self.shared.store.settle(&self.told).await?;
        for hold in std::mem::take(&mut self.told).unused {
            self.waiting.look_again(hold.target_id);
        }
        Ok(())
    }

    /// Nobody gets a slot any more; calls under way end, their outcomes and slots are written.
    async fn finish(mut self) {
        self.workers.close();
        let workers = self.workers.clone();
        let mut idle = std::pin::pin!(workers.wait());
        let (mut done, mut failures) = (false, 0);
        loop {
            self.waiting.stop(|_| Some(Stopped::Stopping));
            match self.settle().await {
                Ok(()) if done => return,
                Ok(()) => {}
                Err(error) if done && failures == MOST_FAILURES => {
                    tracing::warn!(error = %error, "stopped without the database: leases and slots run out by themselves");
                    return;
                }
                Err(error) => {
                    failures += u32::from(done);
                    rest_after(&error).await;
                }
            }
            self.keep_up().await;
            let heard = tokio::select! {
                () = &mut idle, if !done => { done = true; None }
                message = self.inbox.recv(), if !done => message,
                () = tokio::time::sleep(if done { PAUSE } else { EXTENDED_EACH }) => None,
            };
            heard.into_iter().for_each(|message| self.take_in(message));
            self.hear();
        }
    }
}

/// The first round after a rest comes at once; of many in a row each makes room for the work that it gave out.
fn pause_after(round: Duration) -> Duration {
    (round * (SHARE - 1)).clamp(PAUSE, LONGEST_PAUSE)
}

async fn rest_after(error: &sqlx::Error) {
    tracing::warn!(error = %error, "the dispatcher cannot reach the database");
    tokio::time::sleep(Duration::from_millis(500)).await;
}
