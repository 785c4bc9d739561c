//! `sign-in`, `sign-out` and `token`: who may come in, where this service says so itself.

mod grant;
mod sign_in;
mod sign_out;
mod token;

use adapters::identity::told_provider;
use sqlx::Connection as _;

pub(super) use sign_in::SignInArgs;
pub(super) use sign_out::SignOutArgs;
pub(super) use token::TokenArgs;

use super::failure::{Failure, message};
use super::output::note;
use super::session::{Session, login};
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

/// The same where `serve` knows a provider, and this shell does not.
fn refuse_beside_that_of_serve(told: Option<String>) -> anyhow::Result<()> {
    let Some(setting) = told else { return Ok(()) };
    let reason = format!(
        "`serve` was last started with an identity provider ({setting}): it takes no links and no tokens of this \
         service; sign in there, or get a token there. Where it is to have none, start it without"
    );
    Err(Failure::Refused(reason).into())
}

/// To sign a token takes no database, so that one out of reach is told and no more.
async fn look_whether_serve_has_one(session: &Session) -> anyhow::Result<()> {
    let told = async {
        let mut connection = login(session.connections.postgres_address()?).await?;
        let told = told_provider(&mut connection).await?;
        // The server notices by itself when this goes wrong.
        let _ = connection.close().await;
        anyhow::Ok(told)
    };
    match told.await {
        Ok(told) => refuse_beside_that_of_serve(told),
        Err(error) => {
            let unknown = "warning: Postgres does not say whether `serve` has an identity provider, beside which it \
                takes no such token";
            note(&format!("{unknown}: {}", message(&error)));
            Ok(())
        }
    }
}
