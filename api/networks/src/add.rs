//! A network's card comes in.

use axum::extract::State;
use axum::http::StatusCode;
use gate::{Caller, Json, Problem};
use models::{Card, CardError, ReferenceVectors};
use serde::Deserialize;
use storage::db::DbError;
use storage::records::network::{NewNetwork, StoredNetwork};
use utoipa::ToSchema;

use crate::known::{all, meant};
use crate::{NetworkView, NetworksState};

/// What is sent first; the weights follow.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewCard {
    /// The card, as TOML.
    card: String,
    /// Images in 8-bit grey, row by row, and what the network must answer to them:
    /// `rows`, `columns`, `runtime`, `credit`, and `vectors` of `class`, `image` and `probabilities`.
    #[schema(value_type = Option<Object>)]
    reference: Option<ReferenceVectors>,
}

/// `POST /api/models`
pub(crate) async fn add(
    State(state): State<NetworksState>,
    caller: Caller,
    Json(request): Json<NewCard>,
) -> Result<(StatusCode, Json<NetworkView>), Problem> {
    let card = Card::parse(&request.card).map_err(|error| refusal(&error))?;
    if let Some(reference) = &request.reference {
        reference.check(&card).map_err(|error| unprocessable("reference-misfit", error.to_string()))?;
    }
    let exists = || {
        let detail = format!("there is a network {} already; give the new one another version", card.title());
        Problem::conflict("network-exists", detail)
    };
    if state.registry.get_version(&card.name, &card.version).is_some() {
        return Err(exists());
    }
    let reference = request.reference.as_ref().map(serde_json::to_string).transpose();
    let new = NewNetwork {
        name: card.name.clone(),
        version: card.version.clone(),
        sha256: card.sha256.clone(),
        card: request.card,
        reference: reference.map_err(|error| unprocessable("reference-misfit", error.to_string()))?,
        added_by: caller.name.clone(),
    };
    caller.about_record(card.title());

    let mut tx = state.app.db.of(caller.clinic).begin().await?;
    match StoredNetwork::add(&mut tx, &new, state.app.clock.now()).await {
        Err(DbError::Conflict) => return Err(exists()),
        added => added?,
    };
    let known = all(&mut tx, &state.registry, Some(caller.clinic)).await?;
    let view = meant(&known, &card.name, Some(&card.version))?.into();
    caller.write_down(&mut tx).await?;
    tx.commit().await?;

    Ok((StatusCode::CREATED, Json(view)))
}

fn refusal(error: &CardError) -> Problem {
    unprocessable(error.code(), error.to_string())
}

pub(crate) fn unprocessable(code: &'static str, detail: String) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
}
