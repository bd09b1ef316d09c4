//! What came of cards.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use clinical::audit::Outcome;
use clinical::id::{CdsClientId, CdsFeedbackId};
use clinical::invalid::{Invalid, invalid, line, note};
use gate::{App, Caller, Cursor, Json, Paged, Path, Problem, Visitor};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use storage::audit;
use storage::records::cds_client::CdsFeedback;
use utoipa::ToSchema;

use crate::CdsHooksState;
use crate::cors::open;
use crate::discovery::Hook;
use crate::service::row;
use crate::trust::trusted;

/// What the trail calls it when a program tells.
const TELL: &str = "cds_client:feedback";
/// Most cards that one request tells of.
const MOST: usize = 100;

/// What came of cards (CDS Hooks 2.0, «Feedback»).
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct Feedback {
    #[schema(max_items = 100)]
    feedback: Vec<Told>,
}

/// What came of one card.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Told {
    /// The card.
    card: String,
    /// What came of it.
    outcome: CardOutcome,
    /// Which suggestions were taken.
    #[serde(default)]
    accepted_suggestions: Vec<Accepted>,
    /// Why it was not heeded.
    override_reason: Option<Overridden>,
    /// When.
    outcome_timestamp: DateTime<Utc>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum CardOutcome {
    Accepted,
    Overridden,
}

#[derive(Debug, Deserialize, ToSchema)]
struct Accepted {
    id: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Overridden {
    /// One of the card's reasons.
    reason: Option<CardReason>,
    /// More in words.
    user_comment: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
struct CardReason {
    code: String,
}

impl Feedback {
    fn check(&self) -> Result<(), Problem> {
        let mut faults: Vec<Invalid> = Vec::new();
        if self.feedback.is_empty() || self.feedback.len() > MOST {
            faults.push(invalid("feedback", "tells of 1 to 100 cards"));
        }
        for told in self.feedback.iter().take(MOST) {
            faults.extend(line("feedback.card", &told.card, 200).err());
            let is_named = |it: &Accepted| line("feedback.acceptedSuggestions.id", &it.id, 200).is_ok();
            if !told.accepted_suggestions.iter().take(MOST).all(is_named) {
                faults.push(invalid("feedback.acceptedSuggestions.id", "is a line of text"));
            }
            if told.outcome == CardOutcome::Accepted && told.accepted_suggestions.is_empty() {
                faults.push(invalid("feedback.acceptedSuggestions", "names what was accepted"));
            }
            let Some(reason) = &told.override_reason else { continue };
            if let Some(reason) = &reason.reason {
                faults.extend(line("feedback.overrideReason.reason.code", &reason.code, 200).err());
            }
            faults.extend(note("feedback.overrideReason.userComment", reason.user_comment.as_ref()).err());
        }
        if faults.is_empty() { Ok(()) } else { Err(Problem::invalid("invalid-request", faults)) }
    }
}

/// `POST /cds-services/{serviceId}/feedback`
pub(crate) async fn tell(
    State(state): State<CdsHooksState>,
    visitor: Visitor,
    Path(service): Path<String>,
    headers: HeaderMap,
    body: Result<Json<Feedback>, Problem>,
) -> Response {
    open(keep(&state, &visitor, &service, &headers, body).await.into_response())
}

async fn keep(
    state: &CdsHooksState,
    visitor: &Visitor,
    service: &str,
    headers: &HeaderMap,
    body: Result<Json<Feedback>, Problem>,
) -> Result<StatusCode, Problem> {
    Hook::of_service(service).ok_or_else(Problem::not_found)?;
    let Json(feedback) = body?;
    let client = trusted(state, visitor, headers, service, TELL).await?;
    if let Err(refused) = feedback.check() {
        let row = row(visitor, &client, TELL, service, Outcome::Refused);
        state.app.trail.record(row).await.map_err(|error| Problem::internal("audit-failed", &error))?;
        return Err(refused);
    }

    let now = state.app.clock.now();
    let mut tx = state.app.db.of(client.clinic_id).begin().await?;
    for told in feedback.feedback {
        let (reason, comment) =
            told.override_reason.map_or((None, None), |it| (it.reason.map(|it| it.code), it.user_comment));
        let kept = CdsFeedback {
            feedback_id: CdsFeedbackId::new(),
            client_id: client.client_id,
            service: service.to_owned(),
            card: told.card,
            outcome: match told.outcome {
                CardOutcome::Accepted => "accepted".to_owned(),
                CardOutcome::Overridden => "overridden".to_owned(),
            },
            reason,
            comment,
            happened_at: told.outcome_timestamp,
            received_at: now,
        };
        kept.record(&mut tx, client.clinic_id).await?;
    }
    audit::write(&mut tx, &row(visitor, &client, TELL, service, Outcome::Success)).await?;
    tx.commit().await?;
    Ok(StatusCode::OK)
}

/// What came of one card, as the clinic reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FeedbackView {
    /// Our identifier.
    id: CdsFeedbackId,
    /// Who told of it.
    client_id: CdsClientId,
    /// The service that gave the card.
    service: String,
    /// The card.
    card: String,
    /// `accepted` or `overridden`.
    outcome: String,
    /// The code of the reason.
    reason: Option<String>,
    /// More in words.
    comment: Option<String>,
    /// When it happened, as the client says.
    happened_at: DateTime<Utc>,
    /// When we heard of it.
    received_at: DateTime<Utc>,
}

/// `GET /api/v1/cds-feedback`: newest first.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    page: Cursor,
) -> Result<Paged<FeedbackView>, Problem> {
    let mut rows = app.db.of(caller.clinic).read().await?;
    let (after, limit) = (page.after.map(CdsFeedbackId), page.rows());
    let found = CdsFeedback::list(&mut rows, caller.clinic, after, limit).await?;
    Ok(page.of_rows(found, |it| it.feedback_id.0).map(|it| FeedbackView {
        id: it.feedback_id,
        client_id: it.client_id,
        service: it.service,
        card: it.card,
        outcome: it.outcome,
        reason: it.reason,
        comment: it.comment,
        happened_at: it.happened_at,
        received_at: it.received_at,
    }))
}
