//! Looking networks up.

use axum::extract::State;
use gate::{Caller, Json, Path, Problem};
use storage::records::network::States;

use crate::known::{Known, all};
use crate::view::VersionView;
use crate::{ChangeView, NetworkDetail, NetworkView, NetworksState};

/// `GET /api/models`
pub(crate) async fn list(
    State(state): State<NetworksState>,
    caller: Caller,
) -> Result<Json<Vec<NetworkView>>, Problem> {
    let mut rows = state.app.db.of(caller.clinic).read().await?;
    let known = all(&mut rows, &state.registry, Some(caller.clinic)).await?;
    Ok(Json(known.iter().map(NetworkView::from).collect()))
}

/// `GET /api/models/{name}`
pub(crate) async fn show(
    State(state): State<NetworksState>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<NetworkDetail>, Problem> {
    let mut rows = state.app.db.of(caller.clinic).read().await?;
    let known = all(&mut rows, &state.registry, Some(caller.clinic)).await?;
    let versions: Vec<VersionView> = known.iter().filter(|it| it.card.name == name).map(version).collect();
    if versions.is_empty() {
        return Err(Problem::not_found());
    }
    let mut changes = Vec::new();
    for clinic in [Some(caller.clinic), None] {
        let history = States::history(&mut rows, clinic, &name).await?;
        changes.extend(history.into_iter().map(|change| ChangeView::of(change, clinic.is_none())));
    }
    changes.sort_by_key(|change| std::cmp::Reverse(change.changed_at));
    Ok(Json(NetworkDetail { name, versions, changes }))
}

fn version(known: &Known) -> VersionView {
    let card = serde_json::to_value(&known.card).unwrap_or_default();
    VersionView { network: known.into(), card }
}
