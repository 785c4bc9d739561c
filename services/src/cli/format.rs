//! Whether answers are for people or for machines.

/// Who reads the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// People
    Table,
    /// Machines
    Json,
}
