//! Analyses and files as the clinic's application reads them.

use chrono::{DateTime, Utc};
use clinical::id::{AnalysisId, FindingId, InstanceId, PatientId, StudyId};
use clinical::imaging::{Abstention, ReviewState};
use clinical::uid::{SeriesInstanceUid, SopInstanceUid, StudyInstanceUid};
use serde::Serialize;
use storage::records::analysis::Analysis;
use storage::records::finding::Finding;
use storage::records::instance::Instance;
use utoipa::ToSchema;

/// Where a file can be had.
pub(crate) fn file_url(id: InstanceId) -> String {
    format!("/uploads/dicom/{id}.dcm")
}

/// The name a file was uploaded under; one that came without is named by us.
pub(crate) fn file_name(name: Option<String>, id: InstanceId) -> String {
    name.unwrap_or_else(|| format!("{id}.dcm"))
}

/// One network's run over one file.
///
/// `findings`, `confidence` and `recommendations` are `null` where the network abstained.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnalysisView {
    /// Our identifier.
    pub id: AnalysisId,
    /// The name that the file was uploaded under.
    pub file_name: String,
    /// What was found, for people.
    pub findings: Option<String>,
    /// How sure the network is of its call, in percent.
    pub confidence: Option<f64>,
    /// What to do about it, for people.
    pub recommendations: Option<String>,
    /// When it was written.
    pub analyzed_at: DateTime<Utc>,
    /// Who reviewed it last; `null` until someone has.
    pub physician_id: Option<String>,
    /// Whose study it is.
    pub patient_id: PatientId,
    /// The file.
    pub dicom_id: InstanceId,
    /// Its study.
    pub study_id: StudyId,
    /// Study Instance UID (0020,000D).
    pub study_instance_uid: StudyInstanceUid,
    /// SOP Instance UID (0008,0018).
    pub sop_instance_uid: SopInstanceUid,
    /// Every label, the most probable first.
    pub probabilities: Vec<ProbabilityView>,
    /// Which network it was; `null` where none is meant for such images.
    pub network: Option<NetworkView>,
    /// Why the network would not look.
    pub abstention: Option<Abstention>,
    /// How long decoding and the network took.
    pub duration_ms: f64,
    /// When a newer one of the same image took its place.
    pub superseded_at: Option<DateTime<Utc>>,
}

/// One label.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProbabilityView {
    /// Its stable code.
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
    /// The finding, for its review.
    pub finding_id: FindingId,
    /// `open`, `accepted` or `rejected`.
    pub review_state: ReviewState,
}

/// A network, so exactly that it can be found again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AnalysisNetwork)]
pub struct NetworkView {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of its weights, in hexadecimal.
    pub sha256: String,
}

impl From<Finding> for ProbabilityView {
    fn from(finding: Finding) -> Self {
        Self {
            label: finding.label,
            meaning: finding.meaning,
            probability: finding.probability,
            threshold: finding.threshold,
            is_positive: finding.threshold.map(|threshold| finding.probability >= threshold),
            frame: finding.frame,
            finding_id: finding.finding_id,
            review_state: finding.review_state,
        }
    }
}

impl From<Analysis> for AnalysisView {
    fn from(analysis: Analysis) -> Self {
        let last = analysis.findings.iter().max_by_key(|finding| finding.reviewed_at);
        Self {
            id: analysis.analysis_id,
            file_name: file_name(analysis.file_name, analysis.instance_id),
            findings: analysis.findings_text,
            confidence: analysis.confidence_percent,
            recommendations: analysis.recommendations,
            analyzed_at: analysis.analyzed_at,
            physician_id: last.and_then(|finding| finding.reviewed_by.clone()),
            patient_id: analysis.patient_id,
            dicom_id: analysis.instance_id,
            study_id: analysis.study_id,
            study_instance_uid: analysis.study_uid,
            sop_instance_uid: analysis.sop_uid,
            probabilities: analysis.findings.into_iter().map(ProbabilityView::from).collect(),
            // Without a network there are no weights, and so no digest of them.
            network: (!analysis.network_sha256.is_empty()).then_some(NetworkView {
                name: analysis.network_name,
                version: analysis.network_version,
                sha256: analysis.network_sha256,
            }),
            abstention: analysis.abstention,
            duration_ms: analysis.duration_ms,
            superseded_at: analysis.superseded_at,
        }
    }
}

/// One stored file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FileView {
    /// Our identifier.
    pub id: InstanceId,
    /// The name that it was uploaded under.
    pub file_name: String,
    /// Where it can be had.
    pub file_url: String,
    /// When it was stored.
    pub uploaded_at: DateTime<Utc>,
    /// Whose it is.
    pub patient_id: PatientId,
    /// Its study.
    pub study_id: StudyId,
    /// Study Instance UID (0020,000D).
    pub study_instance_uid: StudyInstanceUid,
    /// Series Instance UID (0020,000E).
    pub series_instance_uid: SeriesInstanceUid,
    /// SOP Instance UID (0008,0018).
    pub sop_instance_uid: SopInstanceUid,
    /// Modality (0008,0060).
    pub modality: Option<String>,
    /// How many bytes it has.
    pub size_bytes: i64,
    /// Number of Frames (0028,0008); `null` where there are no pixels.
    pub frame_count: Option<i64>,
    /// Where its analyses are listed.
    pub analyses_url: String,
}

/// Where the analyses of one file are listed.
pub(crate) fn analyses_url(id: InstanceId) -> String {
    format!("/api/dicom/analyses?dicomId={id}")
}

impl From<Instance> for FileView {
    fn from(instance: Instance) -> Self {
        let id = instance.instance_id;
        Self {
            id,
            file_name: file_name(instance.file_name, id),
            file_url: file_url(id),
            uploaded_at: instance.stored_at,
            patient_id: instance.patient_id,
            study_id: instance.study_id,
            study_instance_uid: instance.study_uid,
            series_instance_uid: instance.series_uid,
            sop_instance_uid: instance.sop_uid,
            modality: instance.modality,
            size_bytes: instance.size_bytes,
            frame_count: instance.frame_count,
            analyses_url: analyses_url(id),
        }
    }
}
