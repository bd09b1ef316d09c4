//! What the networks said so far.

use axum::extract::State;
use clinical::id::InstanceId;
use gate::{App, Caller, Page, Paged, Problem, Query};
use serde::Deserialize;
use storage::records::analysis::Analysis;

use crate::AnalysisView;

/// Which analyses are asked for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Filter {
    dicom_id: Option<InstanceId>,
}

/// `GET /api/dicom/analyses?dicomId=…`: newest first; of one file, those of its present bytes.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    page: Page,
    Query(filter): Query<Filter>,
) -> Result<Paged<AnalysisView>, Problem> {
    let mut rows = app.db.read().await?;
    let analyses = match filter.dicom_id {
        None => Analysis::list(&mut rows, caller.clinic, page.rows(), page.skip()).await?,
        Some(id) => {
            // As many as there are networks: paged here.
            let mut all = Analysis::of_instance(&mut rows, caller.clinic, id).await?;
            all.sort_by_key(|analysis| std::cmp::Reverse((analysis.analyzed_at, analysis.analysis_id)));
            let (limit, offset) = (page.limit as usize + 1, page.offset as usize);
            all.into_iter().skip(offset).take(limit).collect()
        }
    };
    Ok(page.of_rows(analyses.into_iter().map(AnalysisView::from).collect()))
}
