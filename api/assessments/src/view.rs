//! Assessments as clients read them.

use chrono::{DateTime, Utc};
use clinical::id::{AssessmentId, OverrideId, PatientId};
use gate::Problem;
use serde::Serialize;
use serde_json::value::RawValue;
use storage::records::assessment::{Assessment, IssueOverride};
use utoipa::ToSchema;

/// One assessment of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AssessmentLine {
    /// Our identifier.
    pub id: AssessmentId,
    /// Whose symptoms.
    pub patient_id: Option<PatientId>,
    /// The level of urgency.
    pub urgency: String,
    /// SHA-256 of the knowledge that answered.
    pub knowledge_version: String,
    /// Who asked.
    pub made_by: String,
    /// When.
    pub made_at: DateTime<Utc>,
}

impl From<storage::records::assessment::AssessmentLine> for AssessmentLine {
    fn from(assessment: storage::records::assessment::AssessmentLine) -> Self {
        Self {
            id: assessment.assessment_id,
            patient_id: assessment.patient_id,
            urgency: assessment.urgency,
            knowledge_version: assessment.knowledge_version,
            made_by: assessment.made_by,
            made_at: assessment.made_at,
        }
    }
}

/// One assessment as it was asked and answered.
#[derive(Debug, Serialize, ToSchema)]
pub struct AssessmentView {
    /// Our identifier.
    pub id: AssessmentId,
    /// Whose symptoms.
    pub patient_id: Option<PatientId>,
    /// Who asked.
    pub made_by: String,
    /// When.
    pub made_at: DateTime<Utc>,
    /// What was told.
    #[schema(value_type = clinical::decision::Presentation)]
    pub presentation: Box<RawValue>,
    /// What was answered, to the byte.
    #[schema(value_type = clinical::decision::Assessment)]
    pub assessment: Box<RawValue>,
    /// What of it was overridden.
    pub overrides: Vec<OverrideView>,
}

impl AssessmentView {
    pub(crate) fn of(assessment: Assessment, overrides: Vec<IssueOverride>) -> Result<Self, Problem> {
        let raw = |text: String| {
            RawValue::from_string(text).map_err(|error| Problem::internal("database-failed", &error))
        };
        Ok(Self {
            id: assessment.assessment_id,
            patient_id: assessment.patient_id,
            made_by: assessment.made_by,
            made_at: assessment.made_at,
            presentation: raw(assessment.presentation)?,
            assessment: raw(assessment.answer)?,
            overrides: overrides.into_iter().map(OverrideView::from).collect(),
        })
    }
}

/// An issue that was overridden.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OverrideView {
    /// Our identifier.
    pub id: OverrideId,
    /// The assessment that told of it.
    pub assessment_id: Option<AssessmentId>,
    /// Whose drugs.
    pub patient_id: Option<PatientId>,
    /// What sort of issue.
    pub kind: String,
    /// The drugs, by the ids of their ingredients.
    pub drugs: Vec<String>,
    /// The allergy, condition or circumstance.
    pub with: Option<String>,
    /// The code of the reason.
    pub reason: String,
    /// More in words.
    pub comment: Option<String>,
    /// Who.
    pub overridden_by: String,
    /// When.
    pub overridden_at: DateTime<Utc>,
}

impl From<IssueOverride> for OverrideView {
    fn from(it: IssueOverride) -> Self {
        Self {
            id: it.override_id,
            assessment_id: it.assessment_id,
            patient_id: it.patient_id,
            kind: it.kind,
            drugs: it.drugs,
            with: it.with,
            reason: it.reason,
            comment: it.comment,
            overridden_by: it.overridden_by,
            overridden_at: it.overridden_at,
        }
    }
}
