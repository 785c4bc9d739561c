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
    /// The request's `X-Request-Id` where that is a UUID, otherwise a new one.
    pub correlation_id: Uuid,
    /// W3C trace context, where a well-formed one came.
    pub traceparent: Option<String>,
}

impl By {
    /// Who asked, for a command.
    pub(super) fn asked(&self) -> AskedBy {
        AskedBy {
            actor: self.caller.actor(),
            correlation_id: self.correlation_id,
            traceparent: self.traceparent.clone(),
        }
    }

    /// What stands beside the events of a command.
    pub(super) fn metadata(
        &self,
        org_id: OrgId,
        account_id: AccountId,
        target_id: TargetId,
        unit_id: Option<UnitId>,
    ) -> Metadata {
        Metadata {
            org_id,
            account_id,
            target_id,
            unit_id,
            actor: self.caller.actor(),
            on_behalf_of: None,
            correlation_id: self.correlation_id,
            causation_id: None,
            traceparent: self.traceparent.clone(),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for By {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let by = parts.extensions.get::<Self>().cloned();
        by.ok_or_else(|| ProblemKind::Unauthenticated.because("sign in, or send a bearer token"))
    }
}
