//! Who a request is by, as a handler takes it.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use domain::access::Caller;
use domain::ids::{AccountId, OrgId, TargetId, UnitId};
use domain::metadata::Metadata;
use uuid::Uuid;

use super::problem::{Problem, ProblemKind};
use crate::commands::AskedBy;

/// The caller, and what ties everything together that the request sets off.
#[derive(Debug, Clone)]
pub struct By {
    /// Who asks.
    pub caller: Arc<Caller>,
    /// The request's `X-Request-Id`: itself where that is a UUID, the UUIDv5 of `request:` and its text where it is not, a
    /// new one where there is none.
    pub correlation_id: Uuid,
    /// What an `Idempotency-Key` stands for; it stands beside the events of the change, so that they can be found. Without one a rotation
    /// has an id of its own there.
    pub causation_id: Option<Uuid>,
    /// W3C trace context, where a well-formed one came.
    pub traceparent: Option<String>,
}

impl By {
    /// Who asked, for a command.
    pub(crate) fn asked(&self) -> AskedBy {
        AskedBy {
            actor: self.caller.actor(),
            correlation_id: self.correlation_id,
            causation_id: self.causation_id,
            traceparent: self.traceparent.clone(),
        }
    }

    /// What stands beside the events of a command.
    pub(crate) fn metadata(
        &self,
        org_id: OrgId,
        account_id: AccountId,
        target_id: TargetId,
        unit_id: Option<UnitId>,
    ) -> Metadata {
        self.asked().metadata(org_id, account_id, target_id, unit_id)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for By {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let by = parts.extensions.get::<Self>().cloned();
        by.ok_or_else(|| ProblemKind::Unauthenticated.because("sign in, or send a bearer token"))
    }
}
