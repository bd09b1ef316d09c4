//! A physician's word on a finding.

use axum::extract::State;
use chrono::TimeDelta;
use clinical::event::{Event, Reviewed};
use clinical::id::FindingId;
use clinical::imaging::ReviewState;
use clinical::job::{Job, Priority};
use gate::{App, Caller, Json, Path, Problem};
use serde::Deserialize;
use storage::records::finding::{Finding, Review};
use storage::{outbox, queue};
use utoipa::ToSchema;

use crate::FindingView;
use crate::list::sees;

/// Longest comment, in characters.
const COMMENT_CHARACTERS: usize = 4_000;
/// Words that follow each other so soon go into one new report.
const REPORTED_AFTER: TimeDelta = TimeDelta::seconds(2);

/// What the physician sends.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ReviewRequest {
    decision: Decision,
    #[schema(max_length = 4000, pattern = "^[^\\x00]*$")]
    comment: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Decision {
    Accept,
    Reject,
}

impl ReviewRequest {
    fn check(self, reviewer: String) -> Result<Review, Problem> {
        let comment = self.comment.map(|comment| comment.trim().to_owned()).filter(|text| !text.is_empty());
        if comment.as_ref().is_some_and(|text| text.chars().count() > COMMENT_CHARACTERS) {
            let detail = format!("a comment has at most {COMMENT_CHARACTERS} characters");
            return Err(Problem::bad_request("comment-too-long", detail));
        }
        // PostgreSQL keeps no NUL in a text.
        if comment.as_ref().is_some_and(|text| text.contains('\0')) {
            return Err(Problem::bad_request("invalid-comment", "a comment holds no NUL character"));
        }
        let decision = match self.decision {
            Decision::Accept => ReviewState::Accepted,
            Decision::Reject => ReviewState::Rejected,
        };
        Ok(Review { decision, reviewer, comment })
    }
}

/// `POST /api/findings/{id}/review`: a later word stands in place of an earlier.
pub(crate) async fn review(
    State(app): State<App>,
    caller: Caller,
    Path(finding_id): Path<FindingId>,
    Json(request): Json<ReviewRequest>,
) -> Result<Json<FindingView>, Problem> {
    let review = request.check(caller.name.clone())?;

    let now = app.clock.now();
    let mut tx = app.db.of(caller.clinic).begin().await?;
    sees(&mut tx, &caller, finding_id).await?;
    Finding::review(&mut tx, caller.clinic, finding_id, &review, now).await?;
    let reviewed = Finding::find(&mut tx, caller.clinic, finding_id).await?;
    let word = Reviewed {
        study_id: reviewed.study_id,
        user_id: caller.reader().user_id,
        is_accepted: reviewed.review_state == ReviewState::Accepted,
    };
    let told = Event::FindingReviewed { finding_id, review: Some(word) };
    outbox::tell(&mut tx, caller.clinic, &told, now).await?;
    let report = Job::ReportFindings { study_id: reviewed.study_id };
    queue::put_off(&mut tx, caller.clinic, &report, now, REPORTED_AFTER).await?;
    // Where the clinic has wanted masks only since the study was read; those that are there are not made again.
    let segment = Job::SegmentFindings { study_id: reviewed.study_id };
    queue::ask(&mut tx, caller.clinic, &segment, Priority::Spare, now, now).await?;
    caller.write_down(&mut tx).await?;
    tx.commit().await?;

    Ok(Json(reviewed.into()))
}
