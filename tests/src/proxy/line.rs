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
    /// The same, but for connections that come as long as it is so: another host has the address of one that went without a word.
    Lost,
    /// Those that were there are reset, and others come through: what ended them in a silence answers whoever sends there.
    Reset,
}
