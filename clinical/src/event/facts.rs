//! What an event tells beside the records that it names, for those who count and must not ask anybody else.

use serde::{Deserialize, Serialize};

use crate::id::{PatientId, StudyId, UserId};
use crate::imaging::Outcome;

/// A series that an instance is the first of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeriesBegun {
    /// Whose images they are.
    pub patient_id: PatientId,
    /// Modality (0008,0060).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modality: Option<String>,
    /// Whether it holds what we have made of other series, and nothing that came in.
    pub is_own_result: bool,
}

/// What came of the analyses that an event tells of; those in the shadow do not count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// So many gave probabilities.
    pub scored: i64,
    /// So many abstained.
    pub abstained: i64,
    /// So many labels were at or above their network's threshold.
    pub positive: i64,
}

impl Found {
    /// Counts one analysis more.
    pub fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Scored(labels) => {
                self.scored += 1;
                self.positive += labels.iter().filter(|label| label.is_positive()).count() as i64;
            }
            Outcome::Abstained(_) => self.abstained += 1,
        }
    }
}

/// A physician's word on a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reviewed {
    /// The study that the finding is of.
    pub study_id: StudyId,
    /// Whose word it is; `None` where a machine or the service's own token brought it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// Whether they agree with the network.
    pub is_accepted: bool,
}
