//! Whose the streams are: each carries the id of the journal that is published to it, or that it is taken in to. Else the services of two databases
//! with one prefix would take each other's unit changes and events, and none would notice.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use async_nats::jetstream::stream::Config;
use uuid::Uuid;

use super::{Nats, Prefix};

/// Where a stream carries it, in its metadata.
pub const JOURNAL: &str = "distribution.journal";
/// What the server adds to the metadata of each stream and consumer by itself.
const OF_THE_SERVER: &str = "_nats.";

/// The journal of whoever is connected; nothing where nobody has said which. Clones are one.
#[derive(Debug, Clone, Default)]
pub(super) struct Owner(Arc<OnceLock<Uuid>>);

/// A stream that carries the id of another journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignStream {
    stream: String,
    prefix: Prefix,
    theirs: String,
    ours: Uuid,
}

impl ForeignStream {
    /// What to do about it.
    pub const ADVICE: &'static str = "give this instance a prefix of its own (NATS_PREFIX). Only where this database \
         takes the other one's place for good: have the other one's service take in what UNITS holds, stop it, and delete \
         the four streams of this prefix; they are made anew from this journal (ON_CALL.md, Streams of another database)";

    /// What was found.
    pub fn found(&self) -> String {
        let Self { stream, theirs, ours, .. } = self;
        let prefix = match self.prefix.to_string() {
            none if none.is_empty() => "no NATS_PREFIX".to_owned(),
            prefix => format!("NATS_PREFIX {prefix}"),
        };
        format!(
            "stream {stream} ({prefix}) belongs to another database: it carries the id of journal {theirs}, and \
             DATABASE_URL leads to journal {ours}"
        )
    }
}

impl fmt::Display for ForeignStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.found(), Self::ADVICE)
    }
}

impl std::error::Error for ForeignStream {}

/// Metadata as it is to be written again: all that is not the server's own.
pub(super) fn kept(have: &HashMap<String, String>) -> impl Iterator<Item = (String, String)> {
    let kept = have.iter().filter(|(key, _)| !key.starts_with(OF_THE_SERVER));
    kept.map(|(key, value)| (key.clone(), value.clone()))
}

impl Nats {
    /// Says which journal this is for: from now on its streams carry that one's id, and a stream with another one's is an error wherever it
    /// is met. Of all clones, and once.
    pub fn of_journal(&self, id: Uuid) {
        // A database's id stays as it is while somebody is connected.
        let _ = self.owner.0.set(id);
    }

    /// A stream without an id is anybody's: an older build made it, or took the id away, or nobody has said whose it is.
    pub(super) fn refuse_foreign(&self, have: &Config) -> Result<(), ForeignStream> {
        match (self.owner.0.get(), have.metadata.get(JOURNAL)) {
            (Some(ours), Some(theirs)) if *theirs != ours.to_string() => {
                let (stream, prefix) = (have.name.clone(), self.prefix.clone());
                Err(ForeignStream { stream, prefix, theirs: theirs.clone(), ours: *ours })
            }
            _ => Ok(()),
        }
    }

    /// What a stream is to have as its metadata: what it has, with what its definition says, and whose it is.
    pub(super) fn owned(
        &self,
        have: &HashMap<String, String>,
        defined: HashMap<String, String>,
    ) -> HashMap<String, String> {
        let ours = self.owner.0.get().map(|id| (JOURNAL.to_owned(), id.to_string()));
        kept(have).chain(defined).chain(ours).collect()
    }
}
