//! Drugs: which a guideline names, and what does not go together.

use axum::extract::State;
use clinical::decision::{DetectedIssue, DrugLine, NotChecked, Presentation, Screened, TakenFor};
use clinical::invalid::invalid;
use gate::{Caller, Json, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::AssessmentsState;
use crate::known::{checked, patient_of};

/// For what drugs are sought, and for whom.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RecommendationRequest {
    /// The condition, by its id, name or another name.
    #[serde(alias = "condition")]
    #[schema(min_length = 1, max_length = 200)]
    disease: String,
    /// Age, sex, weight, kidneys, liver, pregnancy, allergies, medication, conditions.
    #[serde(default, alias = "patient_profile", alias = "patient")]
    patient_profile: Presentation,
}

/// Which drugs a guideline names.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Recommendations {
    /// What was asked for.
    disease: String,
    /// The condition's id.
    condition: String,
    /// Its name.
    name: String,
    /// The field of medicine.
    category: String,
    /// The drugs, the first choice first, those with a grave issue last.
    recommendations: Vec<DrugLine>,
    /// What could not be checked, and is not said to be safe.
    not_checked: Vec<NotChecked>,
    /// Members of the profile that nobody reads.
    ignored: Vec<String>,
    /// SHA-256 of the knowledge that answered.
    knowledge_version: String,
}

/// `POST /api/v1/drug-recommendations`
pub(crate) async fn recommend(
    State(state): State<AssessmentsState>,
    caller: Caller,
    Json(mut request): Json<RecommendationRequest>,
) -> Result<Json<Recommendations>, Problem> {
    let named = patient_of(&mut request.patient_profile)?;
    checked(&request.patient_profile)?;
    let unknown =
        || Problem::invalid("unknown-condition", vec![invalid("disease", "is no condition that is known")]);
    let condition = state.advisor.condition(&request.disease).ok_or_else(unknown)?;
    state.about(&caller, named).await?;
    let advice = state.advisor.advise(condition, &request.patient_profile);
    Ok(Json(Recommendations {
        disease: request.disease,
        condition: advice.condition,
        name: advice.name,
        category: triage::category_name(condition.category),
        recommendations: advice.drugs,
        not_checked: advice.not_checked,
        ignored: request.patient_profile.unread(),
        knowledge_version: state.advisor.version().to_owned(),
    }))
}

/// What does not go together.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Screen {
    /// The issues, the gravest first.
    detected_issues: Vec<DetectedIssue>,
    /// What could not be checked, and is not said to be safe.
    not_checked: Vec<NotChecked>,
    /// What each drug was taken for.
    drugs: Vec<TakenFor>,
    /// Members of the request that nobody reads.
    ignored: Vec<String>,
    /// SHA-256 of the knowledge that answered.
    knowledge_version: String,
}

/// `POST /api/v1/drug-screens`
pub(crate) async fn screen(
    State(state): State<AssessmentsState>,
    caller: Caller,
    Json(mut presentation): Json<Presentation>,
) -> Result<Json<Screen>, Problem> {
    let named = patient_of(&mut presentation)?;
    checked(&presentation)?;
    if presentation.medications.is_empty() {
        let fault = invalid("medications", "names at least one drug");
        return Err(Problem::invalid("no-medication", vec![fault]));
    }
    state.about(&caller, named).await?;
    let Screened { detected_issues, not_checked, drugs } = state.advisor.screen(&presentation);
    Ok(Json(Screen {
        detected_issues,
        not_checked,
        drugs,
        ignored: presentation.unread(),
        knowledge_version: state.advisor.version().to_owned(),
    }))
}
