//! Where the connections of a process lead.

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
