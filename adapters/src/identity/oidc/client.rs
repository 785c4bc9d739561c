//! The OpenID provider: its addresses and keys, kept for a while, and what it is asked.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreClientAuthMethod, CoreErrorResponseType, CoreGenderClaim, CoreJsonWebKey,
    CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreRevocableToken, CoreRevocationErrorResponse,
    CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AccessTokenHash, AdditionalClaims, AuthType, AuthorizationCode, ClaimsVerificationError, Client as AnyClient,
    ClientId, ClientSecret, DiscoveryError, EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet, EndpointSet,
    HttpRequest, HttpResponse, IdTokenFields, IssuerUrl, LogoutRequest, Nonce, OAuth2TokenResponse as _,
    PkceCodeVerifier, PostLogoutRedirectUrl, RedirectUrl, RequestTokenError, SignatureVerificationError,
    StandardErrorResponse, StandardTokenResponse, TokenResponse as _, UserInfoClaims, UserInfoError,
};
use reqwest::StatusCode;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::RwLock;
use tokio::time::timeout;
use url::Url;

use super::OidcOptions;
use super::failure::{LoginError, told};
use super::id_token;
use super::metadata::Metadata;
use crate::identity::http::{self, FetchError};
use crate::secrets::SecretStore;

/// Addresses and keys are asked for again after so long.
const FRESH: Duration = Duration::from_secs(10 * 60);
/// And at once where no key fits that is known, but not more often than this.
const PAUSE: Duration = Duration::from_secs(5);

/// A sign-out waits no longer for the provider's addresses: who asks a silent one takes turns with whoever else does.
const SIGN_OUT_PATIENCE: Duration = Duration::from_secs(3);

/// Where people come back to who were signed out at the provider, from `sign-in/callback`.
const SIGNED_OUT: &str = "../signed-out";

/// How a provider may sign: never with the secret that it shares with us.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 3] = [
    CoreJwsSigningAlgorithm::EdDsa,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
];

/// The claims that the standard does not know.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct OwnClaims(HashMap<String, Value>);

impl AdditionalClaims for OwnClaims {}

type Fields = IdTokenFields<
    OwnClaims,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;
type Tokens = StandardTokenResponse<Fields, CoreTokenType>;
/// The crate's client with our claims, and the endpoints that discovery gives.
pub(super) type Client = AnyClient<
    OwnClaims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    Tokens,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

pub(super) struct Provider {
    pub(super) options: OidcOptions,
    secrets: Arc<dyn SecretStore>,
    http: reqwest::Client,
    known: RwLock<Known>,
}

/// What the provider says of itself.
#[derive(Default)]
struct Known {
    metadata: Option<(Instant, Metadata)>,
    /// When it was forgotten last, before its time.
    forgotten: Option<Instant>,
}

impl Known {
    fn fresh(&self) -> Option<Metadata> {
        self.metadata.as_ref().filter(|(at, _)| at.elapsed() < FRESH).map(|(_, metadata)| metadata.clone())
    }
}

impl Provider {
    pub(super) fn new(options: OidcOptions, secrets: Arc<dyn SecretStore>) -> Result<Self, reqwest::Error> {
        Ok(Self { options, secrets, http: http::client()?, known: RwLock::default() })
    }

    /// A client with what the provider says of itself. The secret is read each time, so that a new one is used at once.
    pub(super) async fn client(&self) -> Result<Client, LoginError> {
        let metadata = self.metadata().await?;
        let secret = match &self.options.client_secret {
            Some(secret) => {
                Some(ClientSecret::new(self.secrets.read(secret).await?.current.expose_secret().to_owned()))
            }
            None => None,
        };
        let in_body = metadata.token_endpoint_auth_methods_supported().is_some_and(|methods| {
            methods.contains(&CoreClientAuthMethod::ClientSecretPost)
                && !methods.contains(&CoreClientAuthMethod::ClientSecretBasic)
        });
        let client = AnyClient::from_provider_metadata(metadata, ClientId::new(self.options.client_id.clone()), secret)
            .set_redirect_uri(RedirectUrl::from_url(self.options.redirect_url.url().clone()));
        Ok(if in_body { client.set_auth_type(AuthType::RequestBody) } else { client })
    }

    async fn metadata(&self) -> Result<Metadata, LoginError> {
        if let Some(metadata) = self.known.read().await.fresh() {
            return Ok(metadata);
        }
        let mut known = self.known.write().await;
        if let Some(metadata) = known.fresh() {
            return Ok(metadata);
        }
        let issuer = IssuerUrl::new(self.options.issuer.as_str().to_owned());
        let issuer = issuer.map_err(|error| LoginError::Unusable(error.to_string()))?;
        let ask = self.ask();
        let metadata = Metadata::discover_async(issuer, &ask).await.map_err(|error| match error {
            DiscoveryError::Request(_) => LoginError::Provider(told(&error)),
            other => LoginError::Unusable(told(&other)),
        })?;
        known.metadata = Some((Instant::now(), metadata.clone()));
        Ok(metadata)
    }

    /// Has the provider asked again, who may have a key by now that is newer than what is known. Whoever comes right after another one
    /// makes do with what that one has found.
    async fn forget(&self) {
        let mut known = self.known.write().await;
        if known.forgotten.is_none_or(|at| at.elapsed() >= PAUSE) {
            *known = Known { metadata: None, forgotten: Some(Instant::now()) };
        }
    }

    /// Where a browser is signed out at the provider and sent back from, if the provider knows such a place. It gets no
    /// `id_token_hint`: no ID token is kept.
    pub(super) async fn sign_out(&self) -> Result<Option<Url>, LoginError> {
        let metadata = timeout(SIGN_OUT_PATIENCE, self.metadata()).await;
        let metadata = metadata.map_err(|_| LoginError::Provider("it does not answer".to_owned()))??;
        let Some(endpoint) = metadata.additional_metadata().endpoint() else { return Ok(None) };
        let back = self.options.redirect_url.url().join(SIGNED_OUT);
        let back = back.map_err(|error| LoginError::Unusable(error.to_string()))?;
        let request = LogoutRequest::from(endpoint)
            .set_client_id(ClientId::new(self.options.client_id.clone()))
            .set_post_logout_redirect_uri(PostLogoutRedirectUrl::from_url(back));
        Ok(Some(request.http_get_url()))
    }

    /// What the provider says of whoever has brought a code: in its ID token, and in its user info where that does not say all. What
    /// is not to be had there lets nobody in, as it may be what limits them.
    pub(super) async fn claims(&self, code: &str, verifier: String, nonce: String) -> Result<Vec<Value>, LoginError> {
        let mut client = self.client().await?;
        let tokens = self.exchange(&client, code, verifier).await?;
        let nonce = Nonce::new(nonce);
        let claims = match verified(&client, &tokens, &nonce) {
            Err(ClaimsVerificationError::SignatureVerification(error)) if may_be_of_a_newer_key(&error) => {
                self.forget().await;
                client = self.client().await?;
                verified(&client, &tokens, &nonce)
            }
            other => other,
        };
        let claims = claims.map_err(|error| LoginError::Unusable(told(&error)))?;
        id_token::check(&claims, &self.options.client_id).map_err(|wrong| LoginError::Unusable(wrong.to_owned()))?;
        // What the ID token says is signed, and counts more.
        let mut sources = vec![claims];
        if !self.options.claims.are_in(&sources[0]) {
            let info = self.user_info(&client, &tokens, &sources[0]).await?;
            sources.extend(info);
        }
        Ok(sources)
    }

    /// The crate's way to ask. It owns its client: with a borrowed one the compiler cannot tell that logins are `Send`.
    fn ask(&self) -> impl Fn(HttpRequest) -> BoxFuture<'static, Result<HttpResponse, FetchError>> + use<> {
        let http = self.http.clone();
        move |request| send(http.clone(), request).boxed()
    }

    async fn exchange(&self, client: &Client, code: &str, verifier: String) -> Result<Tokens, LoginError> {
        let request = client.exchange_code(AuthorizationCode::new(code.to_owned()));
        let request = request.map_err(|error| LoginError::Unusable(told(&error)))?;
        let ask = self.ask();
        let answered = request.set_pkce_verifier(PkceCodeVerifier::new(verifier)).request_async(&ask).await;
        answered.map_err(|error| match error {
            RequestTokenError::ServerResponse(refusal) => LoginError::Refused(refusal.error().to_string()),
            RequestTokenError::Request(_) => LoginError::Provider(told(&error)),
            other => LoginError::Unusable(told(&other)),
        })
    }

    /// Many providers put their own claims there alone. `None` where the provider has none.
    async fn user_info(&self, client: &Client, tokens: &Tokens, signed: &Value) -> Result<Option<Value>, LoginError> {
        let subject = signed["sub"].as_str().map(|sub| openidconnect::SubjectIdentifier::new(sub.to_owned()));
        let Ok(request) = client.user_info(tokens.access_token().clone(), subject) else { return Ok(None) };
        let ask = self.ask();
        let answered: Result<UserInfoClaims<OwnClaims, CoreGenderClaim>, _> = request.request_async(&ask).await;
        as_value(&answered.map_err(no_user_info)?).map(Some)
    }
}

/// Whether another look at the provider's keys may help. Keys without a `kid` are all tried for what names none.
fn may_be_of_a_newer_key(error: &SignatureVerificationError) -> bool {
    use SignatureVerificationError::{AmbiguousKeyId, CryptoError, NoMatchingKey};
    matches!(error, NoMatchingKey | CryptoError(_) | AmbiguousKeyId(_))
}

/// Whether the same may go well later: an answer does not become another one by asking again.
fn no_user_info(error: UserInfoError<FetchError>) -> LoginError {
    match error {
        UserInfoError::Request(_) => LoginError::Provider(told(&error)),
        UserInfoError::Response(status, ..) if !status.is_success() => {
            LoginError::Unusable(format!("its user info answers {status}"))
        }
        // The subjects themselves are nobody else's business.
        UserInfoError::ClaimsVerification(ClaimsVerificationError::InvalidSubject(_)) => {
            LoginError::Unusable("its user info is of another subject".to_owned())
        }
        other => LoginError::Unusable(told(&other)),
    }
}

/// The claims of an ID token: signature, issuer, audience, time, nonce, and the access token that came with it.
fn verified(client: &Client, tokens: &Tokens, nonce: &Nonce) -> Result<Value, ClaimsVerificationError> {
    let other = |words: &str| ClaimsVerificationError::Other(words.to_owned());
    let token = tokens.id_token().ok_or_else(|| other("it sent no ID token"))?;
    let verifier = client.id_token_verifier().set_allowed_algs(ALGORITHMS);
    let claims = token.claims(&verifier, nonce)?;
    if let Some(expected) = claims.access_token_hash() {
        let signature = |error: openidconnect::SignatureVerificationError| other(&error.to_string());
        let algorithm = token.signing_alg().map_err(|error| other(&error.to_string()))?;
        let key = token.signing_key(&verifier).map_err(signature)?;
        let actual = AccessTokenHash::from_token(tokens.access_token(), algorithm, key);
        if actual.map_err(|error| other(&error.to_string()))? != *expected {
            return Err(other("the access token is not the one that the ID token names"));
        }
    }
    as_value(claims).map_err(|error| other(&error.to_string()))
}

fn as_value(claims: &impl Serialize) -> Result<Value, LoginError> {
    serde_json::to_value(claims).map_err(|error| LoginError::Unusable(error.to_string()))
}

/// How the crate asks: our client, which follows no redirects and reads a bounded answer.
async fn send(http: reqwest::Client, request: HttpRequest) -> Result<HttpResponse, FetchError> {
    let response = http.execute(reqwest::Request::try_from(request)?).await?;
    let (status, headers) = (response.status(), response.headers().clone());
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return Err(FetchError::NotWell(status));
    }
    let mut answer = HttpResponse::new(http::body(response).await?);
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    Ok(answer)
}
