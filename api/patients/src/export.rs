//! All that is held of a patient, in flat memory however much it is.

mod bundle;
mod zip;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use clinical::id::{ClinicId, PatientId};
use clinical::role::{Action, Permission, Resource};
use futures::stream;
use gate::{App, Caller, Path, Problem, Query};
use http::header;
use serde::Deserialize;
use storage::archive::ArchiveError;
use storage::db::DbError;
use tokio::sync::mpsc;
use utoipa::{IntoParams, ToSchema};

use crate::door::survivor;

/// Rows of one look at the database.
const PAGE: i64 = 200;
/// Pieces that wait for a slow reader.
const PIECES: usize = 4;

/// In which form.
#[derive(Debug, Deserialize, IntoParams)]
pub(crate) struct Asked {
    /// A FHIR R4 Bundle, or a ZIP with it, the images and what networks saw.
    #[serde(default)]
    #[param(inline)]
    format: Format,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Format {
    #[default]
    Fhir,
    Zip,
}

/// Why an export broke off; its reader sees the connection break, never a shorter export.
#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error(transparent)]
    Database(#[from] DbError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error("the ZIP was not written")]
    Zip(#[from] ::zip::result::ZipError),
    #[error("the ZIP was not written")]
    Written(#[from] std::io::Error),
    #[error("the reader has gone")]
    Gone,
}

/// Whose export it is.
struct Export {
    app: App,
    clinic: ClinicId,
    patient: PatientId,
    /// What the networks said is for those who read findings: patients hear of it from their physician.
    with_analyses: bool,
}

/// Where the pieces go.
struct Outlet(mpsc::Sender<Result<Bytes, ExportError>>);

impl Outlet {
    async fn send(&self, piece: impl Into<Bytes>) -> Result<(), ExportError> {
        self.0.send(Ok(piece.into())).await.map_err(|_| ExportError::Gone)
    }
}

/// `GET /api/v1/patients/{patientId}/export?format=zip`
pub(crate) async fn export(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<PatientId>,
    Query(Asked { format }): Query<Asked>,
) -> Result<Response, Problem> {
    let clinic = caller.clinic;
    let mut rows = app.db.of(clinic).read().await?;
    let patient = survivor(&mut rows, &caller, id, app.clock.now()).await?.patient_id;
    drop(rows);

    let (sender, receiver) = mpsc::channel(PIECES);
    let findings = Permission { resource: Resource::Finding, action: Action::Read };
    let with_analyses = caller.role.is_some_and(|role| role.reach(findings).is_some());
    let export = Export { app, clinic, patient, with_analyses };
    tokio::spawn(async move {
        let outlet = Outlet(sender);
        let done = match format {
            Format::Fhir => bundle::send(&export, &outlet).await,
            Format::Zip => zip::send(&export, &outlet).await,
        };
        if let Err(error) = done {
            tracing::warn!(%error, "an export broke off");
            // Whoever has gone does not hear it.
            let _ = outlet.0.send(Err(error)).await;
        }
    });
    let pieces = stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|piece| (piece, receiver))
    });
    let (media_type, ending) = match format {
        Format::Fhir => ("application/fhir+json", "json"),
        Format::Zip => ("application/zip", "zip"),
    };
    let name = format!("attachment; filename=\"patient-{patient}.{ending}\"");
    let headers = [(header::CONTENT_TYPE, media_type.to_owned()), (header::CONTENT_DISPOSITION, name)];
    Ok((headers, Body::from_stream(pieces)).into_response())
}
