//! Copies of a stream that NATS finds no servers for: some are away, which passes, or more copies are asked for than there are servers.

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{CreateStreamError, CreateStreamErrorKind};

/// What the answer of a cluster says, as NATS's sources say, of servers of its own that it counts as away, or has not heard of since it has this
/// leader; of those that this leader has never met it says the second.
const AWAY: [&str; 2] = ["peer offline", "miscellaneous issue"];
/// In the answer of a server that is in no cluster. Versions differ in the number of that error.
const ALONE: &str = "non-clustered mode";

/// Why a stream cannot be on so many servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// Servers of the cluster are away.
    ServersAway,
    /// All are there, and they are too few, or have no room.
    TooFew,
    /// The server is in no cluster.
    NoCluster,
}

impl NoPlace {
    /// If NATS has refused a stream for this.
    pub(super) fn of(error: &CreateStreamError) -> Option<Self> {
        let CreateStreamErrorKind::JetStream(answer) = error.kind() else { return None };
        let (code, words) = (answer.error_code(), answer.to_string());
        if code == ErrorCode::CLUSTER_NO_PEERS {
            Some(if says_only_away(&words) { Self::ServersAway } else { Self::TooFew })
        } else if code == ErrorCode::STREAM_REPLICAS_NOT_SUPPORTED || words.contains(ALONE) {
            Some(Self::NoCluster)
        } else {
            None
        }
    }

    /// What to do about it, where so many copies were asked for.
    pub(super) fn advice(self, copies: usize) -> String {
        match self {
            Self::ServersAway => format!(
                "NATS_REPLICAS asks for {copies} copies, and servers of the cluster are away: the stream is made when \
                 they are back (nats/README.md, On a cluster)"
            ),
            Self::TooFew => format!(
                "NATS_REPLICAS asks for {copies} copies, each on a server of its own, and the cluster has no {copies} \
                 servers with JetStream and room: set NATS_REPLICAS to no more than it has, or add servers"
            ),
            Self::NoCluster => format!(
                "NATS_REPLICAS asks for {copies} copies, each on a server of its own, and this server is in no \
                 cluster: leave NATS_REPLICAS out, or name the servers of the cluster in NATS_URL"
            ),
        }
    }
}

/// Each reason that NATS gives is that a server is away: what it gives beside that stays when all are back.
fn says_only_away(words: &str) -> bool {
    // The client adds the codes.
    let said = words.split(" (code ").next().unwrap_or_default();
    let mut reasons = said.split(", ").skip(1).peekable();
    reasons.peek().is_some() && reasons.all(|reason| AWAY.contains(&reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(code: usize, error: u64, words: &str) -> CreateStreamError {
        let text = serde_json::json!({ "code": code, "err_code": error, "description": words });
        let answer = serde_json::from_value::<async_nats::jetstream::Error>(text).expect("as the server writes it");
        CreateStreamError::from(answer)
    }

    #[test]
    fn servers_that_are_away_are_told_from_too_few_of_them() {
        let of = |code, error, words: &str| NoPlace::of(&answered(code, error, words));
        let none = "no suitable peers for placement";
        assert_eq!(of(400, 10_005, none), Some(NoPlace::TooFew));
        assert_eq!(of(400, 10_005, &format!("{none}, insufficient storage")), Some(NoPlace::TooFew));
        assert_eq!(of(400, 10_005, &format!("{none}, peer offline")), Some(NoPlace::ServersAway));
        assert_eq!(of(400, 10_005, &format!("{none}, peer offline, miscellaneous issue")), Some(NoPlace::ServersAway));
        assert_eq!(of(400, 10_005, &format!("{none}, peer offline, insufficient storage")), Some(NoPlace::TooFew));
        let alone = "replicas > 1 not supported in non-clustered mode";
        assert_eq!(of(500, 10_074, alone), Some(NoPlace::NoCluster));
        assert_eq!(of(500, 10_052, alone), Some(NoPlace::NoCluster));
        assert_eq!(of(500, 10_052, "storage can not be changed"), None);
        assert_eq!(of(503, 10_008, "JetStream system temporarily unavailable"), None);
    }
}
