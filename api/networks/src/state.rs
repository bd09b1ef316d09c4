//! Who sees what of a network.

use axum::extract::State;
use axum::http::StatusCode;
use clinical::id::ClinicId;
use clinical::imaging::NetworkState;
use clinical::role::Reach;
use gate::{Caller, Json, OrEmpty, Path, Problem};
use serde::Deserialize;
use storage::db::{Conn, DbError};
use storage::records::network::{NetworkName, Proof, States};
use utoipa::ToSchema;

use crate::known::{Known, all, meant};
use crate::{NetworkView, NetworksState};

/// What a network shall be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewState {
    /// `draft`, `shadow`, `active` or `retired`.
    state: NetworkState,
    /// This version; else the one that came last.
    version: Option<String>,
    /// Whether for all clinics; else for the caller's, whose word counts more there.
    #[serde(default)]
    everywhere: bool,
}

/// For whom the last change is undone.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Rollback {
    /// Whether that for all clinics; else that for the caller's.
    #[serde(default)]
    everywhere: bool,
}

/// `POST /api/models/{name}/state`
pub(crate) async fn change(
    State(state): State<NetworksState>,
    caller: Caller,
    Path(name): Path<String>,
    Json(request): Json<NewState>,
) -> Result<Json<Vec<NetworkView>>, Problem> {
    let clinic = for_whom(&caller, request.everywhere)?;
    let mut tx = state.app.db.of(caller.clinic).begin().await?;
    let known = all(&mut tx, &state.registry, clinic).await?;
    let network = meant(&known, &name, request.version.as_deref())?;
    let proof = network.row.as_ref().map(|row| &row.proof);
    if request.state.runs() && proof.is_some_and(|proof| !matches!(proof, Proof::Proved { .. })) {
        let detail = "this network has not run yet, or was refused: it may run once it has proved itself";
        return Err(Problem::conflict("network-not-proved", detail));
    }
    caller.about_record(format!("{} {}", network.card.title(), request.state.as_str()));

    let names: Vec<NetworkName> = known.iter().map(Known::name).collect();
    let changed = (name.as_str(), network.card.version.as_str(), request.state);
    States::change(&mut tx, clinic, &names, changed, &caller.name, state.app.clock.now()).await?;
    let views = versions(&mut tx, &state, &caller, &name).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;

    Ok(Json(views))
}

/// `POST /api/models/{name}/rollback`
pub(crate) async fn roll_back(
    State(state): State<NetworksState>,
    caller: Caller,
    Path(name): Path<String>,
    OrEmpty(Json(request)): OrEmpty<Json<Rollback>>,
) -> Result<Json<Vec<NetworkView>>, Problem> {
    let clinic = for_whom(&caller, request.everywhere)?;
    let mut tx = state.app.db.of(caller.clinic).begin().await?;
    meant(&all(&mut tx, &state.registry, clinic).await?, &name, None)?;
    match States::roll_back(&mut tx, clinic, &name, &caller.name, state.app.clock.now()).await {
        Err(DbError::NotFound) => {
            let detail = "nothing was changed of this network, or all of it is undone";
            return Err(Problem::conflict("nothing-to-undo", detail));
        }
        undone => undone?,
    };
    caller.about_record(&name);
    let views = versions(&mut tx, &state, &caller, &name).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;

    Ok(Json(views))
}

/// The clinic whose word it is; `None` for all.
pub(crate) fn for_whom(caller: &Caller, everywhere: bool) -> Result<Option<ClinicId>, Problem> {
    if !everywhere {
        return Ok(Some(caller.clinic));
    }
    if caller.reach == Reach::Every {
        return Ok(None);
    }
    let detail = "this reaches one clinic alone: leave everywhere out";
    Err(Problem::new(StatusCode::FORBIDDEN, "not-everywhere", detail))
}

/// Every version of a name, with its state in the caller's clinic.
async fn versions(
    db: &mut Conn,
    state: &NetworksState,
    caller: &Caller,
    name: &str,
) -> Result<Vec<NetworkView>, Problem> {
    let known = all(db, &state.registry, Some(caller.clinic)).await?;
    Ok(known.iter().filter(|it| it.card.name == name).map(NetworkView::from).collect())
}
