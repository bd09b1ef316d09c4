//! A network's weights come in.

use std::io::{Seek, SeekFrom};

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use clinical::job::{Job, Priority};
use futures::StreamExt;
use gate::{Caller, Json, Path, Problem, body_problem};
use sha2::{Digest, Sha256};
use storage::queue;
use storage::records::network::{Proof, StoredNetwork, weights_key};
use tokio::io::AsyncWriteExt;

use crate::add::unprocessable;
use crate::known::{all, meant};
use crate::{NetworkView, NetworksState};

/// `PUT /api/models/{name}/versions/{version}/weights`
pub(crate) async fn put(
    State(state): State<NetworksState>,
    caller: Caller,
    Path((name, version)): Path<(String, String)>,
    body: Body,
) -> Result<(StatusCode, Json<NetworkView>), Problem> {
    let app = &state.app;
    let mut rows = app.db.of(caller.clinic).read().await?;
    let network = StoredNetwork::named(&mut rows, &name, &version).await?.ok_or_else(Problem::not_found)?;
    drop(rows);
    if matches!(network.proof, Proof::Proved { .. }) {
        let detail = "this network has proved itself, and its weights are settled";
        return Err(Problem::conflict("network-proved", detail));
    }
    let arrived = spooled(&state, body).await?;
    if arrived.sha256 != network.sha256 {
        let detail = format!(
            "the weights have SHA-256 {}, the card of {name} {version} says {}",
            arrived.sha256, network.sha256
        );
        return Err(unprocessable("wrong-hash", detail));
    }
    app.archive.put_file(&weights_key(&network.sha256), arrived.file).await?;
    caller.about_record(format!("{name} {version}"));

    let now = app.clock.now();
    let mut tx = app.db.of(caller.clinic).begin().await?;
    StoredNetwork::weights_came(&mut tx, network.network_id, arrived.bytes).await?;
    let job = Job::ProveNetwork { network_id: network.network_id };
    queue::ask(&mut tx, caller.clinic, &job, Priority::Urgent, now, now).await?;
    let known = all(&mut tx, &state.registry, Some(caller.clinic)).await?;
    let view = meant(&known, &name, Some(&version))?.into();
    caller.write_down(&mut tx).await?;
    tx.commit().await?;

    Ok((StatusCode::ACCEPTED, Json(view)))
}

struct Arrived {
    file: std::fs::File,
    bytes: i64,
    sha256: String,
}

/// The body in a file without a name, hashed as it came.
async fn spooled(state: &NetworksState, body: Body) -> Result<Arrived, Problem> {
    let failed = |error: std::io::Error| Problem::internal("spool-failed", &error);
    let file = tempfile::tempfile_in(&state.spool_folder).map_err(failed)?;
    let mut file = tokio::fs::File::from_std(file);
    let (mut hash, mut bytes) = (Sha256::new(), 0_i64);
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| body_problem(&error))?;
        hash.update(&piece);
        bytes += i64::try_from(piece.len()).unwrap_or(i64::MAX);
        file.write_all(&piece).await.map_err(failed)?;
    }
    file.flush().await.map_err(failed)?;
    let mut file = file.into_std().await;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Arrived { file, bytes, sha256 })
}
