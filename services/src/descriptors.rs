//! How many files this process may have open. A connection is one, so that there are as many as the system's limit leaves room for: past it
//! nothing could be accepted, and nothing else be opened.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Connections to the API at the same time, where there is room for them.
pub const CONNECTIONS: usize = 20_000;
/// For NATS, the log, secrets, an identity provider, a receiver of telemetry, and what they need for a moment.
const OTHERS: usize = 128;

/// Raises the limit to what the system admits. Many begin with 1,024, for programs that know no more.
pub fn raise() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, files = limit.current, "the limit of open files cannot be raised");
    }
}

/// Those that may be open, in a process that has raised the limit; `None` for any number.
pub fn most() -> Option<usize> {
    getrlimit(Resource::Nofile).maximum.map(|most| usize::try_from(most).unwrap_or(usize::MAX))
}

/// Those that may be open now.
pub fn now() -> Option<usize> {
    getrlimit(Resource::Nofile).current.map(|most| usize::try_from(most).unwrap_or(usize::MAX))
}

/// What a process needs beside connections to its API: those to Postgres, in two pools, and those to channels.
pub fn reserve(pool: u32, calls: u16) -> usize {
    usize::try_from(pool).unwrap_or(usize::MAX).saturating_mul(2).saturating_add(calls.into()).saturating_add(OTHERS)
}

/// Connections that there is room for among so many files. However few these are, some are for them.
pub fn connections(files: Option<usize>, reserve: usize) -> usize {
    files.map_or(CONNECTIONS, |files| files.saturating_sub(reserve).max(files / 4).min(CONNECTIONS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_room_for_what_else_is_open() {
        let reserve = reserve(16, 256);
        assert_eq!(reserve, 416);
        assert_eq!(connections(None, reserve), CONNECTIONS);
        assert_eq!(connections(Some(1_048_576), reserve), CONNECTIONS);
        assert_eq!(connections(Some(4_096), reserve), 3_680);
        assert_eq!(connections(Some(300), reserve), 75);
    }
}
