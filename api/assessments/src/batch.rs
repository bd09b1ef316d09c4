//! Many presentations at once, kept nowhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use clinical::decision::{Assessment, Presentation};
use clinical::invalid::{Invalid, invalid};
use gate::{Json, Problem};
use http::header;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use triage::Advisor;
use utoipa::ToSchema;

use crate::AssessmentsState;

/// So many at once at most.
const MOST: usize = 1_000;
/// An answer has about so many bytes at most; what comes after them is answered with an error each.
const MOST_BYTES: usize = 32 << 20;

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

/// So many batches are computed at a time as there are processors; the others wait.
#[derive(Debug, Clone)]
pub(crate) struct Batches(Arc<Semaphore>);

impl Default for Batches {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Semaphore::new(cores)))
    }
}

/// Tells whoever computes that nobody waits for it any more.
struct Waits(Arc<AtomicBool>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// `POST /api/v1/assessments/batch`
pub(crate) async fn score(
    State(state): State<AssessmentsState>,
    Json(batch): Json<Batch>,
) -> Result<Response, Problem> {
    if batch.presentations.len() > MOST {
        return Err(Problem::invalid("too-many", vec![invalid("presentations", "holds at most 1000")]));
    }
    let place = state.batches.0.acquire_owned().await.map_err(failed)?;
    let is_over = Arc::new(AtomicBool::new(false));
    let waits = Waits(Arc::clone(&is_over));
    let work = move || {
        let _place = place;
        scored(&state.advisor, batch.presentations, MOST_BYTES, &is_over)
    };
    let scored = tokio::task::spawn_blocking(work).await;
    drop(waits);
    let scored = scored.map_err(failed)?.map_err(failed)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], Bytes::from(scored)).into_response())
}

fn failed(error: impl std::error::Error + 'static) -> Problem {
    Problem::internal("answer-failed", &error)
}

/// The answers as one JSON array; each is written down and let go before the next is computed.
fn scored(
    advisor: &Advisor,
    presentations: Vec<Presentation>,
    most_bytes: usize,
    is_over: &AtomicBool,
) -> serde_json::Result<Vec<u8>> {
    let mut text = vec![b'['];
    for presentation in presentations {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        if text.len() > 1 {
            text.push(b',');
        }
        let errors = if text.len() > most_bytes {
            Some(vec!["the answer has grown too large: ask for this one again".to_owned()])
        } else {
            faults(&presentation)
        };
        let one = match errors {
            Some(errors) => Scored { assessment: None, errors },
            None => Scored { assessment: Some(advisor.assess(&presentation)), errors: Vec::new() },
        };
        serde_json::to_writer(&mut text, &one)?;
    }
    text.push(b']');
    Ok(text)
}

fn faults(presentation: &Presentation) -> Option<Vec<String>> {
    let mut faults: Vec<Invalid> = presentation.check().err().map(|faults| faults.0).unwrap_or_default();
    if faults.is_empty() && presentation.is_empty() {
        faults.push(invalid("symptoms", "or text or vitals must tell of something"));
    }
    (!faults.is_empty()).then(|| faults.iter().map(ToString::to_string).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_any_more_is_answered_with_an_error_each() {
        let advisor = Advisor::built_in().unwrap_or_else(|error| panic!("{error}"));
        let cough: Presentation = serde_json::from_str(r#"{"symptoms": ["cough"]}"#).unwrap();
        let text = scored(&advisor, vec![cough.clone(); 3], 1_000, &AtomicBool::new(false)).unwrap();
        let all: Vec<serde_json::Value> = serde_json::from_slice(&text).unwrap();
        assert!(all[0]["assessment"].is_object());
        for left in &all[1..] {
            assert_eq!(left["errors"][0], "the answer has grown too large: ask for this one again");
        }
        assert_eq!(all.len(), 3);
        let over = scored(&advisor, vec![cough; 3], 1_000, &AtomicBool::new(true)).unwrap();
        assert_eq!(over, b"[]", "nobody waits for it");
    }
}
