//! Changing targets. Each change is one commit, or none where nothing differs.

use adapters::destinations::Forbidden;
use axum::extract::State;
use domain::channel::ChannelKind;
use domain::ids::{AccountId, TargetId};
use domain::recorded::Position;
use domain::target::bounds::is_same_host;
use domain::target::{Configuration, Lifecycle, NewTarget, TargetCommand, TargetError};
use domain::text::{LONGEST_LINE, line};
use domain::window::RateLimit;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use tracing::Instrument as _;
use utoipa::ToSchema;
use uuid::Uuid;

use super::read::visible;
use super::shape::Target;
use super::{creation, rotation};
use crate::api::Api;
use crate::api::answer::Changed;
use crate::api::by::By;
use crate::api::if_match::{IfMatch, IfMatchHeader};
use crate::api::input::{Body, Id};
use crate::api::problem::{Problem, ProblemKind};

/// A target to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"account_id": "bali", "name": "Hostaway Bali", "base_url": "https://api.hostaway.com/v1",
    "channel_account": "10450", "secret": "the API key of the account"}))]
pub(crate) struct CreateTarget {
    /// The account inside the caller's organisation.
    #[schema(value_type = String)]
    account_id: AccountId,
    /// A name for people.
    name: String,
    /// Which channel; `hostaway` is the one there is.
    #[serde(default)]
    #[schema(value_type = String)]
    channel: ChannelKind,
    /// Root of the channel's API.
    base_url: String,
    /// The account's id at the channel.
    channel_account: String,
    /// The account's secret at the channel. It goes to the secret store and is never given back.
    #[schema(value_type = String, format = Password, write_only)]
    secret: SecretString,
    /// Requests in any such window; by default 12/10s.
    rate_limit: Option<String>,
    /// The limit of the account at the channel, where several targets share one.
    account_rate_limit: Option<String>,
}

/// What of a target is to change; what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Hostaway Bali (north)"}))]
pub(crate) struct ConfigureTarget {
    name: Option<String>,
    base_url: Option<String>,
    /// A limit such as 12/10s.
    rate_limit: Option<String>,
    /// A limit such as 100/10s; null or `none` takes it away.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    account_rate_limit: Option<Option<String>>,
}

/// Another secret.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"secret": "the new API key of the account"}))]
pub(crate) struct RotateCredential {
    /// The new secret. It goes to the secret store and is never given back.
    #[schema(value_type = String, format = Password, write_only)]
    secret: SecretString,
}

/// Why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "prices are being checked"}))]
pub(crate) struct Reason {
    /// It stands in the journal.
    reason: String,
}

impl RotateCredential {
    /// Another secret.
    pub(crate) fn new(secret: SecretString) -> Self {
        Self { secret }
    }
}

impl Reason {
    pub(crate) fn new(reason: String) -> Self {
        Self { reason }
    }

    pub(crate) fn checked(self) -> Result<String, Problem> {
        let refused = |wrong| Problem::field("reason", format!("{wrong}; it stands in the journal"));
        line(&self.reason, LONGEST_LINE).map(str::to_owned).map_err(refused)
    }
}

/// What is null was given.
fn given<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(value).map(Some)
}

fn parsed(field: &'static str, text: &str) -> Result<RateLimit, Problem> {
    text.parse().map_err(|error: domain::window::InvalidLimit| Problem::field(field, error.to_string()))
}

/// Only where the operator allows it, so that nobody makes this service call into its own network.
async fn may_lead(api: &Api, base_url: &str) -> Result<(), Problem> {
    let checked = api.inner.destinations.check(base_url).await;
    checked.map_err(|forbidden| {
        let reason = match forbidden {
            // Where a name leads in the operator's network is not for its callers.
            Forbidden::Host { host, .. } => format!("{host} is at no public address; the operator can allow it"),
            other => other.to_string(),
        };
        Problem::field("base_url", reason)
    })
}

/// A target's secret goes to the host that it was given for, and to no other.
fn stays_at_its_host(now: &str, wanted: &str) -> Result<(), Problem> {
    if is_same_host(now, wanted) {
        return Ok(());
    }
    let reason = "another host is another target: make a new one, with its secret, or ask the operator";
    Err(Problem::field("base_url", reason))
}

/// Make a target.
#[utoipa::path(post, path = "/api/channels/targets", tag = "targets", request_body = CreateTarget,
    responses((status = 201, body = Target), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn create(
    State(api): State<Api>,
    by: By,
    Body(wanted): Body<CreateTarget>,
) -> Result<Changed<Target>, Problem> {
    if !by.caller.accounts.contain(&wanted.account_id) {
        return Err(Problem::field("account_id", "there is no such account"));
    }
    may_lead(&api, &wanted.base_url).await?;
    let target_id = TargetId(Uuid::now_v7());
    let metadata = by.metadata(by.caller.org_id.clone(), wanted.account_id.clone(), target_id, None);
    let account_limit = wanted.account_rate_limit.map(|limit| parsed("account_rate_limit", &limit)).transpose()?;
    let new = NewTarget {
        target_id,
        org_id: by.caller.org_id.clone(),
        account_id: wanted.account_id,
        name: wanted.name,
        channel: wanted.channel,
        base_url: wanted.base_url,
        channel_account: wanted.channel_account,
        credential: api.inner.vault.reference(target_id),
        rate_limit: wanted.rate_limit.map(|limit| parsed("rate_limit", &limit)).transpose()?.unwrap_or_default(),
        account_rate_limit: account_limit,
    };
    let position = to_its_end(creation::create(api.clone(), new, wanted.secret, metadata)).await?;
    Ok(changed(&api, &by, target_id, position).await?.created(path(target_id)))
}

/// A caller who leaves takes no half of a change along that is made at two places.
async fn to_its_end(
    change: impl Future<Output = Result<Option<Position>, Problem>> + Send + 'static,
) -> Result<Option<Position>, Problem> {
    let ended = tokio::spawn(change.in_current_span()).await;
    ended.unwrap_or_else(|_| Err(ProblemKind::Unavailable.because("the service is stopping; ask again")))
}

/// Change a target's name, address or limits.
#[utoipa::path(patch, path = "/api/channels/targets/{target_id}", tag = "targets", request_body = ConfigureTarget,
    params(("target_id" = Uuid, Path, description = "The target"), IfMatchHeader),
    responses((status = 200, body = Target), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn configure(
    State(api): State<Api>,
    by: By,
    Id(id): Id<Uuid>,
    if_match: IfMatch,
    Body(wanted): Body<ConfigureTarget>,
) -> Result<Changed<Target>, Problem> {
    let rate_limit = wanted.rate_limit.map(|limit| parsed("rate_limit", &limit)).transpose()?;
    let account_rate_limit = match wanted.account_rate_limit.as_ref().map(|limit| limit.as_deref()) {
        None => None,
        Some(None | Some("none")) => Some(None),
        Some(Some(limit)) => Some(Some(parsed("account_rate_limit", limit).map_err(|problem| Problem {
            detail: format!("{}; or none, to take it away", problem.detail),
            ..problem
        })?)),
    };
    if let Some(base_url) = &wanted.base_url {
        may_lead(&api, base_url).await?;
        stays_at_its_host(&visible(&api, &by, TargetId(id)).await?.0.base_url, base_url)?;
    }
    let configuration = Configuration { name: wanted.name, base_url: wanted.base_url, account_rate_limit, rate_limit };
    if configuration == Configuration::default() {
        return Err(Problem::field("body", "give name, base_url, rate_limit or account_rate_limit"));
    }
    change(&api, &by, TargetId(id), &if_match, TargetCommand::Configure(configuration)).await
}

/// Hold a target's syncs. Changes go on being recorded; the last one of each unit is sent after the resume.
#[utoipa::path(post, path = "/api/channels/targets/{target_id}/pause", tag = "targets", request_body = Reason,
    params(("target_id" = Uuid, Path, description = "The target"), IfMatchHeader),
    responses((status = 200, body = Target), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn pause(
    State(api): State<Api>,
    by: By,
    Id(id): Id<Uuid>,
    if_match: IfMatch,
    Body(reason): Body<Reason>,
) -> Result<Changed<Target>, Problem> {
    let command = TargetCommand::Pause { reason: reason.checked()? };
    change(&api, &by, TargetId(id), &if_match, command).await
}

/// Send again; also says that refused credentials are good again.
#[utoipa::path(post, path = "/api/channels/targets/{target_id}/resume", tag = "targets",
    params(("target_id" = Uuid, Path, description = "The target"), IfMatchHeader),
    responses((status = 200, body = Target), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn resume(
    State(api): State<Api>,
    by: By,
    Id(id): Id<Uuid>,
    if_match: IfMatch,
) -> Result<Changed<Target>, Problem> {
    change(&api, &by, TargetId(id), &if_match, TargetCommand::Resume).await
}

/// Give a target another secret. What is under way ends with the previous one, which is still given for five minutes.
#[utoipa::path(post, path = "/api/channels/targets/{target_id}/credential", tag = "targets",
    request_body = RotateCredential, params(("target_id" = Uuid, Path, description = "The target"), IfMatchHeader),
    responses((status = 200, body = Target), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn rotate(
    State(api): State<Api>,
    by: By,
    Id(id): Id<Uuid>,
    if_match: IfMatch,
    Body(wanted): Body<RotateCredential>,
) -> Result<Changed<Target>, Problem> {
    let id = TargetId(id);
    let (target, found) = visible(&api, &by, id).await?;
    if target.lifecycle == Lifecycle::Deleted {
        return Err(TargetError::Deleted.into());
    }
    if_match.at(found)?;
    let rotated = to_its_end(rotation::rotate(api.clone(), by.clone(), id, if_match, wanted.secret)).await?;
    changed(&api, &by, id, rotated).await
}

/// Delete a target softly: its history stays, its syncs end, nothing at the channel is touched. Its secret goes with it, or by itself
/// later where the secret store cannot be used just then.
#[utoipa::path(delete, path = "/api/channels/targets/{target_id}", tag = "targets", request_body = Reason,
    params(("target_id" = Uuid, Path, description = "The target"), IfMatchHeader),
    responses((status = 200, body = Target), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn delete(
    State(api): State<Api>,
    by: By,
    Id(id): Id<Uuid>,
    if_match: IfMatch,
    Body(reason): Body<Reason>,
) -> Result<Changed<Target>, Problem> {
    let (id, command) = (TargetId(id), TargetCommand::Delete { reason: reason.checked()? });
    let (target, _) = visible(&api, &by, id).await?;
    if target.lifecycle == Lifecycle::Deleted {
        // Nothing is to be left to do when that is said.
        api.inner.vault.forget_again(&api.inner.pool, &target).await?;
    }
    let changed = change(&api, &by, id, &if_match, command).await?;
    api.inner.vault.forget_all(&api.inner.pool, &target).await;
    Ok(changed)
}

/// What may not have come about after a deletion whose answer was lost. The deletion is made all the same, and so is its answer.
pub(in crate::api) async fn end_deletion(api: &Api, by: &By, id: TargetId) -> Result<(), Problem> {
    let (target, _) = visible(api, by, id).await?;
    // It is told to the operator, and tried again.
    let _ = api.inner.vault.forget_again(&api.inner.pool, &target).await;
    Ok(())
}

async fn change(
    api: &Api,
    by: &By,
    id: TargetId,
    if_match: &IfMatch,
    command: TargetCommand,
) -> Result<Changed<Target>, Problem> {
    let (target, found) = visible(api, by, id).await?;
    let metadata = by.metadata(target.org_id, target.account_id, id, None);
    let commands = api.inner.syncing.commands();
    let position = match if_match.at(found)? {
        Some(version) => commands.target_at(id, version, command, &metadata).await?,
        None => commands.target(id, command, &metadata).await?,
    };
    changed(api, by, id, position).await
}

/// The answer to a change: the target as it is now.
pub(in crate::api) async fn changed(
    api: &Api,
    by: &By,
    id: TargetId,
    position: Option<Position>,
) -> Result<Changed<Target>, Problem> {
    let (target, version) = visible(api, by, id).await.map_err(Problem::after_change)?;
    Ok(Changed::new(position, version, Target::of(&target, version)))
}

/// Where a target is read.
pub(in crate::api) fn path(id: TargetId) -> String {
    format!("/api/channels/targets/{id}")
}
