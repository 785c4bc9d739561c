//! Why nobody was signed in at the identity provider, each cause in a sentence of its own. What is wrong between the provider and this
//! service stands in the log alone: whoever signs in can do nothing about it, and its words may quote what the provider said.

use adapters::identity::LoginError;
use adapters::secrets::SecretError;

use crate::api::problem::{Problem, ProblemKind};

/// What was brought back without a sign-in that this could belong to.
pub(super) fn elsewhere() -> Problem {
    problem(&LoginError::Elsewhere)
}

/// What the provider has sent back by the browser in place of a code: an error of OAuth 2.0 (RFC 6749, 4.1.2.1) or of OpenID Connect
/// (Core, 3.1.2.6).
pub(super) fn told(code: &str) -> Problem {
    let code: String = code.chars().filter(char::is_ascii_graphic).take(80).collect();
    match code.as_str() {
        "access_denied" => {
            ProblemKind::SignInFailed.because("it was cancelled at the identity provider, or not allowed there")
        }
        "login_required" | "interaction_required" | "consent_required" | "account_selection_required" => {
            ProblemKind::SignInFailed.because(format!("the identity provider has to ask you something first ({code})"))
        }
        "temporarily_unavailable" => {
            let reason = "the identity provider says that it has no time now; try again";
            ProblemKind::Unavailable.because(reason).retry_after(5)
        }
        "server_error" => ProblemKind::ProviderFailed.because("the identity provider says that it has failed"),
        _ => {
            // Whoever has begun a sign-in may bring one of their own.
            tracing::warn!(code, "a browser brings an error of the identity provider");
            refused(&code)
        }
    }
}

fn refused(code: &str) -> Problem {
    ProblemKind::ProviderFailed.because(format!("the identity provider refuses what this service asks of it: {code}"))
}

/// What became of a login that has failed.
pub(super) fn problem(error: &LoginError) -> Problem {
    match error {
        LoginError::Database(error) => error.into(),
        LoginError::NotBegun | LoginError::Elsewhere => ProblemKind::SignInFailed.because(error.to_string()),
        LoginError::Refused(code) if code == "invalid_grant" => {
            let reason = "the identity provider no longer takes the code of this sign-in: it is used, or too old";
            ProblemKind::SignInFailed.because(reason)
        }
        LoginError::Refused(code) => {
            tracing::error!(%error, "nobody can sign in");
            refused(code)
        }
        LoginError::Claims(_) => {
            ProblemKind::SignInFailed.because(format!("{error}; whoever runs the identity provider can mend that"))
        }
        LoginError::Unusable(_) => {
            tracing::error!(%error, "a sign-in failed");
            ProblemKind::ProviderFailed.because("the identity provider gave an answer that cannot be used")
        }
        LoginError::Secret(SecretError::Unreachable { .. }) => {
            tracing::error!(%error, "nobody can sign in");
            let reason = "the secret that this service has for the identity provider cannot be read now; try again";
            ProblemKind::Unavailable.because(reason).retry_after(1)
        }
        LoginError::Secret(_) => {
            tracing::error!(%error, "nobody can sign in");
            let reason = "this service has no secret for the identity provider that it could use";
            ProblemKind::ProviderFailed.because(reason)
        }
        LoginError::Provider(_) => {
            tracing::error!(%error, "nobody can sign in");
            ProblemKind::Unavailable.because("the identity provider cannot be asked now; try again").retry_after(1)
        }
    }
}
