//! What a channel had of a listing after an event, section by section: made again from the snapshots that it had taken by then. What is
//! not known for certain is told as that.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::channel::{ListingPayload, Section};
use domain::hash::{PayloadHash, SnapshotHash};
use domain::listing::Link;
use maud::{Markup, html};

use crate::api::Api;
use crate::api::problem::Problem;
use crate::dashboard::pieces::empty;
use crate::dashboard::readable::readable;
use crate::payloads::PayloadError;
use crate::views::explain::doubt::{Doubt, NO_SUCH_LISTING, Refusal};
use crate::views::explain::history::{History, Known};
use crate::views::not_taken;

const OTHER_BUILD: &str =
    "This build makes something else of the snapshot than the one that sent it, so what was sent cannot be shown.";
const NIGHTS_STAY: &str = "Nights in no range of this stayed as they were: what it took of them earlier is there, too.";
const FIELDS_STAY: &str = "A field that this leaves out stayed as it was: what it took of it earlier is there, too.";
const NOT_RECORDED: &str = "What was sent of it is not recorded.";

/// What the snapshots say, or why they do not.
type Made = BTreeMap<SnapshotHash, Result<Arc<ListingPayload>, String>>;

/// `link` is that of now: what the one of then took from another account is shown no more than it is sent.
pub(super) async fn show(api: &Api, link: Option<&Link>, history: &History) -> Result<Markup, Problem> {
    let accepted = &history.listing.accepted().sections;
    let made = made(api, link, history).await?;
    let sections = Section::ALL.into_iter().filter_map(|section| {
        let (known, hash) = (history.known.get(&section), accepted.get(&section));
        match (known, hash) {
            (Some(known), _) => Some(one(section, known, &made)),
            (None, Some(hash)) => Some(unknown(section, NOT_RECORDED, hash)),
            (None, None) => None,
        }
    });
    let sections: Vec<Markup> = sections.collect();
    if sections.is_empty() && history.is_afresh() {
        let before = "What it had when it was unlinked is told after the events before that.";
        return Ok(empty("Not followed since it was linked afresh", before));
    }
    if sections.is_empty() {
        return Ok(empty("Nothing that is known", "No attempt had ended by then that tells what it had."));
    }
    // What a call writes is in the journal when its attempt has ended, which may be after this event.
    Ok(html! {
        p.quiet { "By the attempts that had ended by then. What one that was under way had written is not among it." }
        @for section in &sections { (section) }
    })
}

async fn made(api: &Api, link: Option<&Link>, history: &History) -> Result<Made, Problem> {
    let mut made = Made::new();
    let Some(link) = link else { return Ok(made) };
    let target = api.syncing().commands().load_target(link.target_id).await?;
    let Some(target) = target.target() else { return Ok(made) };
    for known in history.known.values() {
        if made.contains_key(&known.snapshot) {
            continue;
        }
        let payload = match api.syncing().payloads().of_snapshot(target.channel, known.snapshot, link).await {
            Err(PayloadError::Store(error)) => return Err(error.into()),
            mapped => mapped.map_err(|gone| format!("What was sent cannot be shown: {gone}.")),
        };
        made.insert(known.snapshot, payload);
    }
    Ok(made)
}

/// What it took last of a section, and whether it had that still.
fn one(section: Section, known: &Known, made: &Made) -> Markup {
    let payload = match made.get(&known.snapshot) {
        Some(Ok(payload)) => payload,
        Some(Err(why)) => return unknown(section, why, &known.hash),
        None => return unknown(section, NOT_RECORDED, &known.hash),
    };
    let body = payload.sections.get(&section).filter(|made| made.hash == known.hash).map(|made| &made.body);
    let Some(body) = body else { return unknown(section, OTHER_BUILD, &known.hash) };
    html! { details {
        summary { (section) @if known.doubt.is_some() { ", as far as it is known" } }
        @if let Some(doubt) = known.doubt { p { (told(doubt)) } }
        @for line in not_taken::words(&known.not_taken) { p.quiet { (line) } }
        (readable(body, &format!("{section} at the channel")))
        @if let Some(line) = stays(section) { p.quiet { (line) } }
        p.quiet { "Hash " code { (known.hash) } " of snapshot " code { (known.snapshot) } }
    } }
}

/// What it had beside this: a channel keeps what is left out as it is.
fn stays(section: Section) -> Option<&'static str> {
    match section {
        Section::Availability | Section::Rates => Some(NIGHTS_STAY),
        Section::Content => Some(FIELDS_STAY),
        // A list of photos that is sent is all of them.
        Section::Images => None,
    }
}

fn unknown(section: Section, why: &str, hash: &PayloadHash) -> Markup {
    html! { details { summary { (section) ", not known" } p { (why) } p.quiet { "Hash " code { (hash) } } } }
}

/// Why it may have had something else by then.
fn told(doubt: Doubt) -> String {
    match doubt {
        Doubt::Unknown => "A call had ended of which nobody knows what it wrote. Before it, it had this:".to_owned(),
        Doubt::Unlinked => {
            "It was unlinked meanwhile, when nobody follows what the channel has. Before, it had this:".to_owned()
        }
        Doubt::Refused(Refusal { status: NO_SUCH_LISTING, .. }) => {
            format!("It had no such listing by then (HTTP {NO_SUCH_LISTING}). Before, it had this:")
        }
        Doubt::Refused(Refusal { status, certain: true, .. }) => {
            format!("It had refused what was sent since (HTTP {status}), so it still had this:")
        }
        Doubt::Refused(Refusal { status, certain: false, .. }) => {
            format!("It had refused what was sent since (HTTP {status}); some may have gone in. Before, it had this:")
        }
    }
}
