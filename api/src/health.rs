//! Whether the service lives, and whether it can be sent work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use gate::{App, Json};
use serde::Serialize;
use storage::queue;
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::Street;

/// A room that says nothing for so long is not ready.
const PATIENCE: Duration = Duration::from_secs(3);

/// Whether every door of the service is open: the HTTP port, the DIMSE port, the worker.
///
/// Closed to begin with; the wiring opens it last and closes it first. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Doors(Arc<AtomicBool>);

impl Doors {
    /// All doors are open.
    pub fn open(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// The service is stopping: send nothing more.
    pub fn close(&self) {
        self.0.store(false, Ordering::Release);
    }

    pub(crate) fn are_open(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// That the process lives.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`.
    #[schema(value_type = String)]
    status: &'static str,
}

/// Whether the service can be sent work, and what stands in the way; each is `ok` or says otherwise.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// `ok` or `not-ready`.
    #[schema(value_type = String)]
    status: &'static str,
    #[schema(value_type = String)]
    database: &'static str,
    #[schema(value_type = String)]
    archive: &'static str,
    #[schema(value_type = String)]
    doors: &'static str,
}

/// `GET /health`: the process lives, whatever stands behind it.
pub(crate) async fn health() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// `GET /ready`: 200 when database and archive answer and all doors are open, else 503 naming what is not.
pub(crate) async fn ready(State(street): State<Street>) -> Response {
    let (database, archive) = tokio::join!(database(&street.app), archive(&street.app));
    let doors = if street.doors.are_open() { "ok" } else { "closed" };
    let is_ready = [database, archive, doors].iter().all(|state| *state == "ok");
    let (code, word) =
        if is_ready { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "not-ready") };
    (code, Json(Readiness { status: word, database, archive, doors })).into_response()
}

async fn database(app: &App) -> &'static str {
    let asked = async {
        let mut rows = app.db.read().await?;
        queue::is_due(&mut rows, app.clock.now()).await
    };
    word(timeout(PATIENCE, asked).await)
}

async fn archive(app: &App) -> &'static str {
    word(timeout(PATIENCE, app.archive.check()).await)
}

/// What a room said, for everyone to see; why it failed is for the log alone.
fn word<T, E: std::error::Error>(said: Result<Result<T, E>, Elapsed>) -> &'static str {
    match said {
        Ok(Ok(_)) => "ok",
        Ok(Err(error)) => {
            tracing::warn!(%error, "a room is not ready");
            "failed"
        }
        Err(_) => "no answer",
    }
}
