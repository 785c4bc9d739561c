//! JetStream is not there in several ways: nobody has switched it on, this user may not ask it, its cluster has no leader, or the server
//! answers no more.

use adapters::nats::Nats;
use adapters::nats::topology::UNAVAILABLE;
use async_nats::connection::State;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{AccountError, AccountErrorKind};

use super::report::Report;

/// What is to be read where servers are away.
pub(super) const PAGE: &str = "ON_CALL.md, NATS is there and JetStream is not";

/// Why JetStream does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lacks {
    /// No server that can be asked has it switched on.
    JetStream,
    /// It is not switched on for this account, or this user may not ask it.
    Account,
    /// Too few servers of the cluster are there, or they elect one right now.
    Leader,
    /// A server of a cluster says nothing: the others leave the answer to the leader, and there may be none.
    LeaderOrAnswer,
    /// The server says nothing, as one that hangs, or that it cannot.
    Answer,
}

/// What is known of the server that was asked.
#[derive(Debug, Clone, Copy)]
struct Asked {
    connected: bool,
    has_jetstream: bool,
    in_cluster: bool,
}

/// Whether JetStream answers.
pub(super) async fn check(nats: &Nats, report: &mut Report) -> anyhow::Result<bool> {
    let Err(error) = nats.jetstream.query_account().await else {
        report.ok("jetstream", "on")?;
        return Ok(true);
    };
    let server = nats.client.server_info();
    let asked = Asked {
        connected: nats.client.connection_state() == State::Connected,
        has_jetstream: server.jetstream,
        in_cluster: server.cluster.is_some(),
    };
    let lacks = Lacks::of(&error, asked);
    report.fail("jetstream", format!("{}: {error}", lacks.found()), lacks.advice())?;
    Ok(false)
}

impl Lacks {
    fn of(error: &AccountError, asked: Asked) -> Self {
        match error.kind() {
            AccountErrorKind::JetStream(answer) => match answer.error_code() {
                ErrorCode::JETSTREAM_NOT_ENABLED => Self::JetStream,
                ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT => Self::Account,
                _ if answer.code() == UNAVAILABLE && asked.in_cluster => Self::Leader,
                _ if answer.code() == UNAVAILABLE => Self::Answer,
                _ => Self::Account,
            },
            // Nobody listens where it would be asked.
            AccountErrorKind::JetStreamUnavailable if asked.has_jetstream => Self::Account,
            AccountErrorKind::JetStreamUnavailable => Self::JetStream,
            AccountErrorKind::TimedOut if asked.connected && asked.in_cluster => Self::LeaderOrAnswer,
            AccountErrorKind::TimedOut | AccountErrorKind::Other => Self::Answer,
        }
    }

    fn found(self) -> &'static str {
        match self {
            Self::JetStream => "off",
            Self::Account => "off for this account, or not allowed",
            Self::Leader => "its cluster has no leader now",
            Self::LeaderOrAnswer => "its cluster has no leader now, or it does not answer",
            Self::Answer => "it does not answer",
        }
    }

    fn advice(self) -> String {
        match self {
            Self::JetStream => {
                "restart nats-server with JetStream and a folder: `nats-server -js -sd FOLDER`".to_owned()
            }
            Self::Account => {
                "switch JetStream on for the account of NATS_URL's user, and let that user ask `$JS.API.>`".to_owned()
            }
            Self::Leader => format!(
                "an election is over within seconds; else start the NATS servers that are away, as more than half of \
                 them have to be there ({PAGE})"
            ),
            Self::LeaderOrAnswer => {
                let leader = Self::Leader.advice();
                format!("{leader}. If all are there: the user may not ask `$JS.API.>`, or the server hangs")
            }
            Self::Answer => {
                "see the log, disk and load of nats-server, and the network to it; restart it if it hangs. A \
                             user that may not ask `$JS.API.>` gets no answer either"
                    .to_owned()
            }
        }
    }
}
