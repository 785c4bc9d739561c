//! The connections of a process: where they lead, and what may become of them.

/// Where a process's connection leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Far {
    /// Postgres.
    Postgres,
    /// NATS.
    Nats,
    /// The sandbox.
    Channel,
}

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// Open ones are cut, new ones refused.
    Cut,
    /// Each direction takes so much longer.
    Slow {
        /// Milliseconds.
        ms: u64,
    },
    /// Nothing gets through, and nobody is told.
    Silent,
}
