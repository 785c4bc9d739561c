//! A port of this machine that one server has for itself, also while that is down.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;

/// What runs of this process have now.
static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

fn all_taken() -> MutexGuard<'static, BTreeSet<u16>> {
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A port that no run beside this one is given. Free again when it is dropped.
#[derive(Debug)]
pub struct Port(u16);

impl Port {
    /// One that nobody has, below the range of outgoing connections.
    pub fn free() -> anyhow::Result<Self> {
        let mut taken = all_taken();
        let mut ports = (0..1_000).map(|_| rand::random_range(20_000..30_000_u16));
        let port = ports.find(|port| !taken.contains(port) && TcpListener::bind(("127.0.0.1", *port)).is_ok());
        let port = port.context("no port is free")?;
        taken.insert(port);
        Ok(Self(port))
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.0
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        all_taken().remove(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once_while_nobody_listens_there_and_again_when_it_is_given_back() -> anyhow::Result<()> {
        // So many of ten thousand would meet.
        let ports = (0..2_000).map(|_| Port::free()).collect::<anyhow::Result<Vec<_>>>()?;
        let numbers: BTreeSet<u16> = ports.iter().map(Port::number).collect();
        assert_eq!(numbers.len(), ports.len());
        assert!(numbers.is_subset(&all_taken()));
        drop(ports);
        assert!(numbers.is_disjoint(&all_taken()));
        Ok(())
    }
}
