//! A finding as the client application reads it.

use chrono::{DateTime, Utc};
use clinical::id::{AnalysisId, FindingId, StudyId};
use clinical::imaging::{Region, ReviewState};
use serde::Serialize;
use storage::records::finding::Finding;
use utoipa::ToSchema;

/// One finding, in JSON's own spelling.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FindingView {
    /// Our identifier.
    pub id: FindingId,
    /// The study.
    pub study_id: StudyId,
    /// The analysis that made it.
    pub analysis_id: AnalysisId,
    /// The label's stable code.
    pub label: String,
    /// What it means, for people.
    pub meaning: String,
    /// Calibrated probability, 0.0 to 1.0.
    pub probability: f64,
    /// At or above it the label counts as present.
    pub threshold: Option<f64>,
    /// Whether it does; `null` for a label that has no threshold.
    pub is_positive: Option<bool>,
    /// The frame that gave the probability, counted from 0.
    pub frame: i64,
    /// Where it was seen, as parts of the frame's width and height.
    pub region: Option<Region>,
    /// `open`, `accepted` or `rejected`.
    pub review_state: ReviewState,
    /// Who judged it.
    pub reviewed_by: Option<String>,
    /// When.
    pub reviewed_at: Option<DateTime<Utc>>,
    /// What they wrote.
    pub comment: Option<String>,
    /// Where a map of what counted for it can be had; `null` until there is one.
    pub saliency_url: Option<String>,
    /// Where the frame, tinted by that map, can be had.
    pub overlay_url: Option<String>,
    /// When a newer analysis of the same image took its place.
    pub superseded_at: Option<DateTime<Utc>>,
}

impl From<Finding> for FindingView {
    fn from(finding: Finding) -> Self {
        let place = |what: &str| format!("/api/v1/findings/{}/{what}", finding.finding_id);
        Self {
            saliency_url: finding.saliency_key.as_ref().map(|_| place("saliency")),
            overlay_url: finding.overlay_key.as_ref().map(|_| place("overlay")),
            superseded_at: finding.superseded_at,
            id: finding.finding_id,
            study_id: finding.study_id,
            analysis_id: finding.analysis_id,
            label: finding.label,
            meaning: finding.meaning,
            probability: finding.probability,
            threshold: finding.threshold,
            is_positive: finding.threshold.map(|threshold| finding.probability >= threshold),
            frame: finding.frame,
            region: finding.region,
            review_state: finding.review_state,
            reviewed_by: finding.reviewed_by,
            reviewed_at: finding.reviewed_at,
            comment: finding.comment,
        }
    }
}
