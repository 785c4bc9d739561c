//! What each problem means and what helps, in words: of its page, and of the table in `services/API.md`. What stands between backquotes is to
//! be typed.

use super::ProblemKind;

impl ProblemKind {
    /// What is wrong.
    pub fn meaning(self) -> &'static str {
        self.words().0
    }

    /// What helps.
    pub fn remedy(self) -> &'static str {
        self.words().1
    }

    fn words(self) -> (&'static str, &'static str) {
        const LATER: &str = "Ask again after `Retry-After`.";
        const SHORTER: &str = "Send less; the limits stand in the documentation of the API.";
        match self {
            Self::InvalidRequest => (
                "A field, a parameter or a header cannot be used; `field` names it.",
                "Mend what `detail` says, and ask again.",
            ),
            Self::Unauthenticated => (
                "There is no credential, or one that is not good, or not any more.",
                "Sign in, or send a bearer token that is good.",
            ),
            Self::Forbidden => (
                "The credential does not carry the permission, or a change came without the CSRF token of its session.",
                "Ask with a role that `detail` names. With a session, send `X-CSRF-Token`.",
            ),
            Self::SignInFailed => ("A sign-in came to nothing; `detail` says why.", "Sign in again, at `/sign-in`."),
            Self::NotFound => (
                "It does not exist, or not for this caller: the two look the same.",
                "Look for its id in a list, and see which organisation and accounts are yours: `GET /api/channels/me`.",
            ),
            Self::MethodNotAllowed => {
                ("The path has no such method.", "Take one that `Allow` names, or see `/api/docs`.")
            }
            Self::Conflict => (
                "Its state does not allow it, or others changed it at the same time.",
                "Read how it stands now, then decide.",
            ),
            Self::VersionMismatch => (
                "Somebody changed it since it was read; `version` is the one that it has now.",
                "Read it again, then decide, and send its new `ETag` as `If-Match`.",
            ),
            Self::TooLarge => ("The body is larger than is taken.", SHORTER),
            Self::UriTooLong => ("The path with its query is longer than is taken.", SHORTER),
            Self::HeadersTooLarge => ("There are more headers than are taken, or longer ones.", SHORTER),
            Self::UnsupportedMediaType => (
                "The body is of another type than its route takes, or it comes in a coding.",
                "Send it as it is, as `application/json`.",
            ),
            Self::UpgradeRequired => (
                "It is answered over HTTP/1.1 alone: in HTTP/1.0 an answer that was cut off would look whole.",
                "Ask over HTTP/1.1. What stands before the service has to speak it, too: nginx by `proxy_http_version 1.1`.",
            ),
            Self::IdempotencyKeyReused => (
                "The `Idempotency-Key` was used for another request.",
                "Take a new key for a new request, and the same one only for the same.",
            ),
            Self::IdempotencyKeyInUse => (
                "The first request with this `Idempotency-Key` is under way, or was when its process ended.",
                "Ask again after `Retry-After`, with the same key.",
            ),
            Self::RateLimited => (
                "More requests came than one caller, or one address, may make in a second.",
                "Ask again after `Retry-After`; `RateLimit-Remaining` tells how many are left.",
            ),
            Self::RequestTimedOut => ("The body did not arrive in time.", "Send it again, all of it at once."),
            Self::TimedOut => (
                "It took too long. A change may have been made all the same.",
                "Of a change read first, or ask again with the same `Idempotency-Key`.",
            ),
            Self::NotYetVisible => ("The read models do not show yet what was to be waited for.", LATER),
            Self::ChannelFailed => {
                ("The channel did not answer as it should; `detail` has its words.", "Try again later.")
            }
            Self::ProviderFailed => (
                "The identity provider gave an answer that cannot be used, or refuses this service.",
                "Sign in again. Where that does not help, whoever runs the service finds the cause in its log.",
            ),
            Self::Unavailable => (
                "Something that the service depends on cannot be reached, or the service is stopping.",
                "Ask again after `Retry-After`. Where `detail` says that whether a change took effect is unknown, read \
                first, or send the same `Idempotency-Key`.",
            ),
            Self::Internal => (
                "A bug of the service, or a schema of another build. It does not pass by itself.",
                "Tell the operator, with the `X-Request-Id` of the answer.",
            ),
        }
    }
}
