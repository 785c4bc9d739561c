//! What cancelled a sync, and who did that.

use serde::Serialize;
use utoipa::ToSchema;

/// What can cancel a sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CancelledBecause {
    /// Its listing was unlinked.
    ListingUnlinked,
    /// Its target was deleted.
    TargetDeleted,
}

/// What cancelled a sync, and who did that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Cancelled {
    /// What it was.
    pub because: CancelledBecause,
    /// Who did it.
    #[schema(example = "ops@example.org")]
    pub by: String,
}

impl Cancelled {
    /// To stand behind how it ended.
    pub(super) fn words(&self) -> String {
        let what = match self.because {
            CancelledBecause::ListingUnlinked => "unlinked its listing",
            CancelledBecause::TargetDeleted => "deleted its target",
        };
        format!(", as {} {what}", self.by)
    }
}
