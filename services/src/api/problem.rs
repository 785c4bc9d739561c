//! What is answered when something is wrong: `application/problem+json` (RFC 9457) with a stable type, the field and
//! the fix.

mod meaning;

use adapters::postgres::passes;
use adapters::units::NotLoaded;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::commands::CommandError;
use crate::syncing::SyncError;
use domain::listing::ListingError;
use domain::target::TargetError;

/// The media type of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// What is said of a change whose end nobody knows.
const UNKNOWN: &str = "whether the change took effect is unknown: read before you try again";

/// A problem. `type` is stable: programs may branch on it; `detail` is for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// A stable name of what is wrong, and the path of a page that says more of it.
    #[serde(rename = "type")]
    #[schema(example = "/problems/not-found")]
    pub kind: &'static str,
    /// The same in words.
    #[schema(example = "Not found")]
    pub title: &'static str,
    /// The HTTP status.
    #[schema(example = 404)]
    pub status: u16,
    /// What is wrong here, and what would be right.
    #[schema(example = "there is no such target")]
    pub detail: String,
    /// The field, parameter or header that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The version that the target or listing has, where `If-Match` named another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
    /// When to try again, in seconds; also the header `Retry-After`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
}

/// The problems that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// A field, parameter or header that cannot be used.
    InvalidRequest,
    /// No credential, or one that is not good.
    Unauthenticated,
    /// A credential that does not carry the permission.
    Forbidden,
    /// Nobody came in: it was cancelled or refused at the provider, or begun elsewhere or too long ago.
    SignInFailed,
    /// It does not exist, or not for this caller.
    NotFound,
    /// No such method here.
    MethodNotAllowed,
    /// Its state does not allow it.
    Conflict,
    /// Somebody changed it since it was read.
    VersionMismatch,
    /// The body is too large.
    TooLarge,
    /// The path with its query is too long.
    UriTooLong,
    /// The head has too many headers, or too long ones.
    HeadersTooLarge,
    /// The body is not JSON by its content type, or it comes in a coding.
    UnsupportedMediaType,
    /// It is not answered over so old a version of HTTP.
    UpgradeRequired,
    /// The key was used for another request.
    IdempotencyKeyReused,
    /// The first request with this key has no answer yet.
    IdempotencyKeyInUse,
    /// Too many requests.
    RateLimited,
    /// The request's body did not arrive in time.
    RequestTimedOut,
    /// It took too long.
    TimedOut,
    /// What was written is not visible yet.
    NotYetVisible,
    /// The channel did not answer as it should.
    ChannelFailed,
    /// The identity provider did not.
    ProviderFailed,
    /// Postgres or NATS cannot be reached.
    Unavailable,
    /// A bug, in the service or in its database's schema.
    Internal,
}

impl ProblemKind {
    /// All of them.
    pub const ALL: [Self; 23] = [
        Self::InvalidRequest,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::SignInFailed,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Conflict,
        Self::VersionMismatch,
        Self::TooLarge,
        Self::UriTooLong,
        Self::HeadersTooLarge,
        Self::UnsupportedMediaType,
        Self::UpgradeRequired,
        Self::IdempotencyKeyReused,
        Self::IdempotencyKeyInUse,
        Self::RateLimited,
        Self::RequestTimedOut,
        Self::TimedOut,
        Self::NotYetVisible,
        Self::ChannelFailed,
        Self::ProviderFailed,
        Self::Unavailable,
        Self::Internal,
    ];

    /// Its stable name.
    pub fn name(self) -> &'static str {
        self.parts().1
    }

    /// The same in words.
    pub fn title(self) -> &'static str {
        self.parts().2
    }

    /// The status that it is answered with.
    pub fn status(self) -> u16 {
        self.parts().0.as_u16()
    }

    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::InvalidRequest => (StatusCode::BAD_REQUEST, "/problems/invalid-request", "Invalid request"),
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, "/problems/unauthenticated", "Not signed in"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "/problems/forbidden", "Not allowed"),
            Self::SignInFailed => (StatusCode::FORBIDDEN, "/problems/sign-in-failed", "The sign-in failed"),
            Self::NotFound => (StatusCode::NOT_FOUND, "/problems/not-found", "Not found"),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "/problems/method-not-allowed", "Method not allowed")
            }
            Self::Conflict => (StatusCode::CONFLICT, "/problems/conflict", "Conflict"),
            Self::VersionMismatch => {
                (StatusCode::PRECONDITION_FAILED, "/problems/version-mismatch", "Changed meanwhile")
            }
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "/problems/too-large", "Too large"),
            Self::UriTooLong => (StatusCode::URI_TOO_LONG, "/problems/uri-too-long", "Address too long"),
            Self::HeadersTooLarge => {
                (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "/problems/headers-too-large", "Headers too large")
            }
            Self::UnsupportedMediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "/problems/unsupported-media-type", "Unsupported media type")
            }
            Self::UpgradeRequired => {
                (StatusCode::UPGRADE_REQUIRED, "/problems/upgrade-required", "Newer HTTP required")
            }
            Self::IdempotencyKeyReused => {
                (StatusCode::UNPROCESSABLE_ENTITY, "/problems/idempotency-key-reused", "Idempotency key reused")
            }
            Self::IdempotencyKeyInUse => {
                (StatusCode::CONFLICT, "/problems/idempotency-key-in-use", "Idempotency key in use")
            }
            Self::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "/problems/rate-limited", "Too many requests"),
            Self::RequestTimedOut => (StatusCode::REQUEST_TIMEOUT, "/problems/request-timed-out", "Request timed out"),
            Self::TimedOut => (StatusCode::GATEWAY_TIMEOUT, "/problems/timed-out", "Timed out"),
            Self::NotYetVisible => (StatusCode::SERVICE_UNAVAILABLE, "/problems/not-yet-visible", "Not visible yet"),
            Self::ChannelFailed => (StatusCode::BAD_GATEWAY, "/problems/channel-failed", "The channel failed"),
            Self::ProviderFailed => {
                (StatusCode::BAD_GATEWAY, "/problems/identity-provider-failed", "The identity provider failed")
            }
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "/problems/unavailable", "Unavailable"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "/problems/internal", "Internal error"),
        }
    }

    /// A problem of this kind.
    pub fn because(self, detail: impl Into<String>) -> Problem {
        let (status, kind, title) = self.parts();
        Problem {
            kind,
            title,
            status: status.as_u16(),
            detail: detail.into(),
            field: None,
            version: None,
            retry_after_s: None,
        }
    }
}

impl Problem {
    /// A field that cannot be used.
    pub fn field(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..ProblemKind::InvalidRequest.because(reason) }
    }

    /// A parameter or a header is there twice, so that one of the two would not be kept.
    pub fn twice(field: impl Into<String>) -> Self {
        Self::field(field, "is given twice; give it once")
    }

    /// It has this version, and the change is meant for another one.
    pub fn moved(version: i64) -> Self {
        let reason = "it was changed since you read it: read it again, then decide";
        let problem = ProblemKind::VersionMismatch.because(reason);
        Self { version: Some(version), field: Some("If-Match".to_owned()), ..problem }
    }

    /// What does not exist and what belongs to others look the same.
    pub fn not_found(what: &str) -> Self {
        ProblemKind::NotFound.because(format!("there is no such {what}"))
    }

    /// Postgres does not answer.
    pub fn no_database() -> Self {
        ProblemKind::Unavailable.because("the database cannot be reached; try again").retry_after(1)
    }

    /// The same before anything was changed.
    pub fn nothing_changed(self) -> Self {
        self.said_of_outage("the database cannot be reached; nothing was changed, try again")
    }

    /// The same after a change that was made, and cannot be shown: nobody is to make it again.
    pub fn after_change(self) -> Self {
        self.said_of_outage("the change was made, and cannot be shown now: do not make it again, read it")
    }

    fn said_of_outage(self, detail: &str) -> Self {
        if self.status == StatusCode::SERVICE_UNAVAILABLE.as_u16() {
            Self { detail: detail.to_owned(), ..self }
        } else {
            self
        }
    }

    /// It took too long. A change may have been made all the same, or be made yet.
    pub fn too_late(changes: bool) -> Self {
        let fix = if changes { UNKNOWN } else { "try again" };
        ProblemKind::TimedOut.because(format!("it took too long; {fix}")).retry_after(1)
    }

    /// A bug. The log says more.
    pub fn bug() -> Self {
        ProblemKind::Internal.because("ask the operator, with the X-Request-Id")
    }

    /// With the time after which to try again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = self.retry_after_s;
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::UPGRADE_REQUIRED {
            // RFC 9110, 15.5.22 and 7.8.
            headers.insert(header::UPGRADE, HeaderValue::from_static("HTTP/1.1"));
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        }
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<&sqlx::Error> for Problem {
    fn from(error: &sqlx::Error) -> Self {
        if passes(error) {
            // One of many like it, as all requests fail meanwhile.
            tracing::warn!(%error, "a request failed at the database");
            return Self::no_database();
        }
        tracing::error!(%error, "a request asked something of the database that it does not take: a bug");
        Self::bug()
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        Self::from(&error)
    }
}

impl From<NotLoaded> for Problem {
    fn from(error: NotLoaded) -> Self {
        match error {
            NotLoaded::Failed(error) => Self::from(&*error),
            NotLoaded::Closed => Self::no_database(),
        }
    }
}

impl From<TargetError> for Problem {
    fn from(error: TargetError) -> Self {
        match error {
            TargetError::NotFound => Self::not_found("target"),
            TargetError::Field { field, reason } => Self::field(field, reason),
            other => ProblemKind::Conflict.because(other.to_string()),
        }
    }
}

impl From<ListingError> for Problem {
    fn from(error: ListingError) -> Self {
        match error {
            ListingError::NotFound => Self::not_found("listing"),
            ListingError::ForeignSnapshot { .. } => Self::field("snapshot", "there is no such snapshot of this unit"),
            other => ProblemKind::Conflict.because(other.to_string()),
        }
    }
}

impl<E: std::fmt::Display + Into<Problem>> From<CommandError<E>> for Problem {
    fn from(error: CommandError<E>) -> Self {
        match error {
            CommandError::Refused(refusal) => refusal.into(),
            CommandError::Moved { version } => Self::moved(version),
            CommandError::Conflict => ProblemKind::Conflict.because(error.to_string()).retry_after(1),
            CommandError::Unreadable(reason) => {
                tracing::error!(reason, "a request met events that this build cannot read");
                ProblemKind::Internal.because("its history cannot be read by this build; ask the operator")
            }
            CommandError::Unavailable(reason) => {
                tracing::warn!(error = reason, "a command failed at the journal");
                ProblemKind::Unavailable.because(format!("the journal cannot be reached; {UNKNOWN}")).retry_after(1)
            }
            CommandError::Broken(reason) => {
                tracing::error!(reason, "a command asked something of the journal that it does not take: a bug");
                Self::bug()
            }
        }
    }
}

impl From<SyncError> for Problem {
    fn from(error: SyncError) -> Self {
        match error {
            SyncError::Refused(refusal) => refusal.into(),
            SyncError::Target(refusal) => refusal.into(),
            SyncError::SnapshotUnknown(_) => Self::field("snapshot", "there is no such snapshot of this unit"),
            SyncError::NotInAccounts => Self::field("unit_id", error.to_string()),
            SyncError::SnapshotUnusable(reason) => Self::field("snapshot", reason),
            SyncError::UnitUnknown(_)
            | SyncError::ExternalIdTaken { .. }
            | SyncError::ExternalIdTakenElsewhere { .. }
            | SyncError::TargetDeleted => ProblemKind::Conflict.because(error.to_string()),
            SyncError::Listing(error) => (*error).into(),
            SyncError::TargetState(error) => (*error).into(),
            SyncError::Database(error) => error.into(),
        }
    }
}
