//! Sign-in at a provider of OpenID Connect: the code flow with PKCE, state and nonce.
//!
//! What must come back with the browser travels in a cookie, sealed, so that any
//! process can go on with it and no other browser can. Who signs in for the first
//! time must have been made a user here with the address that the provider says
//! it has verified: a provider that is configured is trusted about that. From then
//! on the provider's own identifier counts, and the address no more. A second
//! factor is the provider's affair.

mod external;
mod provider;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use clinical::id::UserId;
use gate::{Path, Problem, Query, Visitor};
use http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Serialize};
use storage::records::user::User;
use storage::secret::{SYSTEM, Sealed};
use subtle::ConstantTimeEq;
use utoipa::IntoParams;

use crate::Identity;
use crate::tokens::{self, invalid_grant, sealing_failed, unauthorized};
pub(crate) use provider::Client;
pub use provider::OidcProvider;
use provider::{Outside, ProviderError};

/// The purpose under which a flow is sealed, as the system's.
const PURPOSE: &str = "oidc_flow";
const COOKIE: &str = "medilink_oidc";
/// A person has so long to sign in there.
const PATIENCE: TimeDelta = TimeDelta::minutes(10);
/// The longest cookie that is looked at.
const COOKIE_BYTES: usize = 4 << 10;

/// What must come back with the same browser.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Flow {
    provider: String,
    state: String,
    nonce: String,
    verifier: String,
    until: DateTime<Utc>,
}

/// What the provider sends the browser back with.
#[derive(Deserialize, IntoParams)]
pub(crate) struct CallbackQuery {
    code: Option<String>,
    state: Option<String>,
    /// Why there is no code (RFC 6749, section 4.1.2.1).
    error: Option<String>,
}

/// `GET /api/v1/auth/oidc/{provider}/start`
pub(crate) async fn start(
    State(identity): State<Identity>,
    visitor: Visitor,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let client = identity.client(&name)?;
    let begun = client.begin().await.map_err(failed)?;
    let flow = Flow {
        provider: name,
        state: begun.state,
        nonce: begun.nonce,
        verifier: begun.verifier,
        until: visitor.at + PATIENCE,
    };
    let plain = serde_json::to_vec(&flow).map_err(|error| Problem::internal("secret-failed", &error))?;
    let sealed =
        identity.app.authenticator.keyring().seal(SYSTEM, PURPOSE, &plain).map_err(sealing_failed)?;
    let cookie = identity.cookie(&sealed.to_string(), PATIENCE);
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, begun.url), (header::SET_COOKIE, cookie)]).into_response())
}

/// `GET /api/v1/auth/oidc/{provider}/callback`
pub(crate) async fn callback(
    State(identity): State<Identity>,
    visitor: Visitor,
    Path(name): Path<String>,
    headers: HeaderMap,
    Query(query): Query<CallbackQuery>,
) -> Result<Response, Problem> {
    let client = identity.client(&name)?;
    let mut answer = match identity.came_back(&visitor, client, &name, &headers, query).await {
        Ok(answer) => answer,
        Err(problem) => {
            identity.failed(&visitor, None).await?;
            problem.into_response()
        }
    };
    let gone = identity.cookie("", TimeDelta::zero()).parse();
    answer
        .headers_mut()
        .insert(header::SET_COOKIE, gone.map_err(|error| Problem::internal("internal", &error))?);
    Ok(answer)
}

impl Identity {
    fn client(&self, name: &str) -> Result<&Client, Problem> {
        self.providers.iter().find(|client| client.name() == name).ok_or_else(Problem::not_found)
    }

    async fn came_back(
        &self,
        visitor: &Visitor,
        client: &Client,
        name: &str,
        headers: &HeaderMap,
        query: CallbackQuery,
    ) -> Result<Response, Problem> {
        let lost = || invalid_grant("this sign-in was begun elsewhere, or too long ago: begin again");
        let flow = self.flow(headers).ok_or_else(lost)?;
        let is_same = |state: &String| bool::from(state.as_bytes().ct_eq(flow.state.as_bytes()));
        if flow.provider != name || visitor.at > flow.until || !query.state.as_ref().is_some_and(is_same) {
            return Err(lost());
        }
        let Some(code) = query.code.filter(|_| query.error.is_none()) else {
            return Err(invalid_grant("the provider let nobody in"));
        };
        let outside = client.end(code, flow.nonce, flow.verifier).await.map_err(failed)?;
        self.let_in(visitor, name, &outside).await
    }

    fn flow(&self, headers: &HeaderMap) -> Option<Flow> {
        let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
        let mut pairs =
            cookies.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let (_, text) = pairs.find(|(name, text)| *name == COOKIE && text.len() <= COOKIE_BYTES)?;
        let sealed: Sealed = text.parse().ok()?;
        let plain = self.app.authenticator.keyring().open(SYSTEM, PURPOSE, &sealed).ok()?;
        serde_json::from_slice(&plain).ok()
    }

    async fn let_in(
        &self,
        visitor: &Visitor,
        provider: &str,
        outside: &Outside,
    ) -> Result<Response, Problem> {
        let mut tx = self.app.db.begin().await?;
        let user = match external::find(&mut tx, provider, &outside.subject).await? {
            Some(user_id) => Some(User::find(&mut tx, user_id).await?),
            None => match outside.email.as_deref().and_then(|email| email.parse().ok()) {
                Some(email) => User::with_email(&mut tx, &email).await?,
                None => None,
            },
        };
        let Some(user) = user.filter(|user| user.is_active) else {
            return Err(unauthorized(
                "no-account",
                "nobody here has this address, or it is not verified there",
            ));
        };
        let user_id: UserId = user.user_id;
        external::link(&mut tx, provider, &outside.subject, user_id, visitor.at).await?;
        let begun = self.begin(&mut tx, visitor, user_id, provider).await?;
        tx.commit().await?;
        Ok(tokens::shown(StatusCode::OK, self.tokens(begun).await?))
    }

    fn cookie(&self, value: &str, lives: TimeDelta) -> String {
        let secure = if self.settings.public_url.starts_with("https:") { "; Secure" } else { "" };
        let seconds = lives.num_seconds();
        format!("{COOKIE}={value}; HttpOnly; SameSite=Lax; Path=/api/v1/auth/oidc; Max-Age={seconds}{secure}")
    }
}

fn failed(error: ProviderError) -> Problem {
    tracing::warn!(%error, "a provider's sign-in failed: {error}");
    match error {
        ProviderError::Refused(_) => invalid_grant("the provider's answer does not hold"),
        _ => Problem::new(
            StatusCode::BAD_GATEWAY,
            "provider-failed",
            "the provider does not answer as it should",
        ),
    }
}
