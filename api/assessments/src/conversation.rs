//! Question by question: the client keeps the conversation, the service nothing.

use axum::extract::State;
use clinical::decision::{DifferentialLine, FindingState, Presentation, Question, Reason, Symptom, Urgency};
use gate::{Caller, Json, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::AssessmentsState;
use crate::known::{patient_of, told};

/// So many conditions are shown on the way.
const SHOWN: usize = 5;
/// A conversation has at most so many answers.
const MOST_ANSWERS: usize = 100;
/// Questions end when a condition is so probable.
const SURE: f32 = 0.99;

/// One turn of a conversation.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Turn {
    /// What is known so far: at first what the patient comes with, then what the turn before gave back.
    state: Presentation,
    /// What the patient has answered since.
    #[serde(default)]
    #[schema(max_items = 100)]
    answers: Vec<AnswerGiven>,
}

/// An answer to a question.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AnswerGiven {
    /// The finding that was asked for.
    #[schema(max_length = 500)]
    finding: String,
    /// Whether it is there.
    state: FindingState,
}

/// Where the conversation stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Next {
    /// To be sent with the next answers; it may lie as long as the client likes.
    state: Presentation,
    /// How soon to be seen, as far as is known.
    urgency: Urgency,
    /// Why.
    urgency_reasons: Vec<Reason>,
    /// What to ask next, the most telling first.
    questions: Vec<Question>,
    /// The most probable conditions so far.
    differential: Vec<DifferentialLine>,
    /// What was said and not understood.
    unmatched: Vec<String>,
    /// Whether asking on is of no use: it is certain, urgent beyond questions, or there is nothing left to ask.
    is_done: bool,
    /// SHA-256 of the knowledge that answered.
    knowledge_version: String,
}

/// `POST /api/v1/assessments/next`
pub(crate) async fn next(
    State(state): State<AssessmentsState>,
    caller: Caller,
    Json(turn): Json<Turn>,
) -> Result<Json<Next>, Problem> {
    if turn.answers.len() > MOST_ANSWERS {
        let fault = clinical::invalid::invalid("answers", "holds at most 100");
        return Err(Problem::invalid("invalid-presentation", vec![fault]));
    }
    let mut presentation = turn.state;
    let named = patient_of(&mut presentation)?;
    for answer in turn.answers {
        answered(&mut presentation, answer);
    }
    told(&presentation)?;
    state.about(&caller, named).await?;
    let assessment = state.advisor.assess(&presentation);
    let is_sure = assessment.differential.first().is_some_and(|first| first.probability >= SURE);
    let is_done =
        is_sure || assessment.urgency == Urgency::EmergencyAmbulance || assessment.questions.is_empty();
    // Whose it is goes back and forth with the rest.
    presentation.ignored.extend(named.map(|patient| ("patient_id".to_owned(), patient.to_string().into())));
    Ok(Json(Next {
        state: presentation,
        urgency: assessment.urgency,
        urgency_reasons: assessment.urgency_reasons,
        questions: assessment.questions,
        differential: assessment.differential.into_iter().take(SHOWN).collect(),
        unmatched: assessment.unmatched,
        is_done,
        knowledge_version: assessment.knowledge_version,
    }))
}

/// Adds an answer; of the same finding the last one counts.
fn answered(presentation: &mut Presentation, answer: AnswerGiven) {
    presentation.symptoms.retain(|symptom| match symptom {
        Symptom::Word(name) | Symptom::Told { name, .. } => *name != answer.finding,
    });
    presentation.symptoms.push(Symptom::is(answer.finding, answer.state));
}
