//! The programs of other houses that may ask.

use axum::extract::State;
use chrono::{DateTime, Utc};
use clinical::id::CdsClientId;
use clinical::invalid::{Invalid, invalid, line};
use gate::{App, Caller, Json, Path, Problem};
use http::StatusCode;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::JwkSet;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use storage::db::DbError;
use storage::records::cds_client::{CdsClient, ClientError};
use utoipa::ToSchema;

use crate::trust::algorithms;

/// Most keys of one program.
const KEYS: usize = 20;
/// Why a program of another clinic stands in the way.
const KEY_TAKEN: &str =
    "another clinic has named this issuer, tenant and key: the token's claim tenant must tell them apart";
/// An RSA key has at least so many bytes (NIST SP 800-131A: 2,048 bits), as base64url.
const RSA_DIGITS: usize = 341;

/// A program as clients see it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClientView {
    /// Our identifier.
    id: CdsClientId,
    /// The claim `iss` of its tokens.
    issuer: String,
    /// The claim `tenant` of its tokens, where they have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    /// Its name, for people.
    name: String,
    /// Its public keys, as a JSON Web Key Set.
    #[schema(value_type = Object)]
    jwks: Value,
    /// When it was named.
    created_at: DateTime<Utc>,
}

impl From<CdsClient> for ClientView {
    fn from(client: CdsClient) -> Self {
        Self {
            id: client.client_id,
            issuer: client.issuer,
            tenant: client.tenant,
            name: client.name,
            jwks: client.keys,
            created_at: client.created_at,
        }
    }
}

/// A program that may ask from now on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewClient {
    /// The claim `iss` of its tokens: an https URL or another name.
    #[schema(min_length = 1, max_length = 512)]
    issuer: String,
    /// The claim `tenant` of its tokens: a token with another one, or with none, is not believed. Left out where they have none.
    #[schema(min_length = 1, max_length = 512)]
    tenant: Option<String>,
    /// Its name, for people.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// Its public keys, as a JSON Web Key Set (RFC 7517): EC keys on P-256 or P-384, RSA keys of 2,048 bits or more.
    #[schema(value_type = Object)]
    jwks: Value,
}

impl NewClient {
    /// Its keys, where all of it is as it must be.
    fn check(&self) -> Result<JwkSet, Problem> {
        let mut faults: Vec<Invalid> = Vec::new();
        faults.extend(line("issuer", &self.issuer, 512).err());
        faults.extend(self.tenant.as_ref().and_then(|tenant| line("tenant", tenant, 512).err()));
        faults.extend(line("name", &self.name, 200).err());
        match keys(&self.jwks) {
            Ok(keys) if faults.is_empty() => return Ok(keys),
            Ok(_) => {}
            Err(fault) => faults.push(fault),
        }
        Err(Problem::invalid("invalid-cds-client", faults))
    }
}

/// Passes a set of public keys that we can use.
fn keys(jwks: &Value) -> Result<JwkSet, Invalid> {
    let wrong = |rule| invalid("jwks", rule);
    let set: JwkSet = serde_json::from_value(jwks.clone()).map_err(|_| wrong("is a JSON Web Key Set"))?;
    if set.keys.is_empty() || set.keys.len() > KEYS {
        return Err(wrong("has 1 to 20 keys"));
    }
    let raw = jwks["keys"].as_array().into_iter().flatten();
    for (key, raw) in set.keys.iter().zip(raw) {
        if ["d", "p", "q", "k"].iter().any(|member| raw.get(member).is_some()) {
            return Err(wrong("holds public keys alone: this one is a secret, and is one no more"));
        }
        let is_long = raw["kty"] != "RSA" || raw["n"].as_str().is_some_and(|n| n.len() >= RSA_DIGITS);
        if algorithms(key).is_empty() || !is_long || DecodingKey::from_jwk(key).is_err() {
            return Err(wrong("has EC keys on P-256 or P-384, or RSA keys of 2048 bits or more"));
        }
    }
    Ok(set)
}

/// Whether a client has one of some keys: the token would not say which of two is meant.
fn shares_key(client: &CdsClient, keys: &JwkSet) -> bool {
    let held: Option<JwkSet> = serde_json::from_value(client.keys.clone()).ok();
    let held = held.map(|held| held.keys).unwrap_or_default();
    held.iter().any(|held| keys.keys.iter().any(|key| key.algorithm == held.algorithm))
}

fn refused(error: ClientError) -> Problem {
    match error {
        ClientError::TooMany => Problem::conflict("too-many", "a clinic has at most 50 of them"),
        ClientError::Database(DbError::Conflict) => {
            Problem::conflict("cds-client-exists", "the clinic has named the issuer already: remove it first")
        }
        ClientError::Database(error) => error.into(),
    }
}

/// `POST /api/v1/cds-clients`
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    Json(request): Json<NewClient>,
) -> Result<(StatusCode, Json<ClientView>), Problem> {
    let keys = request.check()?;
    let mut rows = app.db.read().await?;
    let others = CdsClient::of_issuer(&mut rows, &request.issuer, request.tenant.as_deref()).await?;
    drop(rows);
    if others.iter().any(|other| other.clinic_id != caller.clinic && shares_key(other, &keys)) {
        return Err(Problem::conflict("cds-key-taken", KEY_TAKEN));
    }

    let mut tx = app.db.of(caller.clinic).begin().await?;
    let client = CdsClient {
        client_id: CdsClientId::new(),
        clinic_id: caller.clinic,
        issuer: request.issuer,
        tenant: request.tenant,
        name: request.name,
        keys: request.jwks,
        created_at: app.clock.now(),
    };
    client.record(&mut tx).await.map_err(refused)?;
    caller.about_record(client.client_id);
    caller.write_down(&mut tx).await?;
    tx.commit().await?;

    Ok((StatusCode::CREATED, Json(client.into())))
}

/// `GET /api/v1/cds-clients`
pub(crate) async fn list(State(app): State<App>, caller: Caller) -> Result<Json<Vec<ClientView>>, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    let found = CdsClient::list(&mut rows, caller.clinic).await?;
    Ok(Json(found.into_iter().map(ClientView::from).collect()))
}

/// `GET /api/v1/cds-clients/{clientId}`
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<CdsClientId>,
) -> Result<Json<ClientView>, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    Ok(Json(CdsClient::find(&mut rows, caller.clinic, id).await?.into()))
}

/// `DELETE /api/v1/cds-clients/{clientId}`
pub(crate) async fn remove(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<CdsClientId>,
) -> Result<StatusCode, Problem> {
    let mut tx = app.db.of(caller.clinic).begin().await?;
    CdsClient::remove(&mut tx, caller.clinic, id).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
