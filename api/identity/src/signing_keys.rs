//! The keys that sign access tokens: published, and replaced.

use axum::extract::State;
use axum::response::IntoResponse;
use gate::{Caller, Json, Problem};
use http::{StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::Identity;

/// A new key.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RotatedView {
    /// Its identifier, as tokens name it.
    kid: String,
}

/// `POST /api/v1/auth/keys/rotate`
pub(crate) async fn rotate(
    State(identity): State<Identity>,
    caller: Caller,
) -> Result<(StatusCode, Json<RotatedView>), Problem> {
    let mut tx = identity.app.db.begin().await?;
    let kid = identity.app.authenticator.rotate_keys(&mut tx).await?;
    caller.about_record(&kid);
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(RotatedView { kid })))
}

/// `GET /.well-known/jwks.json`
pub(crate) async fn jwks(State(identity): State<Identity>) -> Result<impl IntoResponse, Problem> {
    let keys = identity.app.authenticator.jwks().await?.to_string();
    // Shorter than a new key waits before it signs.
    let headers =
        [(header::CONTENT_TYPE, "application/jwk-set+json"), (header::CACHE_CONTROL, "public, max-age=30")];
    Ok((headers, keys))
}
