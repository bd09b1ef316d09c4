//! Which drugs a guideline names for a condition.

use serde::Serialize;

use super::detected_issue::{DetectedIssue, NotChecked};

/// One drug with its dose for this patient.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct DrugLine {
    /// The ingredient's id.
    pub drug: String,
    /// Its name.
    pub name: String,
    /// RxNorm concept, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rxcui: Option<String>,
    /// 1: first choice; 2: where the first cannot be given.
    pub line: u8,
    /// The dose in words, with interval and length.
    pub dose: String,
    /// How it is given.
    pub route: String,
    /// When not, and what to watch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What does not go together with this patient: a drug with a grave issue is shown last.
    pub detected_issues: Vec<DetectedIssue>,
    /// Where the advice stands.
    pub source: String,
}

/// Which drugs a guideline names for a condition.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct DrugAdvice {
    /// The condition's id.
    pub condition: String,
    /// Its name.
    pub name: String,
    /// What comes before any drug, or instead of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The drugs, the first choice first.
    pub drugs: Vec<DrugLine>,
    /// What could not be checked.
    pub not_checked: Vec<NotChecked>,
}
