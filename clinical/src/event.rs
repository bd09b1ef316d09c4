//! What happened, told in the same transaction that made it so.

use serde::{Deserialize, Serialize};

use crate::id::{AnalysisId, FindingId, InstanceId, StudyId};

/// Something that others may care about. It names records, never people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// An instance is stored for good.
    InstanceStored {
        /// The study it belongs to.
        study_id: StudyId,
        /// The instance.
        instance_id: InstanceId,
    },
    /// Other bytes came under the UID of a stored instance.
    InstanceVersioned {
        /// The study it belongs to.
        study_id: StudyId,
        /// The instance.
        instance_id: InstanceId,
    },
    /// The networks have looked at a study.
    FindingsReady {
        /// The study.
        study_id: StudyId,
        /// The analyses that were written.
        analysis_ids: Vec<AnalysisId>,
    },
    /// A physician has accepted or rejected a finding.
    FindingReviewed {
        /// The finding.
        finding_id: FindingId,
    },
}

impl Event {
    /// The stable name under which the event is stored and heard.
    pub fn name(&self) -> &'static str {
        match self {
            Self::InstanceStored { .. } => "instance_stored",
            Self::InstanceVersioned { .. } => "instance_versioned",
            Self::FindingsReady { .. } => "findings_ready",
            Self::FindingReviewed { .. } => "finding_reviewed",
        }
    }
}
