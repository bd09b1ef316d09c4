//! Many presentations at once, kept nowhere.

use axum::extract::State;
use clinical::decision::{Assessment, Presentation};
use clinical::invalid::{Invalid, invalid};
use gate::{Json, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::AssessmentsState;

/// So many at once at most.
const MOST: usize = 1_000;

/// What is to be assessed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Batch {
    /// The presentations.
    #[schema(max_items = 1000)]
    presentations: Vec<Presentation>,
}

/// What came of one of them: an answer, or what must be mended.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Scored {
    /// The answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    assessment: Option<Assessment>,
    /// Each member that must be mended.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<String>,
}

/// `POST /api/v1/assessments/batch`
pub(crate) async fn score(
    State(state): State<AssessmentsState>,
    Json(batch): Json<Batch>,
) -> Result<Json<Vec<Scored>>, Problem> {
    if batch.presentations.len() > MOST {
        return Err(Problem::invalid("too-many", vec![invalid("presentations", "holds at most 1000")]));
    }
    let advisor = state.advisor;
    let work = move || {
        let presentations = batch.presentations.iter();
        presentations
            .map(|presentation| match faults(presentation) {
                Some(errors) => Scored { assessment: None, errors },
                None => Scored { assessment: Some(advisor.assess(presentation)), errors: Vec::new() },
            })
            .collect::<Vec<_>>()
    };
    let scored = tokio::task::spawn_blocking(work).await;
    scored.map(Json).map_err(|error| Problem::internal("answer-failed", &error))
}

fn faults(presentation: &Presentation) -> Option<Vec<String>> {
    let mut faults: Vec<Invalid> = presentation.check().err().map(|faults| faults.0).unwrap_or_default();
    if faults.is_empty() && presentation.is_empty() {
        faults.push(invalid("symptoms", "or text or vitals must tell of something"));
    }
    (!faults.is_empty()).then(|| faults.iter().map(ToString::to_string).collect())
}
