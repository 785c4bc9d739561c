//! `listing link`: many units at once, each with its own answer.

use anyhow::Context;
use clap::{ArgGroup, Args};
use domain::channel::ChannelKind;
use domain::ids::{ExternalId, ListingId, TargetId, UnitId};
use domain::listing::ListingError;
use futures::StreamExt;
use serde::Serialize;

use crate::cli::failure::{Failure, message};
use crate::cli::output::{Out, note};
use crate::cli::session::Session;
use crate::linking::AtChannel;
use crate::syncing::{SyncError, Syncing};

/// Links under way at the same time; the journal writes them together.
const AT_ONCE: usize = 64;

#[derive(Debug, Args)]
#[command(after_help = "Each unit gets a line (or a JSON element) with its listing or its error; one error makes the \
    exit code 1.\nWith --all-units, units that are linked already are no error.\n\
    A unit that is linked again takes up the listing that it had at the channel, and is refused where another one of \
    the target or its account is linked to that by now; another --external-id takes its place.\n\n\
    Examples:\n  distribution listing link --target 0199… --unit villa-0001 --unit villa-0002\n  \
    distribution listing link --target 0199… --all-units\n  \
    distribution listing link --target 0199… --unit villa-0001 --external-id 51600")]
#[command(group = ArgGroup::new("which").required(true).args(["units", "all_units"]))]
pub(in crate::cli) struct LinkArgs {
    /// The target
    #[arg(long, value_name = "TARGET")]
    target: TargetId,
    /// A unit of the target's organisation; may be given many times
    #[arg(long = "unit", value_name = "UNIT")]
    units: Vec<UnitId>,
    /// Every unit that the target's organisation has published
    #[arg(long)]
    all_units: bool,
    /// The listing at the channel, where there is one already; for one unit only, and not one that another listing of
    /// the target has
    #[arg(long, value_name = "ID", conflicts_with = "all_units")]
    external_id: Option<String>,
    /// Do not take up what an earlier link had at the channel: look for the listing by our reference (its internal name
    /// there), and create it where there is none
    #[arg(long, conflicts_with = "external_id")]
    afresh: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Linked,
    AlreadyLinked,
    Failed,
}

/// What became of one unit.
#[derive(Debug, Serialize)]
struct Answer {
    unit_id: UnitId,
    listing_id: ListingId,
    status: Status,
    sync_requested: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl LinkArgs {
    pub(in crate::cli) async fn run(self, session: &Session) -> anyhow::Result<()> {
        if self.external_id.is_some() && self.units.len() != 1 {
            let reason = "give exactly one --unit with it".to_owned();
            return Err(Failure::Usage { field: "external_id", reason }.into());
        }
        let pool = session.postgres().await?;
        let syncing = session.syncing(&pool);
        let whose = || format!("target {}", self.target);
        let target = syncing.commands().load_target(self.target).await.with_context(whose)?;
        let target = target.live().map_err(anyhow::Error::new).with_context(whose)?;
        let at_channel = match &self.external_id {
            Some(id) => AtChannel::Listing(external_id(target.channel, id)?),
            None if self.afresh => AtChannel::Afresh,
            None => AtChannel::Kept,
        };
        let units = if self.all_units { syncing.units().units_of(&target.org_id).await? } else { self.units.clone() };
        if units.is_empty() {
            note(&format!("organisation {} has published no units", target.org_id));
        }
        self.link_all(session, &syncing, units, &at_channel).await
    }

    async fn link_all(
        &self,
        session: &Session,
        syncing: &Syncing,
        units: Vec<UnitId>,
        at_channel: &AtChannel,
    ) -> anyhow::Result<()> {
        let mut linking = futures::stream::iter(units)
            .map(|unit| self.link_one(session, syncing, unit, at_channel.clone()))
            .buffered(AT_ONCE);
        let mut answers = Vec::new();
        let mut failed = false;
        while let Some(answer) = linking.next().await {
            failed |= answer.status == Status::Failed;
            if session.out.is_json() {
                answers.push(answer);
            } else {
                print(session.out, &answer)?;
            }
        }
        if session.out.is_json() {
            session.out.json(&answers)?;
        }
        if failed { Err(Failure::CheckFailed.into()) } else { Ok(()) }
    }

    async fn link_one(&self, session: &Session, syncing: &Syncing, unit_id: UnitId, at_channel: AtChannel) -> Answer {
        let listing_id = ListingId::of(self.target, &unit_id);
        let (by, mut stage) = if self.all_units {
            (session.asked_among_many(), None)
        } else {
            let (by, stage) = session.asked("link a unit");
            (by, Some(stage))
        };
        if let Some(stage) = &mut stage {
            stage.set("distribution.listing.id", listing_id.to_string());
        }
        let (status, sync_requested, error) = match syncing.link(self.target, unit_id.clone(), at_channel, by).await {
            Ok(linked) => (Status::Linked, linked.sync_requested, None),
            Err(SyncError::Refused(ListingError::AlreadyLinked)) if self.all_units => {
                (Status::AlreadyLinked, false, None)
            }
            Err(error) => (Status::Failed, false, Some(message(&error.into()))),
        };
        Answer { unit_id, listing_id, status, sync_requested, error }
    }
}

fn external_id(channel: ChannelKind, id: &str) -> Result<ExternalId, Failure> {
    channel.external_id(id).map_err(|invalid| Failure::Usage { field: "external_id", reason: invalid.to_string() })
}

fn print(out: Out, answer: &Answer) -> anyhow::Result<()> {
    let (listing, unit) = (answer.listing_id, &answer.unit_id);
    match (&answer.error, answer.status) {
        (Some(error), _) => out.line(&format!("error    {listing}  {unit}  {error}")),
        (None, Status::AlreadyLinked) => out.line(&format!("already  {listing}  {unit}")),
        (None, _) if answer.sync_requested => out.line(&format!("linked   {listing}  {unit}")),
        (None, _) => out.line(&format!("linked   {listing}  {unit}  nothing to send: the unit was never published")),
    }
}
