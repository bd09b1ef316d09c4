//! What a network in the shadow says beside those that are shown.

use axum::extract::State;
use gate::{Caller, Json, Path, Problem, Query};
use serde::Deserialize;
use storage::records::network::comparison;
use utoipa::IntoParams;

use crate::known::{all, meant};
use crate::{ComparisonView, NetworksState};

/// Which version is compared.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Which {
    /// This version; else the one that came last.
    version: Option<String>,
}

/// `GET /api/models/{name}/comparison?version=…`
pub(crate) async fn compare(
    State(state): State<NetworksState>,
    caller: Caller,
    Path(name): Path<String>,
    Query(which): Query<Which>,
) -> Result<Json<ComparisonView>, Problem> {
    let mut rows = state.app.db.of(caller.clinic).read().await?;
    let clinic = Some(caller.clinic);
    let known = all(&mut rows, &state.registry, clinic).await?;
    let network = meant(&known, &name, which.version.as_deref())?;
    let version = &network.card.version;
    let runs = comparison::shadow_runs(&mut rows, clinic, &name, version).await?;
    let found = comparison::compare(&mut rows, clinic, &name, version).await?;
    Ok(Json(ComparisonView::of(network, runs, found)))
}
