//! Why an issue with drugs does not count this time.

use axum::extract::State;
use clinical::decision::OverrideReason;
use clinical::event::Event;
use clinical::id::{AssessmentId, OverrideId, PatientId};
use clinical::invalid::{invalid, line, note, optional_line};
use gate::{App, Caller, Cursor, Json, Paged, Problem};
use http::StatusCode;
use serde::Deserialize;
use storage::outbox;
use storage::records::assessment::{Assessment, IssueOverride};
use utoipa::ToSchema;

use crate::OverrideView;
use crate::assess::whose;
use crate::list::sees;

/// The kinds of issues, as answers name them.
const KINDS: [&str; 9] = [
    "allergy",
    "interaction",
    "contraindication",
    "pregnancy",
    "lactation",
    "age",
    "dose",
    "duplicate",
    "qt-prolongation",
];
/// An issue has at most so many drugs.
const DRUGS: usize = 50;
/// The longest name, in characters.
const LONG: usize = 200;

/// Which issue, and why it does not count.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OverrideRequest {
    /// The assessment that tells of it.
    assessment_id: Option<AssessmentId>,
    /// Whose drugs; the assessment's patient where it is left out.
    patient_id: Option<PatientId>,
    /// What sort of issue, as the answer names it.
    kind: String,
    /// The drugs, by the ids of their ingredients.
    #[schema(min_items = 1, max_items = 50)]
    drugs: Vec<String>,
    /// The allergy, condition or circumstance, as the answer names it.
    with: Option<String>,
    /// Why.
    reason: OverrideReason,
    /// More in words; `other` needs it.
    #[schema(max_length = 4000)]
    comment: Option<String>,
}

impl OverrideRequest {
    fn check(&self) -> Result<(), Problem> {
        let mut faults = Vec::new();
        if !KINDS.contains(&self.kind.as_str()) {
            faults.push(invalid("kind", "is a kind of issue, as answers name it"));
        }
        if self.drugs.is_empty() || self.drugs.len() > DRUGS {
            faults.push(invalid("drugs", "names 1 to 50 drugs"));
        }
        faults.extend(self.drugs.iter().take(DRUGS).find_map(|drug| line("drugs", drug, LONG).err()));
        faults.extend(optional_line("with", self.with.as_ref(), LONG).err());
        faults.extend(note("comment", self.comment.as_ref()).err());
        if !faults.is_empty() {
            return Err(Problem::invalid("invalid-override", faults));
        }
        if self.reason == OverrideReason::Other && self.comment.is_none() {
            let fault = invalid("comment", "says why, where the reason is other");
            return Err(Problem::invalid("comment-missing", vec![fault]));
        }
        Ok(())
    }

    /// Whether the assessment tells of such an issue.
    fn is_told_by(&self, assessment: &Assessment) -> bool {
        let answer: serde_json::Value = serde_json::from_str(&assessment.answer).unwrap_or_default();
        let mut drugs: Vec<&str> = self.drugs.iter().map(String::as_str).collect();
        drugs.sort_unstable();
        answer["detected_issues"].as_array().into_iter().flatten().any(|issue| {
            let of = issue["drugs"].as_array().into_iter().flatten();
            let mut of: Vec<&str> = of.filter_map(serde_json::Value::as_str).collect();
            of.sort_unstable();
            issue["kind"] == self.kind.as_str()
                && issue["with"].as_str() == self.with.as_deref()
                && of == drugs
        })
    }
}

/// `POST /api/v1/issue-overrides`
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    Json(request): Json<OverrideRequest>,
) -> Result<(StatusCode, Json<OverrideView>), Problem> {
    request.check()?;

    let now = app.clock.now();
    let mut tx = app.db.of(caller.clinic).begin().await?;
    let mut patient = whose(&mut tx, &caller, request.patient_id).await?;
    if let Some(id) = request.assessment_id {
        let assessment = sees(&mut tx, &caller, id).await?;
        if !request.is_told_by(&assessment) {
            let fault = invalid("drugs", "and kind and with are no issue of this assessment");
            return Err(Problem::invalid("no-such-issue", vec![fault]));
        }
        let of_assessment = whose(&mut tx, &caller, assessment.patient_id).await?;
        if request.patient_id.is_some() && of_assessment.is_some() && patient != of_assessment {
            let fault = invalid("patient_id", "is the patient of the assessment");
            return Err(Problem::invalid("invalid-override", vec![fault]));
        }
        patient = patient.or(of_assessment);
    }
    let overridden = IssueOverride {
        override_id: OverrideId::new(),
        assessment_id: request.assessment_id,
        patient_id: patient,
        kind: request.kind,
        drugs: request.drugs,
        with: request.with,
        reason: request.reason.as_str().to_owned(),
        comment: request.comment,
        overridden_by: caller.name.clone(),
        overridden_at: now,
    };
    overridden.record(&mut tx, caller.clinic).await?;
    let override_id = overridden.override_id;
    outbox::tell(&mut tx, caller.clinic, &Event::IssueOverridden { override_id }, now).await?;
    caller.about_record(override_id);
    caller.because(request.reason.as_str());
    caller.write_down(&mut tx).await?;
    tx.commit().await?;

    Ok((StatusCode::CREATED, Json(overridden.into())))
}

/// `GET /api/v1/issue-overrides`: newest first.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    page: Cursor,
) -> Result<Paged<OverrideView>, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    let (after, limit) = (page.after.map(OverrideId), page.rows());
    let found = IssueOverride::list(&mut rows, caller.clinic, caller.shown(), after, limit).await?;
    Ok(page.of_rows(found, |it| it.override_id.0).map(OverrideView::from))
}
