//! An analysis that someone waits for.

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use clinical::id::InstanceId;
use clinical::job::{Job, Priority};
use gate::{Caller, Json, Path, Problem, Query};
use serde::{Deserialize, Serialize};
use storage::queue::{self, Depth};
use storage::records::analysis::Analysis;
use storage::records::finding::Superseded;
use storage::records::instance::Instance;
use storage::records::network::States;
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};

use crate::view::analyses_url;
use crate::{AnalysisView, DicomState};

/// The first wait between two looks.
const FIRST_WAIT: Duration = Duration::from_millis(20);
/// The longest wait between two looks.
const LONGEST_WAIT: Duration = Duration::from_millis(200);

/// Which network is asked for.
#[derive(Debug, Deserialize, IntoParams)]
pub(crate) struct Wish {
    /// The network that is to answer.
    network: Option<String>,
    /// How soon; `urgent` where nothing is said.
    #[serde(default)]
    #[param(inline)]
    priority: Haste,
    /// By when it is wanted: of the clinic's analyses that are as urgent, the one that is wanted first runs first.
    deadline: Option<DateTime<Utc>>,
}

/// How soon an analysis is wanted.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Haste {
    /// Before all other work: a life may hang on it.
    Stat,
    /// Before what nobody waits for.
    #[default]
    Urgent,
    /// In its turn.
    Routine,
}

impl From<Haste> for Priority {
    fn from(haste: Haste) -> Self {
        match haste {
            Haste::Stat => Self::Stat,
            Haste::Urgent => Self::Urgent,
            Haste::Routine => Self::Routine,
        }
    }
}

/// The answer while the work goes on.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Pending {
    dicom_id: InstanceId,
    /// `pending`.
    #[schema(value_type = String)]
    status: &'static str,
    /// Where the analyses will be.
    analyses_url: String,
}

/// `POST /api/dicom/analyze/{dicomId}?network=…&priority=…&deadline=…`
///
/// What was analysed already is answered at once. Otherwise the study's job is
/// pulled forward: also for a network that was added since the study was
/// analysed. It is 409 `network-not-run` when the work is done and that network
/// has still said nothing, for it is not meant for such images. The answer is
/// 202 with the place to look when it takes longer than
/// [`gate::HttpLimits::analysis_wait`].
pub(crate) async fn analyze(
    State(state): State<DicomState>,
    caller: Caller,
    Path(id): Path<InstanceId>,
    Query(wish): Query<Wish>,
) -> Result<Response, Problem> {
    let app = &state.app;
    let mut rows = app.db.of(caller.clinic).read().await?;
    if let Some(name) = &wish.network
        && !States::is_active(&mut rows, caller.clinic, &state.networks, name).await?
    {
        let detail = "there is no active network of this name";
        return Err(Problem::new(StatusCode::NOT_FOUND, "unknown-network", detail));
    }
    let instance = Instance::find(&mut rows, caller.clinic, id).await?;
    caller.sees(&mut rows, instance.patient_id).await?;
    drop(rows);
    if instance.frame_count.is_none() {
        let detail = "the object holds no pixels, so there is nothing to analyse";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "no-pixels", detail));
    }
    if let Some(analysis) = look(&state, &caller, &instance, &wish).await? {
        return Ok(Json(analysis).into_response());
    }

    let mut tx = app.db.of(caller.clinic).begin().await?;
    let job = Job::AnalyzeStudy { study_id: instance.study_id };
    let dead_before = queue::depth_of(&mut tx, caller.clinic, &job).await?.dead;
    queue::hurry(&mut tx, caller.clinic, &job, wish.priority.into(), app.clock.now()).await?;
    if let Some(deadline) = wish.deadline {
        queue::wanted_by(&mut tx, caller.clinic, &job, deadline).await?;
    }
    caller.write_down(&mut tx).await?;
    tx.commit().await?;

    let until = Instant::now() + app.limits.analysis_wait;
    let mut wait = FIRST_WAIT;
    while Instant::now() < until {
        tokio::time::sleep(wait.min(until - Instant::now())).await;
        wait = (wait * 3 / 2).min(LONGEST_WAIT);
        // Asked before the look: what a job has written can be seen before the job is gone.
        let depth = queue::depth_of(&mut app.db.of(caller.clinic).read().await?, caller.clinic, &job).await?;
        if let Some(analysis) = look(&state, &caller, &instance, &wish).await? {
            return Ok(Json(analysis).into_response());
        }
        let is_done = depth == Depth { dead: dead_before, ..Depth::default() };
        if is_done && wish.network.is_some() {
            let detail = "this network was not run: it is not meant for images of this kind";
            return Err(Problem::conflict("network-not-run", detail));
        }
    }
    Ok(later(id))
}

/// `DELETE /api/dicom/analyze/{dicomId}`
///
/// Takes back the analysis of the file's study that waits or is under way; what it has said until then stays.
pub(crate) async fn cancel(
    State(state): State<DicomState>,
    caller: Caller,
    Path(id): Path<InstanceId>,
) -> Result<StatusCode, Problem> {
    let mut tx = state.app.db.of(caller.clinic).begin().await?;
    let instance = Instance::find(&mut tx, caller.clinic, id).await?;
    caller.sees(&mut tx, instance.patient_id).await?;
    let job = Job::AnalyzeStudy { study_id: instance.study_id };
    if queue::cancel(&mut tx, caller.clinic, &job).await? == 0 {
        return Err(Problem::conflict("not-waiting", "no analysis of this study waits or is under way"));
    }
    caller.write_down(&mut tx).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The analysis of the file's present bytes that answers the wish: of several
/// networks the first that gave labels, else the first abstention.
async fn look(
    state: &DicomState,
    caller: &Caller,
    instance: &Instance,
    wish: &Wish,
) -> Result<Option<AnalysisView>, Problem> {
    let mut rows = state.app.db.of(caller.clinic).read().await?;
    let analyses =
        Analysis::of_instance(&mut rows, caller.clinic, instance.instance_id, Superseded::LeftOut).await?;
    let answers = |it: &Analysis| wish.network.as_ref().is_none_or(|name| *name == it.network_name);
    Ok(analyses.into_iter().find(answers).map(AnalysisView::from))
}

fn later(id: InstanceId) -> Response {
    let place = analyses_url(id);
    let location = HeaderValue::try_from(&place).expect("a path with a UUID is visible ASCII");
    let body = Pending { dicom_id: id, status: "pending", analyses_url: place };
    (StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(body)).into_response()
}
