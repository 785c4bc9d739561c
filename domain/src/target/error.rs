//! Why a target refuses a command.

/// A refusal. Each says which field or state is in the way and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// The id is taken.
    #[error("this target exists already")]
    AlreadyExists,
    /// No such target.
    #[error("there is no such target")]
    NotFound,
    /// It was deleted.
    #[error("this target is deleted; create a new one")]
    Deleted,
    /// A deletion of a deleted target.
    #[error("this target is deleted already; nothing is left to do")]
    AlreadyDeleted,
    /// A pause of a paused target.
    #[error("this target is paused already")]
    AlreadyPaused,
    /// A resume of a target that is not paused.
    #[error("this target is not paused")]
    NotPaused,
    /// A field that cannot be used.
    #[error("{field}: {reason}")]
    Field {
        /// The field.
        field: &'static str,
        /// What is wrong and what would be right.
        reason: String,
    },
}
