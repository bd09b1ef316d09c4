//! What the networks said so far.

use axum::extract::State;
use clinical::id::{AnalysisId, InstanceId};
use gate::{App, Caller, Cursor, Paged, Problem, Query};
use serde::Deserialize;
use storage::records::analysis::Analysis;
use storage::records::finding::Superseded;
use storage::records::instance::Instance;
use utoipa::IntoParams;

use crate::AnalysisView;

/// Which analyses are asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Filter {
    /// Of this file alone.
    dicom_id: Option<InstanceId>,
    /// With those that newer ones of the same image stand in for, also of bytes that the file had before.
    #[serde(default)]
    superseded: bool,
}

/// `GET /api/dicom/analyses?dicomId=…`: newest first; of one file, those of its present bytes. Those that newer ones stand in for are left out unless `superseded=true` asks for them.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    page: Cursor,
    Query(filter): Query<Filter>,
) -> Result<Paged<AnalysisView>, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    let superseded = if filter.superseded { Superseded::Listed } else { Superseded::LeftOut };
    let analyses = match filter.dicom_id {
        None => {
            let after = page.after.map(AnalysisId);
            Analysis::list(&mut rows, caller.clinic, superseded, caller.shown(), after, page.rows()).await?
        }
        Some(id) => {
            let instance = Instance::find(&mut rows, caller.clinic, id).await?;
            caller.sees(&mut rows, instance.patient_id).await?;
            // As many as there are networks: paged here.
            let mut all = Analysis::of_instance(&mut rows, caller.clinic, id, superseded).await?;
            all.sort_by_key(|analysis| std::cmp::Reverse(analysis.analysis_id));
            let is_later =
                |analysis: &Analysis| page.after.is_none_or(|after| analysis.analysis_id.0 < after);
            all.into_iter().filter(is_later).take(page.limit as usize + 1).collect()
        }
    };
    Ok(page.of_rows(analyses, |analysis| analysis.analysis_id.0).map(AnalysisView::from))
}
