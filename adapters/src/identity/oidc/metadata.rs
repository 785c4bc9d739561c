//! What the provider says of itself, with where it signs browsers out (OpenID Connect RP-Initiated Logout 1.0).

use openidconnect::core::{
    CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType, CoreJsonWebKey,
    CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm, CoreResponseMode, CoreResponseType,
    CoreSubjectIdentifierType,
};
use openidconnect::{AdditionalProviderMetadata, EndSessionUrl, ProviderMetadata};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::identity::provider_url::ProviderUrl;

/// The discovery document.
pub(super) type Metadata = ProviderMetadata<
    SignOut,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// Where sessions end, in whatever form it comes: the crate's own type of this takes no document whose address is none, and
/// then nobody could sign in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SignOut {
    end_session_endpoint: Option<Value>,
}

impl AdditionalProviderMetadata for SignOut {}

impl SignOut {
    /// Where browsers are signed out, if they may be sent there. They alone are: this service never asks that address.
    pub(super) fn endpoint(&self) -> Option<EndSessionUrl> {
        let told = self.end_session_endpoint.as_ref()?;
        let url = told.as_str().and_then(|text| text.parse::<ProviderUrl>().ok());
        if url.is_none() {
            tracing::warn!("the identity provider's end_session_endpoint is no https address: it is not used");
        }
        url.map(|url| EndSessionUrl::from_url(url.url().clone()))
    }
}
