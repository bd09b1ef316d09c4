//! One provider of OpenID Connect, as the crate `openidconnect` speaks with it.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use openidconnect::core::{CoreAuthenticationFlow, CoreClient, CoreProviderMetadata, CoreUserInfoClaims};
use openidconnect::{
    AuthorizationCode, ClientId, ClientSecret, CsrfToken, HttpRequest, HttpResponse, IssuerUrl, Nonce,
    OAuth2TokenResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope, TokenResponse,
};
use serde::{Deserialize, Serialize};

/// What a provider has published is asked for again when it is older, and for each code anew.
const METADATA_AGE: Duration = Duration::from_secs(300);
/// A provider has so long for each answer.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// No answer of a provider is longer.
const ANSWER_BYTES: usize = 1 << 20;
/// The longest name that a provider may give a person (OpenID Connect Core 1.0, section 2: `sub`).
const SUBJECT_CHARACTERS: usize = 255;

/// A provider as the settings name it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcProvider {
    /// In the paths: `/api/v1/auth/oidc/{name}/start`.
    pub name: String,
    /// Its issuer, below which `.well-known/openid-configuration` lies.
    pub issuer: String,
    /// What it calls us.
    pub client_id: String,
    /// What we show it.
    pub client_secret: String,
}

impl fmt::Debug for OidcProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OidcProvider").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Why nobody was let in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProviderError {
    /// It does not answer, or not as the standard says.
    #[error("the provider could not be asked: {0}")]
    Unreachable(String),
    /// Its address, or ours, is none.
    #[error("the settings of the provider do not read")]
    Settings,
    /// What it says does not hold.
    #[error("the provider's answer was refused: {0}")]
    Refused(String),
}

/// An answer that was not heard out.
#[derive(Debug, thiserror::Error)]
enum HttpError {
    #[error("no answer")]
    Request(#[from] reqwest::Error),
    #[error("the answer is too long")]
    TooLong,
    #[error("the answer does not read")]
    Malformed(#[from] http::Error),
}

/// Where to send a browser, and what to keep for its return.
pub(crate) struct Begun {
    pub url: String,
    pub state: String,
    pub nonce: String,
    pub verifier: String,
}

/// Who signed in there.
pub(crate) struct Outside {
    pub subject: String,
    /// An address that the provider has verified.
    pub email: Option<String>,
}

/// A provider, and how it is spoken with.
pub(crate) struct Client {
    settings: OidcProvider,
    redirect: String,
    metadata: Mutex<Option<(Instant, CoreProviderMetadata)>>,
}

impl Client {
    pub fn new(settings: OidcProvider, public_url: &str) -> Self {
        let base = public_url.trim_end_matches('/');
        let redirect = format!("{base}/api/v1/auth/oidc/{}/callback", settings.name);
        Self { settings, redirect, metadata: Mutex::new(None) }
    }

    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// A new state, nonce and PKCE challenge, in the address where the person signs in.
    pub async fn begin(&self) -> Result<Begun, ProviderError> {
        let metadata = self.metadata(METADATA_AGE, &self.http()?).await?;
        let redirect = RedirectUrl::new(self.redirect.clone()).map_err(|_| ProviderError::Settings)?;
        let id = ClientId::new(self.settings.client_id.clone());
        let client = CoreClient::from_provider_metadata(metadata, id, None).set_redirect_uri(redirect);
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (url, state, nonce) = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                CsrfToken::new_random,
                Nonce::new_random,
            )
            .add_scope(Scope::new("email".to_owned()))
            .set_pkce_challenge(challenge)
            .url();
        Ok(Begun {
            url: url.to_string(),
            state: state.into_secret(),
            nonce: nonce.secret().clone(),
            verifier: verifier.into_secret(),
        })
    }

    /// Who the code is about: signature, issuer, audience, time and nonce of the ID token are checked, against keys
    /// that were asked for just now.
    pub async fn end(&self, code: String, nonce: String, verifier: String) -> Result<Outside, ProviderError> {
        let http = self.http()?;
        let metadata = self.metadata(Duration::ZERO, &http).await?;
        let speak = speaking(&http);
        let redirect = RedirectUrl::new(self.redirect.clone()).map_err(|_| ProviderError::Settings)?;
        let id = ClientId::new(self.settings.client_id.clone());
        let secret = ClientSecret::new(self.settings.client_secret.clone());
        let client =
            CoreClient::from_provider_metadata(metadata, id, Some(secret)).set_redirect_uri(redirect);
        let exchange = client.exchange_code(AuthorizationCode::new(code)).map_err(refused)?;
        let exchange = exchange.set_pkce_verifier(PkceCodeVerifier::new(verifier));
        let tokens = exchange.request_async(&speak).await.map_err(refused)?;
        let id_token = tokens.id_token().ok_or_else(|| ProviderError::Refused("no ID token".to_owned()))?;
        let claims = id_token.claims(&client.id_token_verifier(), &Nonce::new(nonce)).map_err(refused)?;
        let subject = claims.subject().clone();
        if subject.chars().count() > SUBJECT_CHARACTERS {
            return Err(ProviderError::Refused("the subject is too long".to_owned()));
        }
        let mut email = (claims.email_verified() == Some(true)).then(|| claims.email()).flatten().cloned();
        if email.is_none()
            && let Ok(request) = client.user_info(tokens.access_token().clone(), Some(subject.clone()))
        {
            let more: CoreUserInfoClaims = request.request_async(&speak).await.map_err(refused)?;
            email = (more.email_verified() == Some(true)).then(|| more.email()).flatten().cloned();
        }
        Ok(Outside { subject: subject.to_string(), email: email.map(|email| email.to_string()) })
    }

    /// What the provider has published, not longer ago than `age`.
    async fn metadata(
        &self,
        age: Duration,
        http: &reqwest::Client,
    ) -> Result<CoreProviderMetadata, ProviderError> {
        let known = self.metadata.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((read_at, metadata)) = known
            && read_at.elapsed() < age
        {
            return Ok(metadata);
        }
        let issuer = IssuerUrl::new(self.settings.issuer.clone()).map_err(|_| ProviderError::Settings)?;
        let metadata =
            CoreProviderMetadata::discover_async(issuer, &speaking(http)).await.map_err(unreachable)?;
        let read = Some((Instant::now(), metadata.clone()));
        *self.metadata.lock().unwrap_or_else(PoisonError::into_inner) = read;
        Ok(metadata)
    }

    /// A client that follows no redirect, since a provider may not choose whom we ask; plain HTTP only where the
    /// settings name it.
    fn http(&self) -> Result<reqwest::Client, ProviderError> {
        reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .https_only(!self.settings.issuer.starts_with("http:"))
            .timeout(ANSWER_TIME)
            .build()
            .map_err(unreachable)
    }
}

fn unreachable(error: impl std::error::Error) -> ProviderError {
    ProviderError::Unreachable(error.to_string())
}

fn refused(error: impl std::error::Error) -> ProviderError {
    ProviderError::Refused(error.to_string())
}

/// The client as the crate asks for it.
fn speaking(
    http: &reqwest::Client,
) -> impl Fn(HttpRequest) -> futures::future::BoxFuture<'static, Result<HttpResponse, HttpError>> + use<> {
    let http = http.clone();
    move |request| Box::pin(ask(http.clone(), request))
}

async fn ask(http: reqwest::Client, request: HttpRequest) -> Result<HttpResponse, HttpError> {
    let (parts, body) = request.into_parts();
    let request = http.request(parts.method, parts.uri.to_string()).headers(parts.headers).body(body);
    let mut answer = request.send().await?;
    let mut told = http::Response::builder().status(answer.status());
    if let Some(headers) = told.headers_mut() {
        headers.extend(answer.headers().clone());
    }
    let mut bytes = Vec::new();
    while let Some(piece) = answer.chunk().await? {
        if bytes.len() + piece.len() > ANSWER_BYTES {
            return Err(HttpError::TooLong);
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(told.body(bytes)?)
}
