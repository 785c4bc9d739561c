//! What the waits of a sync were for, as far as recorded calls tell: the windows of its target and of the account, pauses that the
//! channel asked for, and tokens that other syncs got.

use domain::target::Target;
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Unexplained;
use super::crowd::{Crowd, OtherCalls, crowd};
use super::held::covered;
use super::history::SyncStory;
use super::limits::{Limits, Sharing};
use super::pauses;
use super::tokens;
use super::waits::{self, Again, Span};

/// How a window stood during a wait, as far as recorded calls tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct WindowUse {
    /// The most recorded calls that held slots of it at one moment of the wait.
    pub calls_before: i64,
    /// For how much of the wait they held all of its slots, by the limits that were in force then.
    pub full_ms: i64,
    /// How many it admitted; where the limit changed meanwhile, the one under which it was full for longest.
    pub window: u32,
    /// How long it was, in milliseconds.
    pub window_ms: u32,
    /// Those of the calls that were no sync's.
    pub other_calls: OtherCalls,
}

impl From<Crowd> for WindowUse {
    fn from(crowd: Crowd) -> Self {
        let (window, window_ms) = (crowd.limit.requests(), crowd.limit.window_ms());
        Self { calls_before: crowd.most, full_ms: crowd.full_ms, window, window_ms, other_calls: crowd.others }
    }
}

/// How both windows stood that a call falls under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Windows {
    /// That of the target.
    #[serde(flatten)]
    pub target: WindowUse,
    /// That of the account at the channel, as far as its targets of the same owner tell, whose calls fall under it; `null` where it
    /// has no limit.
    pub account: Option<WindowUse>,
    /// For how much of the wait the channel had asked for a pause: it had answered a call of a sync or of a health check with
    /// 429, of this target or of another one of the same owner with the account.
    pub paused_ms: i64,
}

/// A wait after the first attempt had begun, with what it was for.
#[derive(Debug, Clone, Copy)]
pub(super) struct AgainFor {
    pub wait: Again,
    pub windows: Windows,
    /// For how much of it another sync got a token.
    pub token_ms: i64,
}

/// What a sync waited for: its first attempt, where there was one, and what came after that.
#[derive(Debug, Default)]
pub(super) struct Waited {
    pub first: Option<Windows>,
    pub again: Vec<AgainFor>,
}

/// The limits that its calls fell under, and whose calls the account is shared with.
struct Both<'a> {
    target: &'a Target,
    own: Limits,
    account: Option<Limits>,
    sharing: Vec<Uuid>,
}

impl Both<'_> {
    async fn windows(
        &self,
        connection: &mut PgConnection,
        time: Span,
        positions: (i64, i64),
    ) -> Result<Windows, sqlx::Error> {
        let target = crowd(&mut *connection, &self.own, time, positions).await?;
        let limit = self.target.rate_limit;
        let target = target.unwrap_or(Crowd { most: 0, full_ms: 0, limit, others: OtherCalls::none(time.0) });
        let account = match &self.account {
            Some(account) => crowd(&mut *connection, account, time, positions).await?,
            None => None,
        };
        let whose = (self.target.org_id.as_str(), self.sharing.as_slice());
        let paused_ms = covered(time, pauses::asked_for(connection, whose, time, positions).await?);
        Ok(Windows { target: target.into(), account: account.map(Into::into), paused_ms })
    }
}

/// What a sync of this target waited for, which shares its account with these.
pub(super) async fn waited(
    reader: &mut PgConnection,
    story: &SyncStory,
    target: &Target,
    sharing: &[Sharing],
) -> Result<Waited, Unexplained> {
    let (Some(first), Some(began)) = (story.attempts.first(), story.began()) else { return Ok(Waited::default()) };
    let own = Limits::of_target(&mut *reader, target).await?;
    let account = Limits::of_account(&mut *reader, target, sharing).await?;
    let sharing_with = sharing.iter().map(|one| one.target_id).collect();
    let both = Both { target, own, account, sharing: sharing_with };
    // Whatever the window was while an attempt of another sync was under way, this one could not have had a slot.
    let (time, positions) = ((story.behind().until, began), (story.position, first.position));
    let first = both.windows(&mut *reader, time, positions).await?;
    let mut again = Vec::new();
    for wait in waits::again(story) {
        let windows = both.windows(&mut *reader, wait.time, wait.positions).await?;
        let spans = tokens::of_others(&mut *reader, target, sharing, story.request.sync_id.0, &wait).await?;
        again.push(AgainFor { wait, windows, token_ms: covered(wait.time, spans) });
    }
    Ok(Waited { first: Some(first), again })
}
