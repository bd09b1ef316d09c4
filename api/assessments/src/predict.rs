//! The prediction service of the clinic application, by its names: disease, category, confidence.

use axum::extract::State;
use axum::response::Response;
use clinical::decision::{Presentation, Reason, Urgency};
use gate::{Caller, Json, Problem};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::AssessmentsState;
use crate::known::{canonical, patient_of, respond, told};

/// So many conditions at most.
const SHOWN: usize = 10;
/// Less probable ones are left out, but for the first.
const LEAST: f32 = 0.005;

/// One condition, as the clinic application calls it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Prediction {
    /// Its name.
    disease: String,
    /// Its id, as `/api/v1/assessments` has it.
    condition: String,
    /// ICD-10-CM codes, the main one first.
    icd10: Vec<String>,
    /// The field of medicine.
    category: String,
    /// Posterior probability, 0 to 1.
    confidence: f32,
    /// How soon a typical case should be seen.
    urgency: Urgency,
    /// What it is, in a sentence.
    description: String,
    /// What spoke for it, the weightiest first.
    matched_symptoms: Vec<String>,
    /// What to do.
    recommendations: Vec<String>,
}

/// What it may be.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Predictions {
    /// How soon to be seen.
    urgency: Urgency,
    /// Why.
    urgency_reasons: Vec<Reason>,
    /// The conditions, the most probable first.
    predictions: Vec<Prediction>,
    /// How probable it is that it is nothing of what is known here.
    none_of_these: f32,
    /// What was said and not understood.
    unmatched: Vec<String>,
    /// Members of the request that nobody reads.
    ignored: Vec<String>,
    /// What could not be checked.
    not_checked: Vec<clinical::decision::NotChecked>,
    /// SHA-256 of the knowledge that answered.
    knowledge_version: String,
}

/// `POST /api/v1/predictions`
pub(crate) async fn predict(
    State(state): State<AssessmentsState>,
    caller: Caller,
    Json(mut presentation): Json<Presentation>,
) -> Result<Response, Problem> {
    let named = patient_of(&mut presentation)?;
    told(&presentation)?;
    let asked = canonical(&presentation)?;
    let (answer, was_remembered) = state.answer(caller.clinic, "prediction", &asked, || {
        let told = state.advisor.predict(&presentation);
        let lines = told.differential.into_iter().enumerate();
        let lines = lines.filter(|(at, line)| *at == 0 || line.probability >= LEAST).take(SHOWN);
        let predictions = lines
            .map(|(_, line)| Prediction {
                disease: line.name,
                condition: line.condition,
                icd10: line.icd10,
                category: line.category,
                confidence: line.probability,
                urgency: line.urgency,
                description: line.says_when,
                matched_symptoms: line.spoke_for.into_iter().map(|spoke| spoke.name).collect(),
                recommendations: line.advice,
            })
            .collect();
        let answer = Predictions {
            urgency: told.urgency,
            urgency_reasons: told.urgency_reasons,
            predictions,
            none_of_these: told.none_of_these,
            unmatched: told.unmatched,
            ignored: told.ignored,
            not_checked: told.not_checked,
            knowledge_version: told.knowledge_version,
        };
        (answer, told.urgency)
    })?;
    state.about(&caller, named).await?;
    Ok(respond(StatusCode::OK, &answer, was_remembered))
}
