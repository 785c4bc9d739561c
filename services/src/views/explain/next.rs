//! What is next for a listing: from the journal what holds it, from the queue its time, its turn and the windows.

use chrono::{DateTime, Utc};
use domain::counted::{agreeing, counted};
use domain::listing::{ChannelListing, LinkState, Pending};
use domain::target::{Lifecycle, Target};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::history::History;
use super::now::Waiting;
use crate::views::attempts;
use crate::views::circuit::OpenCircuit;
use crate::views::holds::{Hold, Holds};
use crate::views::moment::moment;
use crate::views::not_its_own::NotItsOwn;
use crate::views::queue::{DUE, LATER, LOGIN, PAUSED, UNDER_WAY};
use crate::views::windows::ScopeWindow;

/// Of a listing whose creation is not told yet.
pub const MAY_BE_ON_ITS_WAY: &str = "a creation of it may still be on its way";

const READ_FIRST: &str = "how a call ended is unknown, so the channel is read before anything is sent";

/// What is next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Nothing is to be sent.
    Nothing,
    /// Somebody works on it.
    UnderWay,
    /// Somebody took its listing up for a sync before it, and ends that one's attempt first, where it has begun.
    AfterAttempt,
    /// It waits for its turn and for slots.
    WaitsForSlot,
    /// It is tried again at its time.
    Later,
    /// Somebody or something has to let it go.
    Held,
    /// The queue does not show it yet.
    NotQueuedYet,
}

/// What is next for a listing, when, and because of what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Next {
    /// What.
    pub step: Step,
    /// The sync that it is about.
    pub sync_id: Option<Uuid>,
    /// Which attempt it will be, or is, of five: one that a rate limit or refused credentials ended was none of them.
    pub attempt: Option<u32>,
    /// Not before this, where a time is known.
    pub at: Option<DateTime<Utc>>,
    /// Why, each in a few words.
    pub because: Vec<String>,
    /// What somebody has to do about it, each with what it is about, in short sentences.
    pub what_to_do: Vec<String>,
    /// Until what happens there is nothing to be sent, where that is so.
    #[serde(skip)]
    pub until: &'static str,
}

/// `circuit` is that of its target, where it is open; `lag_since` is since when the read models do not show all,
/// where they lag; `is_elsewhere`, that its unit is in another account.
pub(super) fn next(
    history: &History,
    target: &Target,
    (holds, circuit): (&Holds, Option<&OpenCircuit>),
    waiting: Option<&Waiting>,
    (lag_since, is_elsewhere): (Option<DateTime<Utc>>, bool),
) -> Next {
    let listing = &history.listing;
    let nothing = |because: String, until: &'static str| Next {
        step: Step::Nothing,
        sync_id: None,
        attempt: None,
        at: None,
        because: vec![because],
        what_to_do: Vec::new(),
        until,
    };
    if target.lifecycle == Lifecycle::Deleted {
        return nothing("its target is deleted".to_owned(), "the unit is linked to another target");
    }
    if listing.state() == Some(LinkState::Unlinked) {
        let by = holds.unlinked.as_ref().map(Hold::words).unwrap_or_default();
        return nothing(format!("it was unlinked{by}"), "it is linked again");
    }
    // What helps a unit that is elsewhere is told with that.
    let (held, gone) = (holds.words_beside(circuit), history.gone().filter(|_| !is_elsewhere));
    let Some(pending) = listing.pending() else {
        let because = match history.syncs.back().and_then(|last| last.end.as_ref()) {
            Some(end) => format!("its newest sync has ended: {}", end.outcome.words()),
            None => "it never asked for a sync".to_owned(),
        };
        let not_its_own = history.not_its_own().filter(|_| !is_elsewhere);
        let until = match &gone {
            _ if is_elsewhere => "its unit is back in its account",
            Some(_) => "the unit changes, somebody asks for a sync or it is linked afresh",
            None if not_its_own.is_some() => "the unit changes, somebody asks for a sync or it is linked anew",
            // Whoever linked it, and died before the first sync, left that to the intake.
            None if history.syncs.is_empty() => {
                "its unit is known: the intake asks for its first sync within two minutes then"
            }
            None => "the unit changes or somebody asks for a sync",
        };
        let mut next = nothing(because, until);
        let held = held.into_iter().filter(|_| !is_elsewhere);
        next.because.extend(held.map(|why| format!("the next change of the unit waits, as {why}")));
        next.what_to_do.extend(gone.map(|gone| gone.words("the next change")));
        next.what_to_do.extend(not_its_own.map(|theirs| theirs.not_created("the next change")));
        return next;
    };
    let earlier = |ordinal: u64| {
        let story = history.syncs.iter().find(|story| story.request.ordinal == ordinal);
        story.map(|story| story.request.sync_id.0)
    };
    let mut next = of_pending(listing, pending, held, waiting, earlier, lag_since);
    next.what_to_do.extend(gone.map(|gone| gone.words("that one")));
    next
}

/// Of a sync of the listing that waits, which `held` keeps from being sent. `earlier` names another one by its ordinal, where that is known.
pub fn of_pending(
    listing: &ChannelListing,
    pending: &Pending,
    held: Vec<String>,
    waiting: Option<&Waiting>,
    earlier: impl Fn(u64) -> Option<Uuid>,
    lag_since: Option<DateTime<Utc>>,
) -> Next {
    let mut next = Next {
        step: Step::Held,
        sync_id: Some(pending.sync_id.0),
        attempt: Some(attempts::next(pending.attempts)),
        at: None,
        because: held,
        what_to_do: Vec::new(),
        until: "",
    };
    if !next.because.is_empty() {
        next.what_to_do.extend(unproved(listing));
        return next;
    }
    let in_hand = waiting.and_then(Waiting::ordinal_in_hand).filter(|ordinal| *ordinal < pending.ordinal);
    if let Some(ordinal) = in_hand {
        next.step = Step::AfterAttempt;
        next.because.push(match earlier(ordinal) {
            Some(sync) => format!("a dispatcher took the listing up for sync {sync}"),
            None => "a dispatcher took the listing up for that one".to_owned(),
        });
        return next;
    }
    let Some(row) = waiting.filter(|row| row.sync_id == pending.sync_id.0) else {
        next.step = Step::NotQueuedYet;
        next.because.push(match lag_since {
            Some(since) => {
                format!("the read models do not show it yet: they lack what has happened since {}", moment(since))
            }
            None => "the read models do not show it yet".to_owned(),
        });
        return next;
    };
    queued(&mut next, row);
    if row.is_let_go {
        next.because.push("an attempt before it ended without a word, so everything is to be sent".to_owned());
    }
    let unproved = unproved(listing);
    next.because.extend(doubt(listing, row).filter(|_| unproved.is_none()).map(str::to_owned));
    next.what_to_do.extend(unproved);
    next
}

fn unproved(listing: &ChannelListing) -> Option<String> {
    NotItsOwn::unproved(listing).map(|theirs| theirs.not_created("that one"))
}

/// What nobody knows of the listing at the channel. An intent to create that the attempt under way wrote down itself is no doubt of that one.
fn doubt(listing: &ChannelListing, row: &Waiting) -> Option<&'static str> {
    let is_being_made = row.status == UNDER_WAY && !row.is_heir;
    match listing.untold_creation().filter(|_| is_being_made) {
        Some(creation) => Some(MAY_BE_ON_ITS_WAY).filter(|_| creation.settles_at() > Utc::now()),
        None => Some(READ_FIRST).filter(|_| listing.must_verify()),
    }
}

impl Next {
    /// In a few words, to stand behind the name of what it is about and before a full stop.
    pub fn brief(&self) -> String {
        let what = match self.step {
            Step::Nothing => "none",
            Step::UnderWay => "under way",
            Step::AfterAttempt => "as soon as no attempt of an earlier sync is under way",
            Step::WaitsForSlot => "when it has its turn",
            Step::Later => "later",
            Step::Held => "held",
            Step::NotQueuedYet => "not queued yet",
        };
        let at = self.at.map(|at| format!(", not before {}", moment(at))).unwrap_or_default();
        let because = if self.because.is_empty() { String::new() } else { format!(": {}", self.because.join("; ")) };
        format!("{what}{at}{because}")
    }
}

/// Who has a turn before it, where somebody has.
pub fn turn(row: &Waiting) -> Option<String> {
    let have = agreeing(row.ahead, "has its turn", "have their turn");
    (row.ahead > 0).then(|| format!("{} of its target {have} before it", counted(row.ahead, "listing")))
}

fn queued(next: &mut Next, row: &Waiting) {
    match row.status.as_str() {
        UNDER_WAY => {
            next.step = Step::UnderWay;
            windows(next, row);
        }
        LATER => {
            next.step = Step::Later;
            next.at = Some(row.due_at);
            next.because.push("that is when it is due".to_owned());
        }
        DUE | PAUSED | LOGIN => {
            next.step = Step::WaitsForSlot;
            next.because.extend(turn(row));
            windows(next, row);
            if row.status == PAUSED {
                next.at = next.at.max(Some(row.due_at));
            }
            if let Some(login) = &row.login {
                next.at = next.at.max(Some(login.not_before));
                next.because.push(login.words());
            }
            if let Some(until) = row.done_until {
                next.because.push(format!(
                    "a dispatcher was done with it as the queue shows it: unless that follows, it is taken up again {}",
                    moment(until)
                ));
            }
            next.because.extend(row.unattended.map(|unattended| unattended.words()));
            if next.because.is_empty() {
                next.because.push("it is due, and nothing but a dispatcher is waited for".to_owned());
                // Its account may be full all the same.
                let untold = row.windows.iter().filter(|window| window.withheld.is_some());
                next.because.extend(untold.map(ScopeWindow::words));
            }
        }
        held => match &row.circuit {
            Some(circuit) => {
                next.at = circuit.next_check_at;
                next.because.push(circuit.words());
            }
            None => next.because.push(held.to_owned()),
        },
    }
}

fn windows(next: &mut Next, row: &Waiting) {
    for window in row.windows.iter().filter(|window| window.is_closed()) {
        next.at = next.at.max(window.paused_until.or(window.next_free_at));
        next.because.push(window.words());
    }
}
