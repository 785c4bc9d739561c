//! The processes of the service: started, killed, stopped, and started again when they end, as a supervisor would.

mod life;
mod member;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use end_to_end::proxy::{Line, Proxy, Upstream};
use tokio::task::JoinSet;

use crate::far::Far;
use crate::who::Who;

pub use life::{Ending, Life};
pub use member::Member;

/// Where a fleet's connections lead.
#[derive(Debug, Clone)]
pub struct Ends {
    /// Postgres's socket.
    pub postgres: PathBuf,
    /// NATS's port.
    pub nats: u16,
    /// The sandbox's port.
    pub channel: u16,
}

/// All of them.
#[derive(Debug)]
pub struct Fleet {
    members: Vec<Arc<Member>>,
}

impl Fleet {
    /// Starts everybody with this program of the service. `environment` is what all of them have; logs go to `folder`.
    pub async fn start(
        ends: &Ends,
        program: &Path,
        environment: &[(String, String)],
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let mut members = Vec::new();
        for who in Who::all() {
            let postgres = Proxy::start(Upstream::Socket(ends.postgres.clone())).await?;
            let nats = Proxy::start(Upstream::Port(ends.nats)).await?;
            let channel = Proxy::start(Upstream::Port(ends.channel)).await?;
            let member = Member::new(who, [postgres, nats, channel], program, environment, folder)?;
            member.start()?;
            members.push(Arc::new(member));
        }
        Ok(Self { members })
    }

    /// One of them.
    pub fn member(&self, who: Who) -> &Arc<Member> {
        &self.members[who.0]
    }

    /// Everybody.
    pub fn members(&self) -> &[Arc<Member>] {
        &self.members
    }

    /// Whether everybody runs.
    pub fn is_whole(&self) -> bool {
        self.members.iter().all(|member| member.lives().last().is_some_and(|life| life.ending.is_none()))
    }

    /// Starts again whoever has ended; for ever.
    pub fn supervise(&self, tasks: &mut JoinSet<()>) {
        for member in self.members.clone() {
            tasks.spawn(async move {
                loop {
                    member.look_after();
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            });
        }
    }

    /// Breaks or mends the lines of one member, or of all.
    pub fn set_line(&self, who: Option<Who>, far: Far, line: Option<Line>) {
        for member in &self.members {
            if who.is_none_or(|who| who == member.who) {
                member.set_line(far, line);
            }
        }
    }

    /// How many connections of one member, or of all, have met a broken line so far.
    pub fn broken_connections(&self, who: Option<Who>, far: Far) -> u64 {
        let of = self.members.iter().filter(|member| who.is_none_or(|who| who == member.who));
        of.map(|member| member.broken_connections(far)).sum()
    }

    /// Whoever had this address.
    pub fn life_of(&self, source: Ipv4Addr) -> Option<(Who, Life)> {
        let lives = self.members.iter().flat_map(|member| member.lives().into_iter().map(|life| (member.who, life)));
        lives.into_iter().find(|(_, life)| life.source == source)
    }

    /// The addresses of the APIs.
    pub fn apis(&self) -> Vec<String> {
        self.members.iter().filter(|member| member.who.role() == "api").map(|member| member.api()).collect()
    }
}
