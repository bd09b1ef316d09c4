//! Symptoms become a differential, an urgency and advice about drugs.
//!
//! Tells `assessment_made` and `issue_overridden`; hears nothing. The engine is `triage`'s and pure: what is here asks it,
//! remembers its answers for half an hour, and writes down what was asked to be kept.

mod assess;
mod batch;
mod cache;
mod conversation;
mod drugs;
mod known;
mod list;
mod overrides;
mod predict;
mod view;

use std::sync::Arc;

use axum::extract::FromRef;
use clinical::decision::{Assessment, Presentation};
use clinical::role::{Action, Resource};
use gate::{App, Routes, Rule, get, post};
use triage::Advisor;

pub use cache::AnswerCache;
pub use view::{AssessmentLine, AssessmentView, OverrideView};

/// The largest body of a batch.
const BATCH_BYTES: usize = 8 << 20;
/// What refuses a presentation.
const INVALID: &str =
    "invalid-presentation: errors names each member; nothing-told: there is nothing to judge";
/// What refuses a body with a patient.
const RESTRICTED: &str = "record-restricted: break the glass first";
/// What else refuses where a patient is named.
const OF_PATIENT: &str = "not-found: the clinic has no such patient";

/// The rooms behind this house; cheap to clone.
#[derive(Clone)]
pub struct AssessmentsState {
    app: App,
    advisor: Arc<Advisor>,
    cache: Arc<AnswerCache>,
    batches: batch::Batches,
}

impl AssessmentsState {
    /// Joins the rooms.
    pub fn new(app: App, advisor: Arc<Advisor>) -> Self {
        Self { app, advisor, cache: Arc::default(), batches: batch::Batches::default() }
    }

    /// Brings the numbers of the cache up to date, before each `/metrics`.
    pub fn measure(&self) {
        self.cache.publish();
    }
}

impl FromRef<AssessmentsState> for App {
    fn from_ref(state: &AssessmentsState) -> Self {
        state.app.clone()
    }
}

/// The house, ready to be joined to others.
pub fn routes(state: AssessmentsState) -> Routes {
    let may = |action| Rule::may(action, Resource::Assessment);
    Routes::new("assessments")
        .add(
            post("/api/v1/assessments", may(Action::Create).own_by_record())
                .says("Assess symptoms, and keep what was asked and answered; `patient_id` in the body names whose they are.")
                .takes::<Presentation>()
                .answers::<Assessment>(201, "The answer; `Location` says where it is kept.")
                .refuses(403, RESTRICTED)
                .refuses(422, INVALID),
            assess::assess,
        )
        .add(
            get("/api/v1/assessments", may(Action::List))
                .says("What was assessed, newest first.")
                .query::<list::Filter>()
                .paged::<AssessmentLine>("The clinic's assessments."),
            list::list,
        )
        .add(
            get("/api/v1/assessments/{assessmentId}", may(Action::Read).own_by_record())
                .says("One assessment as it was asked and answered, and what of it was overridden.")
                .answers::<AssessmentView>(200, "The assessment.")
                .refuses(403, RESTRICTED),
            list::show,
        )
        .add(
            post("/api/v1/assessments/next", may(Action::Create).own_by_caller())
                .told_once_a_minute()
                .says("What to ask next; the state of the conversation goes back and forth, and nothing is kept.")
                .takes::<conversation::Turn>()
                .answers::<conversation::Next>(200, "The next questions, and where the assessment stands.")
                .refuses(403, RESTRICTED)
                .refuses(404, OF_PATIENT)
                .refuses(422, INVALID),
            conversation::next,
        )
        .add(
            post("/api/v1/assessments/batch", may(Action::Create).own_by_caller())
                .told_once_a_minute()
                .says("Assess up to 1,000 presentations at once; nothing is kept.")
                .takes::<batch::Batch>()
                .answers::<Vec<batch::Scored>>(200, "An answer or a refusal each, in their order.")
                .body_limit(BATCH_BYTES)
                .refuses(422, "too-many: at most 1,000 at once"),
            batch::score,
        )
        .add(
            post("/api/v1/predictions", may(Action::Create).own_by_caller())
                .told_once_a_minute()
                .says("Conditions with category and confidence, in the clinic application's own words; nothing is kept.")
                .takes::<Presentation>()
                .answers::<predict::Predictions>(200, "The conditions, the most probable first.")
                .refuses(403, RESTRICTED)
                .refuses(404, OF_PATIENT)
                .refuses(422, INVALID),
            predict::predict,
        )
        .add(
            post("/api/v1/drug-recommendations", may(Action::Create).own_by_caller())
                .told_once_a_minute()
                .says("Which drugs a guideline names for a condition, for this patient.")
                .takes::<drugs::RecommendationRequest>()
                .answers::<drugs::Recommendations>(200, "The drugs, the first choice first.")
                .refuses(403, RESTRICTED)
                .refuses(404, OF_PATIENT)
                .refuses(422, "unknown-condition: nothing of that name is known; invalid-presentation"),
            drugs::recommend,
        )
        .add(
            post("/api/v1/drug-screens", may(Action::Create).own_by_caller())
                .told_once_a_minute()
                .says("What does not go together: medication, allergies, conditions, circumstances.")
                .takes::<Presentation>()
                .answers::<drugs::Screen>(200, "The issues, the gravest first, and what could not be checked.")
                .refuses(403, RESTRICTED)
                .refuses(404, OF_PATIENT)
                .refuses(422, "invalid-presentation, no-medication: errors names each member"),
            drugs::screen,
        )
        .add(
            post("/api/v1/issue-overrides", Rule::may(Action::Create, Resource::IssueOverride))
                .says("Say why an issue with drugs does not count this time; it is kept and written down.")
                .takes::<overrides::OverrideRequest>()
                .answers::<OverrideView>(201, "The override.")
                .refuses(403, RESTRICTED)
                .refuses(422, "comment-missing: `other` needs one; no-such-issue: the assessment tells of none like it; invalid-override: errors names each member"),
            overrides::create,
        )
        .add(
            get("/api/v1/issue-overrides", Rule::may(Action::List, Resource::IssueOverride))
                .says("Which issues were overridden, by whom and why, newest first.")
                .paged::<OverrideView>("The clinic's overrides."),
            overrides::list,
        )
        .with_state(state)
}
