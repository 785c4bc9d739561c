//! `listing show`: the state as the journal has it, and how the last sync ended as the read models have it.

use anyhow::Context;
use chrono::{DateTime, Utc};
use domain::channel::{RejectedPart, Section};
use domain::ids::ListingId;
use domain::listing::{Cause, ChannelListing, Creation, Link, LinkState, ListingError, Pending};
use domain::outcome::SyncOutcome;
use domain::target::{Lifecycle, Target};
use serde::Serialize;
use serde_json::Value;
use sqlx::{FromRow, PgPool};

use crate::cli::output::{Cell, Out, text, words};
use crate::cli::session::Session;
use crate::cli::times::{moment, optional_moment};
use crate::views::asked::{Asked, Taken, newest_request};
use crate::views::earlier_link::{self, BY_EARLIER};
use crate::views::elsewhere::Elsewhere;
use crate::views::gone::{self, Gone};
use crate::views::lacking::{Lacking, parts};
use crate::views::listings::{LISTINGS, Listing, TARGET_DELETED};
use crate::views::not_its_own::NotItsOwn;
use crate::views::not_taken::became;
use crate::views::older_state::of_newest;
use crate::views::queue::BEHIND_SINCE;

#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    listing: Listing,
    /// The newest revision of the unit that was taken.
    last_revision: u64,
    /// A state of the past was asked for last: `revision` is behind `last_revision` on purpose.
    replayed: bool,
    /// An intent to create whose result is not known yet.
    creation: Option<Creation>,
    pending: Option<Pending>,
    needs: Vec<Section>,
    /// What the channel has not of the accepted snapshot, as long as nothing newer is asked for.
    lacking: Option<Lacking>,
    /// When the channel took something last by an earlier link, where it has by none of now.
    taken_before_at: Option<DateTime<Utc>>,
    /// Where its unit is, where that is in an account that it does not take from.
    elsewhere: Option<Elsewhere>,
    /// What it has found or made at the channel, where that is not known to be its own.
    #[serde(skip)]
    not_its_own: Option<NotItsOwn>,
    queue: Option<Queued>,
}

#[derive(Debug, FromRow, Serialize)]
struct Queued {
    tries: i32,
    requested_at: DateTime<Utc>,
    /// When the first request was made that the channel has not got.
    behind_since: DateTime<Utc>,
    due_at: DateTime<Utc>,
}

async fn look(session: &Session, pool: &PgPool, id: ListingId) -> anyhow::Result<Shown> {
    let syncing = session.syncing(pool);
    let listing = syncing.commands().load_listing(id).await?;
    let link = listing.link().ok_or(ListingError::NotFound)?;
    let target = syncing.commands().load_target(link.target_id).await?;
    // What waited ended with its target.
    let live = target.live().is_ok();
    let one = format!("SELECT * FROM ({LISTINGS}) AS l WHERE listing_id = $1");
    let row: Option<Listing> = sqlx::query_as(&one).bind(id.0).fetch_optional(pool).await?;
    let queued = format!(
        "SELECT tries, requested_at, {BEHIND_SINCE} AS behind_since, due_at FROM sync_queue AS q WHERE listing_id = $1"
    );
    let asked = newest_request(&mut *pool.acquire().await?, id).await?;
    let elsewhere = if live && syncing.unit_is_elsewhere(&listing).await? {
        let (org, unit) = (link.org_id.as_str(), link.unit_id.as_str());
        Some(Elsewhere::told_to(&mut *pool.acquire().await?, org, unit).await?)
    } else {
        None
    };
    let is_elsewhere = elsewhere.is_some();
    let taken_before_at = match &row {
        Some(row) => earlier_link::taken_at(&mut *pool.acquire().await?, row).await?,
        None => None,
    };
    Ok(Shown {
        listing: Listing { unit_elsewhere: is_elsewhere, ..merged(row.as_ref(), &listing, link, target.target()) },
        last_revision: listing.last_revision(),
        replayed: asked.as_ref().is_some_and(|asked| is_replayed(asked, &listing)),
        creation: listing.creation(),
        pending: listing.pending().filter(|_| live).cloned(),
        needs: if live { listing.needs() } else { Vec::new() },
        lacking: lacking(&listing, target.target(), asked.as_ref(), row.as_ref()),
        taken_before_at,
        elsewhere,
        not_its_own: row
            .as_ref()
            .and_then(|row| NotItsOwn::of(&listing, row.last_outcome.as_deref(), row.last_detail.as_deref())),
        queue: sqlx::query_as(&queued).bind(id.0).fetch_optional(pool).await?,
    })
}

fn is_replayed(asked: &Asked, listing: &ChannelListing) -> bool {
    let is_older = asked.request.revision < listing.last_revision();
    is_older && matches!(asked.request.cause, Cause::Replayed { .. })
}

/// As an explanation finds it.
fn lacking(
    listing: &ChannelListing,
    target: Option<&Target>,
    asked: Option<&Asked>,
    row: Option<&Listing>,
) -> Option<Lacking> {
    let (asked, row) = (asked?, row?);
    let taken = Taken::of(listing, target?, asked, row.outcome_of(asked.request.sync_id))?;
    Lacking::of(&taken, &parts(row.rejected.clone()))
}

/// What the journal knows goes before what the read models know: they may lag.
fn merged(row: Option<&Listing>, listing: &ChannelListing, link: &Link, target: Option<&Target>) -> Listing {
    let state = listing.state().unwrap_or(LinkState::Unlinked);
    let deleted = target.is_some_and(|target| target.lifecycle == Lifecycle::Deleted);
    let pending = listing.pending();
    let known = i64::try_from(listing.last_revision()).ok().filter(|revision| *revision > 0);
    Listing {
        listing_id: link.listing_id.0,
        org_id: link.org_id.to_string(),
        account_id: link.account_id.to_string(),
        unit_id: link.unit_id.to_string(),
        target_id: link.target_id.0,
        target_name: target.map(|target| target.name.clone()),
        state: if deleted && state != LinkState::Unlinked { TARGET_DELETED } else { state.as_str() }.to_owned(),
        generation: link.generation.into(),
        external_id: listing.external_id().map(ToString::to_string),
        revision: pending
            .and_then(|pending| i64::try_from(pending.revision).ok())
            .or_else(|| row.map_or(known, |row| row.revision)),
        snapshot: pending
            .map(|pending| pending.snapshot.to_string())
            .or_else(|| row.and_then(|row| row.snapshot.clone())),
        accepted_snapshot: listing.accepted().snapshot.map(|hash| hash.to_string()),
        pending_sync_id: pending.map(|pending| pending.sync_id.0).filter(|_| !deleted),
        last_sync_id: row.and_then(|row| row.last_sync_id),
        last_outcome: row.and_then(|row| row.last_outcome.clone()),
        last_detail: row.and_then(|row| row.last_detail.clone()),
        rejected: row.map_or_else(|| Value::Array(Vec::new()), |row| row.rejected.clone()),
        unit_elsewhere: row.is_some_and(|row| row.unit_elsewhere),
        linked_by: row.and_then(|row| row.linked_by.clone()),
        linked_at: row.and_then(|row| row.linked_at),
        last_accepted_at: row.and_then(|row| row.last_accepted_at),
        updated_at: row.and_then(|row| row.updated_at),
        version: row.and_then(|row| row.version),
    }
}

pub(super) async fn show(session: &Session, listing_id: ListingId) -> anyhow::Result<()> {
    let pool = session.postgres().await?;
    let shown = look(session, &pool, listing_id).await.with_context(|| format!("listing {listing_id}"))?;
    if session.out.is_json() { session.out.json(&shown) } else { print(session.out, &shown) }
}

fn print(out: Out, shown: &Shown) -> anyhow::Result<()> {
    let listing = &shown.listing;
    let newest = i64::try_from(shown.last_revision).ok().filter(|_| shown.replayed);
    let mut fields = vec![
        ("listing", listing.listing_id.to_string()),
        ("unit", format!("{} of {} / {}", listing.unit_id, listing.org_id, listing.account_id)),
        ("target", listing.target_id.to_string()),
        ("target name", listing.target_name.clone().unwrap_or_default()),
        ("state", words(&listing.state)),
        ("at the channel", listing.external_id.clone().unwrap_or_default()),
        ("revision", listing.revision.map(|revision| of_newest(revision, newest)).unwrap_or_default()),
        ("accepted snapshot", accepted(shown)),
        ("creation under way", optional_moment(shown.creation.map(|creation| creation.started_at))),
    ];
    fields.extend(pending(shown));
    let by = listing.linked_by.as_deref().unwrap_or_default();
    fields.extend([
        ("linked", listing.linked_at.map(|at| format!("{} by {by}", moment(at))).unwrap_or_default()),
        ("last outcome", listing.last_outcome.clone().unwrap_or_default()),
        ("last sync", listing.last_sync_id.map(|id| id.to_string()).unwrap_or_default()),
        ("last detail", listing.last_detail.clone().unwrap_or_default()),
        ("last accepted", last_accepted(shown)),
        ("what to do", shown.elsewhere.as_ref().map_or_else(|| advice(shown), Elsewhere::words)),
    ]);
    out.record(&fields)?;
    let rejected = parts(listing.rejected.clone());
    if rejected.is_empty() {
        return Ok(());
    }
    let is_refused = listing.last_outcome.as_deref() == Some(SyncOutcome::Rejected.as_str());
    out.line("\nparts that it did not take:")?;
    let rows = rejected.iter().map(|part| cells(part, is_refused)).collect();
    out.table(&["what", "section", "part", "value", "reason"], rows, "")
}

fn last_accepted(shown: &Shown) -> String {
    let before = shown.taken_before_at.map(|before| format!("{} {BY_EARLIER}", moment(before)));
    before.unwrap_or_else(|| optional_moment(shown.listing.last_accepted_at))
}

/// What was sent last with success, and which sections of it the channel refused all the same, or may have no more.
fn accepted(shown: &Shown) -> String {
    let snapshot = shown.listing.accepted_snapshot.clone().unwrap_or_default();
    match &shown.lacking {
        Some(lacking) if !lacking.sections.is_empty() => format!("{snapshot}, but for {}", lacking.sections.join(", ")),
        Some(lacking) if !lacking.in_doubt.is_empty() => {
            format!("{snapshot}, in doubt: {}", lacking.in_doubt.join(", "))
        }
        _ => snapshot,
    }
}

/// A refusal heals by what somebody does, so it is said what that can be; and how what is in doubt heals at once.
fn advice(shown: &Shown) -> String {
    let listing = &shown.listing;
    let id = listing.listing_id;
    if let Some(theirs) = shown.not_its_own.as_ref().filter(|_| ["active", "paused"].contains(&&*listing.state)) {
        return theirs.remedy().to_owned();
    }
    match (&listing.state[..], listing.last_outcome.as_deref()) {
        (TARGET_DELETED, _) => "link the unit to another target; nothing is sent to a deleted one".to_owned(),
        ("active" | "paused", Some("rejected")) if says(listing, "archived") => {
            format!("take it out of the archive at Hostaway, then `distribution listing sync {id} --reason REASON`")
        }
        ("active" | "paused", outcome) if gone::is_gone(outcome, listing.last_detail.as_deref()) => {
            Gone::of(&id, &listing.target_id, &listing.unit_id).words("the next change")
        }
        ("active" | "paused", Some("rejected")) if listing.external_id.is_some() => {
            let (unit, target) = (&listing.unit_id, listing.target_id);
            format!(
                "publish the unit with what was refused mended; or, if that is not its listing at the channel, \
                 `distribution listing unlink {id}`, then `distribution listing link --target {target} --unit {unit} \
                 --external-id ID` (or --afresh, to have it looked for and made)"
            )
        }
        ("active" | "paused", Some("rejected")) => "publish the unit with what was refused mended".to_owned(),
        ("active" | "paused", Some("exhausted" | "unauthorised")) => {
            format!("when the channel answers again: `distribution listing sync {id} --reason REASON`")
        }
        _ => shown.lacking.as_ref().and_then(Lacking::doubt).unwrap_or_default(),
    }
}

fn says(listing: &Listing, words: &str) -> bool {
    listing.last_detail.as_deref().is_some_and(|detail| detail.contains(words))
}

fn pending(shown: &Shown) -> Vec<(&'static str, String)> {
    let Some(pending) = &shown.pending else { return Vec::new() };
    let needs: Vec<&str> = shown.needs.iter().map(|section| section.as_str()).collect();
    vec![
        ("pending sync", pending.sync_id.to_string()),
        ("pending snapshot", pending.snapshot.to_string()),
        ("pending needs", needs.join(", ")),
        ("burned attempts", pending.attempts.to_string()),
        ("behind since", shown.queue.as_ref().map(|queued| moment(queued.behind_since)).unwrap_or_default()),
        ("due", shown.queue.as_ref().map(|queued| moment(queued.due_at)).unwrap_or_default()),
    ]
}

fn cells(part: &RejectedPart, is_refused: bool) -> Vec<Cell> {
    vec![text(became(part, is_refused)), text(part.section), text(&part.part), text(&part.value), text(&part.reason)]
}
