//! What may become of a connection.

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
