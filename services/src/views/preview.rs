//! A dry run: what would be sent now, as a difference against what the channel is known to have. Nothing is sent, and nothing
//! is written: the aggregate is asked what it would decide.

mod held;

use std::ops::DerefMut;

use domain::channel::{ChannelKind, RejectedPart, Section};
use domain::counted::counted;
use domain::difference::Differences;
use domain::difference::staying::Staying;
use domain::hash::SnapshotHash;
use domain::ids::ListingId;
use domain::listing::{Cause, ChannelListing, Link, LinkState, ListingCommand, ListingError, Origin, Pending};
use domain::mapping;
use domain::target::Target;
use serde::Serialize;
use sqlx::{PgConnection, PgPool};
use utoipa::ToSchema;
use uuid::Uuid;

use super::explain::history::{History, SyncStory};
use super::explain::words::{all_new, told_as_new};
use super::gone::Gone;
use super::history::NoHistory;
use super::known::{CALL_UNKNOWN, ComparedWith, KnownPayload, call_unknown};
use super::moment::moment;
use super::not_its_own::NotItsOwn;
use super::not_taken::{SENDS_AGAIN, named};
use super::said::said;
use super::staying;
use crate::payloads::PayloadError;
use crate::syncing::{Mapped, Snapshot, SyncError, Syncing};
use held::{held, under_way};

/// Which state is previewed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// A snapshot of the past. Without one it is what the sync that waits sends, or else the newest state of the unit.
    pub snapshot: Option<SnapshotHash>,
    /// As if somebody asked for it, so that every section is sent, and of the newest state. A state of the past always is.
    pub forced: bool,
}

impl Wanted {
    /// Whether somebody would have to ask for it: what waits by itself is something else.
    fn is_asked_for(self) -> bool {
        self.forced || self.snapshot.is_some()
    }
}

/// What would be sent.
#[derive(Debug, Serialize, ToSchema)]
pub struct Preview {
    /// The listing.
    pub listing_id: Uuid,
    /// The snapshot that would be sent.
    pub snapshot: String,
    /// The unit's revision in it.
    pub revision: u64,
    /// The sync that waits and sends this; `null` where none waits, and where another one would have to be asked for.
    pub waiting_sync_id: Option<Uuid>,
    /// The sync that waits, whose place this would take; `null` where it takes nobody's.
    pub takes_place_of: Option<Uuid>,
    /// Every section would be sent, whatever the channel has: as if somebody asked for it, or as the sync that waits was asked for so.
    pub forced: bool,
    /// The listing would be created, or found by our reference; what is not known to be its own keeps that away.
    pub creates: bool,
    /// The sections that would be sent, most urgent first; none where all is what was sent last. What of that the channel did not
    /// take is in `compared_with`. Where what is not known to be its own keeps it from being sent, those that would be but for that.
    pub sections: Vec<&'static str>,
    /// How many calls that takes at least: without a new token, retries, and parts that are refused. 0 where what is not known to be its own
    /// keeps it from being sent, though that is looked up.
    pub calls_at_least: usize,
    /// The newest sync that has ended found the listing gone at the channel, which refuses this in the same way unless it is there again by then.
    pub gone: bool,
    /// What would keep it waiting now, as an explanation says it of a sync that waits. An attempt that is under way is named here, one of
    /// `waiting_sync_id` as well.
    pub held: Vec<String>,
    /// What the differences are told against.
    pub compared_with: ComparedWith,
    /// What differs, section by section; at most 50 fields of each.
    #[schema(value_type = Vec<Object>)]
    pub differences: Differences,
    /// What the channel took last and this tells nothing of, section by section: it stays at the channel as it is.
    #[schema(value_type = Vec<Object>)]
    pub stays: Vec<Staying>,
    /// Parts that the mapping would leave out.
    #[schema(value_type = Vec<Object>)]
    pub left_out: Vec<RejectedPart>,
    /// All of it in plain words.
    pub words: Vec<String>,
    /// What keeps it from being sent, as it is not known to be its own.
    #[serde(skip)]
    not_its_own: Option<NotItsOwn>,
}

impl Preview {
    /// The sections that would be sent because their hashes differ; none where every section would be.
    pub fn sent_for_hash(&self) -> &[&'static str] {
        if self.forced { &[] } else { &self.sections }
    }

    /// What a call may have written, with what heals it: no sync does where it is told first that none goes through.
    pub fn doubt(&self) -> Option<String> {
        let sections = &self.compared_with.in_doubt;
        let waits = self.waiting_sync_id.or(self.takes_place_of).is_some();
        let heals = !self.gone && self.not_its_own.is_none();
        match sections[..] {
            [] => None,
            _ if heals => Some(call_unknown(sections, &self.listing_id, waits)),
            _ => Some(format!("{CALL_UNKNOWN}.")),
        }
    }
}

/// Why nothing can be previewed.
#[derive(Debug, thiserror::Error)]
pub enum NoPreview {
    /// Such a sync would be refused, or there is nothing to send.
    #[error("{0}")]
    Refused(#[from] SyncError),
    /// The journal failed.
    #[error(transparent)]
    History(#[from] NoHistory),
    /// What the channel is known to have cannot be made again.
    #[error("what the channel has is not known: {0}")]
    Known(#[from] PayloadError),
}

impl From<ListingError> for NoPreview {
    fn from(refusal: ListingError) -> Self {
        Self::Refused(refusal.into())
    }
}

/// Previews a sync. The listing itself is loaded by `pool`: whoever asks has to see it. What holds it is read by `reader`, which is
/// opened for it.
pub async fn preview<C: DerefMut<Target = PgConnection>>(
    syncing: &Syncing,
    pool: &PgPool,
    reader: impl Future<Output = Result<C, sqlx::Error>>,
    id: ListingId,
    wanted: Wanted,
) -> Result<Preview, NoPreview> {
    let history = History::read(pool, id, None).await?;
    let listing = &history.listing;
    let link = listing.link().ok_or(ListingError::NotFound)?;
    let target = syncing.commands().load_target(link.target_id).await.map_err(SyncError::from)?;
    let settings = target.live().map_err(|_| SyncError::TargetDeleted)?;
    if listing.state() == Some(LinkState::Unlinked) {
        return Err(ListingError::Unlinked.into());
    }
    let State { mapped, waits, is_elsewhere } = state(syncing, listing, link, settings.channel, wanted).await?;
    let asked = wanted.is_asked_for();
    if asked {
        let snapshot = Snapshot { unit: &mapped.unit, hash: mapped.hash };
        would_be_taken(syncing, listing, id, settings, snapshot)?;
    }
    // Whatever takes the place of a forced sync that waits stays forced.
    let forced = asked || listing.pending().is_some_and(|pending| pending.forced);
    let payload = &mapped.payload;
    let sections = if forced { payload.sections.keys().copied().collect() } else { mapped.to_send(listing) };
    let known = KnownPayload::load(syncing.payloads(), settings.channel, link, &history.known).await?;
    let held = held(pool, reader, &history, (id, settings), waits).await?;
    let (bodies, is_there) = (payload.bodies(), listing.external_id().is_some());
    let (gone, not_its_own) = (history.gone(), history.not_its_own());
    let compared_with = known.described().afresh(history.is_afresh());
    let has = known.bodies();
    let mut differences = mapping::differences(settings.channel, &has, &bodies);
    compared_with.remark(&mut differences);
    let would_be_sent: &[Section] = if not_its_own.is_some() { &[] } else { &sections };
    let mut preview = Preview {
        listing_id: id.0,
        snapshot: mapped.hash.to_string(),
        revision: mapped.revision,
        waiting_sync_id: waits.map(|pending| pending.sync_id.0),
        takes_place_of: listing.pending().filter(|_| waits.is_none()).map(|pending| pending.sync_id.0),
        forced,
        creates: !is_there && not_its_own.is_none(),
        calls_at_least: mapping::fewest_calls(settings.channel, &bodies, would_be_sent, is_there),
        sections: sections.iter().map(|section: &Section| section.as_str()).collect(),
        gone: gone.is_some(),
        held,
        compared_with,
        differences,
        stays: mapping::staying(settings.channel, &has, &bodies),
        left_out: RejectedPart::bounded(payload.rejected.clone()),
        words: Vec::new(),
        not_its_own,
    };
    let waiting = waits.and_then(|pending| history.sync(pending.sync_id));
    let place = place(&preview, waiting, listing.last_revision(), is_elsewhere);
    preview.words = words(&preview, gone.as_ref(), place);
    Ok(preview)
}

/// The state that would be sent.
struct State<'a> {
    mapped: Mapped,
    /// The sync that waits, where that one sends it.
    waits: Option<&'a Pending>,
    /// The unit is in another account: nothing newer is sent from there.
    is_elsewhere: bool,
}

async fn state<'a>(
    syncing: &Syncing,
    listing: &'a ChannelListing,
    link: &Link,
    channel: ChannelKind,
    wanted: Wanted,
) -> Result<State<'a>, SyncError> {
    let mapped = match (syncing.mapped(link, channel, wanted.snapshot).await, listing.pending()) {
        // What waits is of the time before its unit was elsewhere, and is sent.
        (Err(SyncError::Refused(ListingError::UnitElsewhere)), Some(pending)) if !wanted.is_asked_for() => {
            let mapped = syncing.mapped(link, channel, Some(pending.snapshot)).await?;
            return Ok(State { mapped, waits: Some(pending), is_elsewhere: true });
        }
        (mapped, _) => mapped?,
    };
    // Of a revision that nobody has asked for yet somebody is about to, and it takes the place of what waits.
    let is_asked_for = mapped.revision <= listing.last_revision();
    let waits = listing.pending().filter(|_| is_asked_for && !wanted.is_asked_for());
    let mapped = match waits.filter(|pending| pending.snapshot != mapped.hash) {
        Some(other) => syncing.mapped(link, channel, Some(other.snapshot)).await?,
        None => mapped,
    };
    Ok(State { mapped, waits, is_elsewhere: false })
}

/// Asks the aggregate, as a sync that somebody asks for would.
fn would_be_taken(
    syncing: &Syncing,
    listing: &ChannelListing,
    id: ListingId,
    target: &Target,
    snapshot: Snapshot<'_>,
) -> Result<(), NoPreview> {
    let cause = Cause::Replayed { reason: "preview".to_owned(), request_id: Uuid::nil() };
    let origin = Origin { correlation_id: Uuid::nil(), requested_by: "preview".to_owned(), traceparent: None };
    let wish = syncing.wish(id, target, snapshot, cause, origin);
    listing.decide(ListingCommand::RequestSync(wish))?;
    Ok(())
}

/// Why nothing would be sent.
fn nothing(preview: &Preview) -> String {
    let (revision, not_taken) = (preview.revision, preview.compared_with.not_taken.len());
    if not_taken > 0 {
        return format!(
            "Nothing would be sent: what was sent last is the same as revision {revision}. Of that the channel did not \
             take {}; {SENDS_AGAIN}.",
            counted(not_taken, "part")
        );
    }
    let but = if preview.left_out.is_empty() { "" } else { ", but for what is left out" };
    format!("Nothing would be sent: the channel has all of revision {revision} already{but}.")
}

/// Whose place it takes, or that a state of the past waits: who asks what is sent now expects the `newest` revision.
fn place(preview: &Preview, waiting: Option<&SyncStory>, newest: u64, is_elsewhere: bool) -> Option<String> {
    if let Some(earlier) = preview.takes_place_of {
        return Some(format!("It would take the place of sync {earlier}, which waits."));
    }
    let story = waiting?;
    let Cause::Replayed { reason, .. } = &story.request.cause else { return None };
    let instead = "the next change of the unit, or a sync now, would be sent in its place";
    let instead = if is_elsewhere { "its unit belongs to another account now" } else { instead };
    (preview.revision < newest).then(|| {
        format!(
            "That is what sync {} waits to send: a state of the past, replayed by {} at {} ({}). The newest revision \
             is {newest}; {instead}.",
            story.request.sync_id,
            story.metadata.actor.name,
            moment(story.requested_at),
            said(reason)
        )
    })
}

/// What would be sent; `but_for_that` of what something keeps from being sent that is told before it.
fn sent(preview: &Preview, but_for_that: bool) -> String {
    if preview.sections.is_empty() {
        return nothing(preview);
    }
    let forced = if preview.forced { ", whatever the channel has" } else { "" };
    let (begin, end) = if but_for_that {
        ("But for that, revision", String::new())
    } else {
        ("Revision", format!(", in at least {}", counted(preview.calls_at_least, "call")))
    };
    let created =
        if preview.creates { " It would be looked up by our reference, and created if it is not there." } else { "" };
    format!(
        "{begin} {} (snapshot {}) would be sent: {}{forced}{end}.{created}",
        preview.revision,
        preview.snapshot,
        preview.sections.join(", ")
    )
}

/// `gone` where the listing is that.
fn words(preview: &Preview, gone: Option<&Gone>, place: Option<String>) -> Vec<String> {
    let not_its_own = preview.not_its_own.as_ref();
    let mut lines = Vec::new();
    // Whoever reads the first line alone is not to take for sent what is not.
    let found = "The newest sync that has ended found it gone at the channel";
    lines.extend(gone.map(|gone| gone.told(found, "whatever is sent next")));
    lines.extend(
        not_its_own.map(|theirs| format!("Nothing would be sent. It would not be created: {}", theirs.words("this"))),
    );
    lines.push(sent(preview, not_its_own.is_some()));
    lines.extend(place);
    let own = preview.waiting_sync_id.map(under_way);
    lines.extend(preview.held.iter().map(|reason| match &own {
        Some(own) if own == reason => format!("It is being sent: {reason}."),
        _ => format!("It would wait: {reason}."),
    }));
    let with = &preview.compared_with;
    lines.push(match preview.differences.count() {
        0 => format!("Nothing differs from {}.", with.last()),
        count if with.is_unknown() => {
            format!("What the channel has of it is not known, so {}.", told_as_new(count))
        }
        count if with.snapshots.is_empty() => {
            format!("The channel has taken nothing of it before: {}.", all_new(count))
        }
        count => format!("Fields that differ from {}: {count}.", with.last()),
    });
    lines.extend(with.untaken().into_iter().chain(with.refusals(None)).map(|line| format!("  {line}")));
    lines.extend(preview.doubt().map(|line| format!("  {line}")));
    lines.extend(with.unlinked.map(|line| format!("  {line}")));
    let differences = &preview.differences;
    let told = differences.words().into_iter();
    let told = told.chain(staying::words(&preview.stays, differences, preview.sent_for_hash()));
    lines.extend(told.map(|line| format!("  {line}")));
    lines.extend(preview.left_out.iter().map(|part| format!("  left out: {}: {}", named(part), part.reason)));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_call_may_have_written_is_told_with_what_sends_it_again() {
        let (snapshots, refused, not_taken, in_doubt) = (Vec::new(), Vec::new(), Vec::new(), vec!["rates"]);
        let mut preview = Preview {
            listing_id: Uuid::from_u128(7),
            snapshot: String::new(),
            revision: 2,
            waiting_sync_id: None,
            takes_place_of: None,
            forced: false,
            creates: false,
            sections: vec!["rates"],
            calls_at_least: 1,
            gone: false,
            held: Vec::new(),
            compared_with: ComparedWith {
                snapshots,
                certain: false,
                refused,
                not_taken,
                in_doubt,
                unlinked: None,
                exact: true,
            },
            differences: Differences::default(),
            stays: Vec::new(),
            left_out: Vec::new(),
            words: Vec::new(),
            not_its_own: None,
        };
        let told = |preview: &Preview| words(preview, None, None).join("\n");
        let asks = format!("`distribution listing sync {} --reason REASON` asks for one now.", Uuid::from_u128(7));
        let heals = format!("\n  {CALL_UNKNOWN}: the next sync sends rates again, and {asks}");
        assert!(told(&preview).contains(&heals), "{}", told(&preview));
        preview.waiting_sync_id = Some(Uuid::from_u128(8));
        let heals = format!("\n  {CALL_UNKNOWN}: the sync that waits sends rates again.");
        assert!(told(&preview).contains(&heals), "{}", told(&preview));
        // No sync heals what none goes through to.
        for (gone, not_its_own) in [(true, None), (false, Some(NotItsOwn::because("nobody knows")))] {
            (preview.gone, preview.not_its_own) = (gone, not_its_own);
            assert_eq!(preview.doubt(), Some(format!("{CALL_UNKNOWN}.")));
            assert!(told(&preview).lines().any(|line| line == format!("  {CALL_UNKNOWN}.")), "{}", told(&preview));
        }
        preview.compared_with.in_doubt.clear();
        assert!(!told(&preview).contains(CALL_UNKNOWN));
    }
}
