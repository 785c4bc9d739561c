//! What happens next to a listing, and when.

use std::iter;

use chrono::{DateTime, Utc};
use domain::access::Permission;
use domain::ids::{ListingId, TargetId};
use domain::outcome::SyncOutcome;
use maud::{Markup, html};
use sqlx::{FromRow, PgConnection};

use super::known::Known;
use super::unseen::unseen;
use crate::api::Api;
use crate::api::by::By;
use crate::api::problem::Problem;
use crate::dashboard::pieces::{moment, state, sync_link, told, told_with_button};
use crate::views::asked::{Asked, Taken, newest_request};
use crate::views::attempts::{self, NEXT};
use crate::views::elsewhere::Elsewhere;
use crate::views::explain::now;
use crate::views::gone::{self, Gone};
use crate::views::holds::{self, Holds};
use crate::views::lacking::{Lacking, parts};
use crate::views::listings::{Listing, TARGET_DELETED};
use crate::views::not_its_own::NotItsOwn;
use crate::views::older_state::OlderState;
use crate::views::queue::{AFTER_ATTEMPT, BY_ROW, DUE, FREE, HELD_BY, LATER, LOGIN, PAUSED, UNDER_WAY, WAITING};

#[derive(Debug, FromRow)]
struct Waiting {
    status: String,
    /// All that holds it: its status names the first.
    held_by: Vec<String>,
    sync_id: uuid::Uuid,
    revision: i64,
    needs: Vec<String>,
    attempt: i32,
    due_at: DateTime<Utc>,
}

impl Waiting {
    /// What else holds it, where something does: whoever ends what its status names finds it held by these.
    fn held_besides(&self) -> impl Iterator<Item = &str> {
        let is_held = !FREE.contains(&self.status.as_str());
        self.held_by.iter().map(String::as_str).filter(move |held| is_held && *held != self.status)
    }
}

/// What a reader sees of what comes next.
pub(super) struct Seen {
    waiting: Option<Waiting>,
    /// Where its unit is, if that is in another account.
    elsewhere: Option<String>,
    /// Where it stands in the queue.
    row: Option<now::Waiting>,
    holds: Holds,
    /// What was asked for last, where that succeeded and nothing waits.
    asked: Option<Asked>,
}

impl Seen {
    pub(super) async fn by(reader: &mut PgConnection, listing: &Listing, known: &Known) -> Result<Self, Problem> {
        let (id, target_id) = (ListingId(listing.listing_id), TargetId(listing.target_id));
        let statement = format!(
            "SELECT {BY_ROW}, {HELD_BY}, q.sync_id, q.revision, q.needs, {NEXT}, q.due_at
             FROM {WAITING} WHERE q.listing_id = $1"
        );
        let waiting: Option<Waiting> =
            sqlx::query_as(&statement).bind(listing.listing_id).fetch_optional(&mut *reader).await?;
        let elsewhere = if listing.unit_elsewhere {
            Some(Elsewhere::told_to(&mut *reader, &listing.org_id, &listing.unit_id).await?.words())
        } else {
            None
        };
        let row = match known.target.target() {
            Some(target) => now::now(&mut *reader, id, target).await?,
            None => None,
        };
        let queued = waiting.as_ref().map(|waiting| waiting.sync_id);
        let shown = known.journal.pending().is_none_or(|pending| queued == Some(pending.sync_id.0));
        let holds =
            if queued.is_some() && shown { Holds::default() } else { holds::of(&mut *reader, id, target_id).await? };
        let outcome = listing.last_outcome.as_deref().and_then(SyncOutcome::named);
        let rests = queued.is_none() && outcome.is_some_and(SyncOutcome::succeeded);
        let asked = if rests { newest_request(reader, id).await? } else { None };
        Ok(Self { waiting, elsewhere, row, holds, asked })
    }
}

/// No reader is open meanwhile, as for [`Known`].
pub(super) async fn show(api: &Api, by: &By, listing: &Listing, known: &Known, seen: Seen) -> Result<Markup, Problem> {
    let may_sync = by.caller.may(Permission::SyncListings);
    let Seen { waiting, elsewhere, row, holds, asked } = seen;
    let row = match row {
        Some(row) => Some(row.completed(api.pool(), TargetId(listing.target_id)).await?),
        None => None,
    };
    let queued = waiting.as_ref().map(|waiting| waiting.sync_id);
    let waits = known.journal.pending().is_some() && known.target.live().is_ok();
    // What helps a unit that is elsewhere is told with that.
    let gone = gone_words(listing, "that one").filter(|_| waits && elsewhere.is_none());
    if let Some(unseen) = unseen(known, queued, &holds, row.as_ref()) {
        return Ok(html! {
            (unseen.show())
            @if let Some(gone) = &gone { p.quiet { (told(gone)) } }
            @if let Some(elsewhere) = &elsewhere { p.quiet { (told(elsewhere)) } }
        });
    }
    let Some(mut waiting) = waiting else {
        let held = holds.words_beside(known.circuit.as_ref());
        let standing = standing(api, listing, known, asked.as_ref()).await?;
        let (outcome, detail) = (listing.last_outcome.as_deref(), listing.last_detail.as_deref());
        let theirs = NotItsOwn::of(&known.journal, outcome, detail);
        let rest = rest(listing, &standing, theirs, &held, elsewhere.as_deref());
        return Ok(html! { p.quiet { (told_with_button(&rest, may_sync)) } });
    };
    let mut delays = Vec::new();
    if let Some(now) = row {
        delays = now.delays();
        waiting.status = now.status;
    }
    Ok(html! {
        p {
            (state(&waiting.status)) " " @for held in waiting.held_besides() { (state(held)) " " }
            (sentence(&waiting)) @for why in &delays { " " (told(why)) }
        }
        p.quiet {
            "Sync " (sync_link(waiting.sync_id)) " of revision " (waiting.revision) ", sections: " (waiting.needs.join(", "))
        }
        @if let Some(gone) = &gone { p.quiet { (told(gone)) } }
        @if let Some(theirs) = NotItsOwn::unproved(&known.journal) { p.quiet { (told(&theirs.not_created("that one"))) } }
        @if let Some(elsewhere) = &elsewhere { p.quiet { (told(elsewhere)) } }
    })
}

/// Where the newest of its syncs that has ended found it gone at the channel, what becomes of `what` is sent next.
fn gone_words(listing: &Listing, what: &str) -> Option<String> {
    let is_gone = gone::is_gone(listing.last_outcome.as_deref(), listing.last_detail.as_deref());
    is_gone.then(|| Gone::of(&listing.listing_id, &listing.target_id, &listing.unit_id).words(what))
}

/// What the channel has, or may have, instead of the newest state, after a sync that succeeded.
#[derive(Debug, Default)]
struct Standing {
    lacking: Option<Lacking>,
    /// The state of the past that it has on purpose.
    older: Option<OlderState>,
}

/// As an explanation finds it. `asked` is what was asked for last, where that succeeded.
async fn standing(api: &Api, listing: &Listing, known: &Known, asked: Option<&Asked>) -> Result<Standing, Problem> {
    let (Some(asked), Some(target)) = (asked, known.target.target()) else { return Ok(Standing::default()) };
    let outcome = listing.outcome_of(asked.request.sync_id);
    let Some(taken) = Taken::of(&known.journal, target, asked, outcome) else { return Ok(Standing::default()) };
    let lacking = Lacking::of(&taken, &parts(listing.rejected.clone()));
    Ok(Standing { lacking, older: OlderState::of(api.syncing(), &taken).await? })
}

fn sentence(waiting: &Waiting) -> Markup {
    let attempt = attempts::words(waiting.attempt);
    match waiting.status.as_str() {
        UNDER_WAY => html! { (attempts::being_made(waiting.attempt)) },
        AFTER_ATTEMPT => {
            html! { "Attempt " (attempt) " starts as soon as no attempt of an earlier sync is under way." }
        }
        DUE => {
            html! { "Attempt " (attempt) " is due, and starts as soon as it has its turn and a slot of the window." }
        }
        LATER => html! { "Attempt " (attempt) " is due at " (moment(waiting.due_at)) "." },
        PAUSED => html! { "Attempt " (attempt) " starts when the channel's pause is over." },
        LOGIN => html! { "Attempt " (attempt) " starts as soon as its target has its turn for a login." },
        held => {
            let all: Vec<&str> = iter::once(held).chain(waiting.held_besides()).map(let_go).collect();
            html! { "It waits " (all.join(", and ")) "." }
        }
    }
}

/// When what holds it lets it go.
fn let_go(held: &str) -> &'static str {
    match held {
        "listing paused" => "until somebody resumes this listing",
        "target paused" => "until somebody resumes the target",
        "target unauthorised" => "until the target has credentials that the channel takes",
        _ => "until its target answers a check",
    }
}

/// What comes next to a listing of which nothing waits. `theirs` is what is not its own at the channel, `held` what the next change would wait
/// for; `elsewhere`, where its unit is, where that is in another account.
fn rest(
    listing: &Listing,
    Standing { lacking, older }: &Standing,
    theirs: Option<NotItsOwn>,
    held: &[String],
    elsewhere: Option<&str>,
) -> String {
    let failed = listing.last_outcome.as_deref().and_then(SyncOutcome::named).is_some_and(SyncOutcome::failed);
    let now = match (listing.state.as_str(), listing.last_outcome.as_deref()) {
        ("unlinked", _) => return "Nothing: it is not linked any more.".to_owned(),
        (state, _) if state == TARGET_DELETED => return "Nothing: its target was deleted.".to_owned(),
        (_, None) if elsewhere.is_some() => "Nothing.",
        (_, None) => "Its unit was not published yet. The first sync is asked for when it is.",
        _ if failed => "Nothing by itself: the last sync failed for good.",
        _ if lacking.is_some() => "Nothing by itself.",
        _ if older.is_some() => "Nothing by itself: the channel has the state of the past that was asked for.",
        _ => "Nothing: the channel has what was asked for.",
    };
    if let Some(elsewhere) = elsewhere {
        return format!("{now} {elsewhere}");
    }
    if let Some(gone) = gone_words(listing, "the next change") {
        return format!("{now} {gone}");
    }
    let is_theirs = theirs.is_some();
    let theirs = theirs.map(|theirs| theirs.not_created("the next change"));
    let further = lacking.iter().flat_map(Lacking::words).chain(older.iter().map(OlderState::words));
    let now = [now.to_owned()].into_iter().chain(theirs).chain(further).collect::<Vec<_>>().join(" ");
    if !held.is_empty() {
        return format!("{now} The next change of the unit waits, as {}.", held.join("; "));
    }
    if is_theirs || older.is_some() || lacking.as_ref().is_some_and(Lacking::is_sent_next) {
        return now;
    }
    match listing.last_outcome.as_deref() {
        None => now,
        Some(_) if failed => format!("{now} The next change of the unit is sent, or send it again now."),
        Some(_) => format!("{now} The next change of the unit is sent."),
    }
}
