//! Keys for machines: shown once, scoped, revocable.

use axum::Extension;
use axum::extract::State;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, SubsecRound, Utc};
use clinical::id::ApiKeyId;
use clinical::role::{Permission, Reach};
use gate::{API_KEY_PREFIX, Caller, Cursor, Json, Paged, Path, Problem, ShownOnce, token_sha256};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use storage::records::api_key::{ApiKey, NewApiKey};
use storage::secret::Plain;
use utoipa::ToSchema;

use crate::tokens::sealing_failed;
use crate::{ApiKeyView, Identity, input};

/// Random bytes of a key.
const KEY_BYTES: usize = 32;
/// The most scopes of one: more than there are permissions.
const MOST_SCOPES: usize = 500;

/// A key that is wanted.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ApiKeyRequest {
    #[schema(
        min_length = 1,
        max_length = 200,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069\\ufeff]*[^\\s\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069\\ufeff][^\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069\\ufeff]*$"
    )]
    name: String,
    /// What it may do: `resource:action`, each within one's own rights in the clinic.
    #[schema(min_items = 1)]
    scopes: Vec<String>,
    expires_at: Option<DateTime<Utc>>,
}

/// A key, shown once.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewApiKeyView {
    /// Shown as `Authorization: Bearer mlk_…`.
    key: String,
    /// What is kept.
    #[serde(flatten)]
    about: ApiKeyView,
}

/// `POST /api/v1/api-keys`
pub(crate) async fn create(
    State(identity): State<Identity>,
    caller: Caller,
    Json(request): Json<ApiKeyRequest>,
) -> Result<(StatusCode, Extension<ShownOnce>, Json<NewApiKeyView>), Problem> {
    let now = identity.app.clock.now();
    let name = input::name(&request.name)?;
    let scopes = scopes(&caller, &request.scopes)?;
    let expires_at = request.expires_at.map(|end| end.trunc_subsecs(6));
    if expires_at.is_some_and(|end| end <= now) {
        return Err(input::invalid("expiresAt lies in the past"));
    }
    let random = Plain::random(KEY_BYTES).map_err(sealing_failed)?;
    let key = format!("{API_KEY_PREFIX}{}", URL_SAFE_NO_PAD.encode(&*random));
    let new =
        NewApiKey { name, sha256: token_sha256(&key), scopes, created_by: caller.name.clone(), expires_at };

    let mut tx = identity.app.db.of(caller.clinic).begin().await?;
    let about = ApiKey::create(&mut tx, caller.clinic, &new, now).await?;
    caller.about_record(about.api_key_id);
    caller.write_down(&mut tx).await?;
    tx.commit().await?;

    let view = NewApiKeyView { key, about: about.into() };
    Ok((StatusCode::CREATED, Extension(ShownOnce), Json(view)))
}

/// The scopes, each of which the caller has in all of the clinic: a key reaches all of it.
fn scopes(caller: &Caller, texts: &[String]) -> Result<Vec<Permission>, Problem> {
    if texts.is_empty() || texts.len() > MOST_SCOPES {
        return Err(input::invalid("a key has at least one scope, and each once"));
    }
    let mut scopes: Vec<Permission> = Vec::new();
    for text in texts {
        let scope = text
            .parse()
            .map_err(|_| input::invalid("a scope is written resource:action, as patient:read"))?;
        // A machine makes no keys: it has scopes and no role.
        let is_within =
            caller.role.and_then(|role| role.reach(scope)).is_some_and(|reach| reach >= Reach::Clinic);
        if !scope.suits_machines() {
            let detail =
                format!("{scope} is for people: whoever holds the key could make themselves more than it");
            return Err(Problem::new(StatusCode::FORBIDDEN, "not-allowed", detail));
        }
        if !is_within {
            let detail = format!("you do not have {scope} in all of the clinic, so your keys do not either");
            return Err(Problem::new(StatusCode::FORBIDDEN, "not-allowed", detail));
        }
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    Ok(scopes)
}

/// `GET /api/v1/api-keys`
pub(crate) async fn list(
    State(identity): State<Identity>,
    caller: Caller,
    page: Cursor,
) -> Result<Paged<ApiKeyView>, Problem> {
    let mut read = identity.app.db.of(caller.clinic).read().await?;
    let keys = ApiKey::list(&mut read, caller.clinic, page.after, page.rows()).await?;
    Ok(page.of_rows(keys, |key| key.api_key_id.0).map(ApiKeyView::from))
}

/// `DELETE /api/v1/api-keys/{apiKeyId}`
pub(crate) async fn revoke(
    State(identity): State<Identity>,
    caller: Caller,
    Path(api_key_id): Path<ApiKeyId>,
) -> Result<StatusCode, Problem> {
    let mut tx = identity.app.db.of(caller.clinic).begin().await?;
    ApiKey::revoke(&mut tx, caller.clinic, api_key_id, identity.app.clock.now()).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    identity.app.authenticator.forget_key(api_key_id);
    Ok(StatusCode::NO_CONTENT)
}
