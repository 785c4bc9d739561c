//! `sign-in`, `sign-out` and `token`: who may come in, where this service says so itself.

mod grant;
mod sign_in;
mod sign_out;
mod token;

pub(super) use sign_in::SignInArgs;
pub(super) use sign_out::SignOutArgs;
pub(super) use token::TokenArgs;

use super::failure::Failure;
use crate::config::ProviderOptions;

/// Gives nothing out beside an identity provider, which could not take it back.
fn refuse_beside(providers: &ProviderOptions) -> anyhow::Result<()> {
    let Some(setting) = providers.provider() else { return Ok(()) };
    let reason = format!(
        "an identity provider is configured ({setting}): this service gives out no links and no tokens beside it, \
         and takes none; sign in there, or get a token there"
    );
    Err(Failure::Refused(reason).into())
}
