//! The rows of values without their events: what they say, and how they are asked for.

use sqlx::FromRow;
use uuid::Uuid;

/// What a value is put there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A target that is to be made.
    Create,
    /// Another value at the same place.
    Rotate,
    /// A place of its own, to which the target does not refer yet.
    Move,
}

impl Kind {
    /// As the row has it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Rotate => "rotate",
            Self::Move => "move",
        }
    }
}

impl TryFrom<String> for Kind {
    type Error = Unknown;

    fn try_from(text: String) -> Result<Self, Unknown> {
        let mut all = [Self::Create, Self::Rotate, Self::Move].into_iter();
        all.find(|kind| kind.as_str() == text).ok_or(Unknown(text))
    }
}

/// How far one has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Its event may come.
    Pending,
    /// It cannot any more, and the value is to be taken back.
    Void,
    /// It was.
    TakenBack,
    /// There was nothing to take back, or it is left where it is.
    Left,
}

impl State {
    /// As the row has it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Void => "void",
            Self::TakenBack => "taken_back",
            Self::Left => "left",
        }
    }
}

impl TryFrom<String> for State {
    type Error = Unknown;

    fn try_from(text: String) -> Result<Self, Unknown> {
        let mut all = [Self::Pending, Self::Void, Self::TakenBack, Self::Left].into_iter();
        all.find(|state| state.as_str() == text).ok_or(Unknown(text))
    }
}

/// A newer build may know it: what is not understood is not decided about.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not known of a value without its event")]
pub struct Unknown(String);

/// What is known of one before it is decided about.
#[derive(Debug, FromRow)]
pub(super) struct Stands {
    pub put_id: Uuid,
    #[sqlx(try_from = "String")]
    pub state: State,
    pub is_old: bool,
}

pub(super) const COLUMNS: &str =
    "change_id, put_id, secret, target_id, kind, at, created_by, credential, credential_id";

/// A request that is made once more with its `Idempotency-Key` has the same id, and its event may come again.
pub(super) const ANNOUNCE: &str = "
INSERT INTO pending_secrets (change_id, put_id, secret, target_id, org_id, account_id, kind, created_by, credential, credential_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (change_id) DO UPDATE SET put_id = excluded.put_id, secret = excluded.secret, kind = excluded.kind, state = 'pending',
    at = clock_timestamp(), created_by = excluded.created_by, credential = excluded.credential, credential_id = excluded.credential_id";

/// Who decides waits for an append that is at the row, and no longer than this: it is tried again. One that stands still gives the row up soon, as
/// an append that waits for it holds up the relay.
pub(super) const BEGIN: &str =
    "BEGIN; SET LOCAL lock_timeout = '5s'; SET LOCAL idle_in_transaction_session_timeout = '2s'";

/// Nobody has looked at one that is old, for all the time that any API process looks again and again: none ran, or this database is one that was
/// put back, and the event came after that. The encrypted store knows by its own mark that it did; AWS does not.
pub(super) const STANDS: &str = "
SELECT put_id, state, at < clock_timestamp() - interval '1 hour' AS is_old FROM pending_secrets WHERE change_id = $1 FOR UPDATE";

pub(super) const EVENT: &str = "
SELECT position FROM events
WHERE aggregate_type = 'ChannelTarget' AND aggregate_id = $1
    AND event_type = CASE WHEN $3 THEN 'TargetCreated' ELSE 'CredentialRotated' END AND ($3 OR metadata ->> 'causation_id' = $2)
ORDER BY sequence DESC LIMIT 1";

pub(super) const DECIDE: &str = "UPDATE pending_secrets SET state = $3 WHERE change_id = $1 AND put_id = $2";
/// Of two who end it one may have taken it back. `$4` where the value may come still.
pub(super) const END: &str = "
UPDATE pending_secrets SET state = $3 WHERE change_id = $1 AND put_id = $2
    AND (state = 'void' OR (state = 'left' AND $3 = 'taken_back'))
    AND (NOT $4 OR at < clock_timestamp() - interval '2 minutes')";
pub(super) const IS_DELETED: &str = "
SELECT EXISTS (SELECT FROM events WHERE aggregate_type = 'ChannelTarget' AND aggregate_id = $1 AND event_type = 'TargetDeleted')";
pub(super) const FORGET: &str = "DELETE FROM pending_secrets WHERE change_id = $1 AND put_id = $2";

/// Which of them have come to no end.
pub(super) const OPEN: &str = "state IN ('pending', 'void')";
/// A request is over by then, and so are its calls of a keeper; the row of one that is not is decided about all the same, soundly.
pub(super) const OVERDUE: &str =
    "state = 'void' OR (state = 'pending' AND at < clock_timestamp() - interval '1 minute')";
/// By then each has come to its end where nothing is in the way.
pub(super) const LATE: &str = "state IN ('pending', 'void') AND at < clock_timestamp() - interval '150 seconds'";

#[cfg(test)]
mod tests {
    use super::*;

    /// In migration 0052, too.
    #[test]
    fn what_a_row_says_is_known_word_by_word() {
        for kind in ["create", "rotate", "move"] {
            assert_eq!(Kind::try_from(kind.to_owned()).map(Kind::as_str).ok(), Some(kind));
        }
        for state in ["pending", "void", "taken_back", "left"] {
            assert_eq!(State::try_from(state.to_owned()).map(State::as_str).ok(), Some(state));
        }
        assert!(State::try_from("held".to_owned()).is_err(), "it is not taken for void");
        assert!(Kind::try_from("forget".to_owned()).is_err());
    }
}
